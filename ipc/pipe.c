// SPDX-License-Identifier: GPL-2.0-or-later
#include "ipc/pipe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/unshared.h"

#define READ_BYTES 16384

int record_read(struct record_reader *reader, int fd, size_t limit, void (*got)(void *arg, const void *record),
		void *arg)
{
	unsigned char buffer[READ_BYTES] __attribute__((aligned(8)));
	size_t have = reader->have, room = sizeof(buffer) - have, at;
	ssize_t n;
	int records = 0;

	memcpy(buffer, reader->partial, have);
	do
		n = read(fd, buffer + have, limit < room ? limit : room);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (n == 0)
		return have ? -EBADMSG : -EPIPE;
	have += n;
	reader->have = have % reader->size;
	memcpy(reader->partial, buffer + have - reader->have, reader->have);
	for (at = 0; at + reader->size <= have; at += reader->size, records++)
		got(arg, buffer + at);
	return records;
}

int record_write(int fd, const void *record, size_t size)
{
	ssize_t n;

	do
		n = write(fd, record, size);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == size ? 0 : -EIO; /* not a pipe, or more than PIPE_BUF */
}

static bool is_about_the_same(const struct bpftune_event *newer, const struct bpftune_event *older)
{
	size_t bytes = newer->key_bytes < sizeof(newer->payload) ? newer->key_bytes : sizeof(newer->payload);

	return newer->key_bytes == older->key_bytes && !memcmp(newer->payload, older->payload, bytes);
}

static bool replaces(const struct bpftune_event *newer, const struct bpftune_event *older)
{
	if (newer->tuner == BPFTUNE_FROM_SUPERVISOR) /* reading twice is no more than reading once */
		return older->tuner == newer->tuner && newer->scenario == BPFTUNE_READ && older->scenario == BPFTUNE_READ &&
		       !memcmp(newer->payload, older->payload, sizeof(struct bpftune_owner));
	return newer->tuner == older->tuner && newer->scenario == older->scenario &&
	       newer->instance == older->instance && newer->asker == older->asker && is_about_the_same(newer, older);
}

static bool grow(struct event_queue *queue)
{
	size_t capacity = queue->capacity ? 2 * queue->capacity : 8;
	struct bpftune_event *events = unshared_resize(queue->events, capacity * sizeof(*events));

	if (!events)
		return false;
	queue->events = events;
	queue->capacity = capacity;
	return true;
}

static bool has_room(const struct event_queue *queue, const struct bpftune_event *event)
{
	size_t n_keyed = 0;

	for (size_t i = 0; i < queue->n; i++)
		n_keyed += queue->events[i].key_bytes != 0;
	return queue->n < EVENT_QUEUE_MAX && (!event->key_bytes || n_keyed < EVENT_QUEUE_KEYED_MAX);
}

enum event_fate event_queue_push(struct event_queue *queue, const struct bpftune_event *event)
{
	for (size_t i = 0; i < queue->n; i++)
		if (replaces(event, &queue->events[i])) {
			queue->events[i] = *event;
			return EVENT_COALESCED;
		}
	if (event->tuner != BPFTUNE_FROM_SUPERVISOR && !has_room(queue, event))
		return EVENT_LOST;
	if (queue->n >= EVENT_QUEUE_ORDERS_MAX)
		return EVENT_FLOODED;
	if (queue->n == queue->capacity && !grow(queue))
		return event->tuner == BPFTUNE_FROM_SUPERVISOR ? EVENT_FLOODED : EVENT_LOST;
	queue->events[queue->n++] = *event;
	return EVENT_QUEUED;
}

void event_queue_drop_orders(struct event_queue *queue)
{
	size_t kept = 0;

	for (size_t i = 0; i < queue->n; i++)
		if (queue->events[i].tuner != BPFTUNE_FROM_SUPERVISOR)
			queue->events[kept++] = queue->events[i];
	queue->n = kept;
}

int event_queue_flush(struct event_queue *queue, int fd)
{
	size_t sent = 0;
	int err = 0;

	while (sent < queue->n && !err) {
		err = record_write(fd, &queue->events[sent], sizeof(*queue->events));
		if (!err)
			sent++;
	}
	queue->n -= sent;
	if (queue->n)
		memmove(queue->events, queue->events + sent, queue->n * sizeof(*queue->events));
	else
		event_queue_clear(queue);
	return err;
}

void event_queue_clear(struct event_queue *queue)
{
	unshared_free(queue->events);
	*queue = (struct event_queue){ 0 };
}
