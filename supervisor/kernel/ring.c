// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/kernel/ring.h"

#include <bpf/libbpf.h>
#include <errno.h>

#define EVENTS_AT_ONCE 256
#define REST_MS 5

static int on_event(void *arg, void *data, size_t size)
{
	struct ring *ring = arg;

	if (size == sizeof(struct bpftune_event) && ring->event(ring->arg, data))
		ring->is_urgent = true;
	/* Whoever fills the ring as fast as we empty it must not keep us from all else. */
	return ++ring->taken_at_once < EVENTS_AT_ONCE ? 0 : -EAGAIN;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	(void)poll, (void)status, (void)events; /* ring_take() takes what is in the ring */
}

static void on_rested(uv_timer_t *timer)
{
	struct ring *ring = timer->data;

	uv_poll_start(&ring->poll, UV_READABLE, on_readable);
}

int ring_start(struct ring *ring)
{
	int err;

	ring->buffer = ring_buffer__new(ring->host->shared_fds[SHARED_EVENTS], on_event, ring, NULL);
	if (!ring->buffer)
		return -errno;
	err = uv_poll_init(ring->loop, &ring->poll, ring_buffer__epoll_fd(ring->buffer));
	uv_timer_init(ring->loop, &ring->rest);
	ring->poll.data = ring->rest.data = ring;
	return err ? err : uv_poll_start(&ring->poll, UV_READABLE, on_readable);
}

bool ring_take(struct ring *ring, bool may_rest)
{
	ring->taken_at_once = 0;
	ring->is_urgent = false;
	ring_buffer__consume(ring->buffer);
	if (ring->taken_at_once >= EVENTS_AT_ONCE)
		return false;
	/* Namespaces that come and go may wait a little: while the ring is not empty the kernel wakes nobody for more.
	 */
	if (ring->taken_at_once && !ring->is_urgent && may_rest) {
		uv_poll_stop(&ring->poll);
		uv_timer_start(&ring->rest, on_rested, REST_MS, 0);
	}
	return true;
}

/* Handles that a start cut short has not initialised yet have no loop. */
static void close_if_open(uv_handle_t *handle)
{
	if (handle->loop && !uv_is_closing(handle))
		uv_close(handle, NULL);
}

void ring_stop(struct ring *ring)
{
	close_if_open((uv_handle_t *)&ring->poll);
	close_if_open((uv_handle_t *)&ring->rest);
}

void ring_free(struct ring *ring)
{
	ring_buffer__free(ring->buffer);
	ring->buffer = NULL;
}
