// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/workers/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>
#include <utlist.h>

#include "ipc/cleanup.h"
#include "supervisor/workers/kit.h"

static void free_handle(uv_handle_t *handle)
{
	pool_put(handle->data, handle);
}

static void close_poll(uv_poll_t **poll)
{
	if (*poll) {
		(*poll)->data = &((struct child *)(*poll)->data)->workers->polls;
		uv_close((uv_handle_t *)*poll, free_handle);
	}
	*poll = NULL;
}

static uv_poll_t *poll_new(struct child *child, int fd)
{
	uv_poll_t *poll = pool_get(&child->workers->polls, sizeof(*poll));

	if (poll && uv_poll_init(child->workers->loop, poll, fd) < 0) {
		pool_put(&child->workers->polls, poll);
		poll = NULL;
	}
	if (poll)
		poll->data = child;
	return poll;
}

static void set_readable(struct child *child, size_t bytes)
{
	if (bytes && !child->readable_bytes)
		DL_APPEND2(child->workers->readable, child, readable_prev, readable_next);
	else if (!bytes && child->readable_bytes)
		DL_DELETE2(child->workers->readable, child, readable_prev, readable_next);
	child->readable_bytes = bytes;
}

void process_hang_up(struct child *child)
{
	close_poll(&child->events);
	close_fdp(&child->event_fd);
}

void process_leave_slot(struct child *child)
{
	slot_release(&child->workers->slots, child->slot);
	child->slot = NULL;
}

void process_close(struct child *child)
{
	process_leave_slot(child);
	process_hang_up(child);
	close_poll(&child->reports);
	close_fdp(&child->report_fd);
	set_readable(child, 0);
}

/* --- reports ------------------------------------------------------------------------------------ */

/*
 * Reports are handled later, after the events that had been noticed by now (supervisor.c): the kernel tells of a write
 * before there is a value that a worker could report, and it tells who wrote it.
 */
static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct child *child = poll->data;
	int bytes = 0;

	(void)events;
	if (status < 0 || ioctl(child->report_fd, FIONREAD, &bytes) < 0 || !bytes)
		uv_poll_stop(poll); /* the end of file is no news: the process's exit is */
	set_readable(child, bytes);
}

int process_read(struct child *child, size_t limit, void (*got)(void *arg, const void *report))
{
	int n;

	set_readable(child, 0);
	n = record_read(&child->reader, child->report_fd, limit, got, child);
	if (n < 0 && n != -EAGAIN && child->reports)
		uv_poll_stop(child->reports);
	return n;
}

/* --- events ------------------------------------------------------------------------------------- */

static void on_writable(uv_poll_t *poll, int status, int events)
{
	struct child *child = poll->data;
	size_t before = child->queue.n;
	int err = status < 0 ? status : event_queue_flush(&child->queue, child->event_fd);

	(void)events;
	child->workers->counters.routed += before - child->queue.n;
	if (err != -EAGAIN)
		uv_poll_stop(poll); /* all sent, or nobody reads: then its exit follows */
}

void process_flush(struct child *child)
{
	if (child->queue.n)
		uv_poll_start(child->events, UV_WRITABLE, on_writable);
}

/* It reports without end, and reads nothing of what it is told; or there is no memory for that. */
static void kill_overrun(struct child *child)
{
	pid_t pid = child->instance->worker_pid;

	child->workers->counters.lost++;
	if (child->is_overrun || !pid)
		return;
	child->is_overrun = true;
	instance_log(child->workers->instances, child->instance, LOG_ERR, "worker %d does not read its orders: killed", pid);
	kill(pid, SIGKILL);
}

void process_send(struct child *child, const struct bpftune_event *event)
{
	struct workers_counters *counters = &child->workers->counters;

	if (child->state == CHILD_READY && !child->queue.n && !record_write(child->event_fd, event, sizeof(*event))) {
		counters->routed++;
		return;
	}
	switch (event_queue_push(&child->queue, event)) {
	case EVENT_COALESCED:
		counters->coalesced++;
		break;
	case EVENT_LOST:
		counters->lost++;
		break;
	case EVENT_FLOODED:
		kill_overrun(child);
		break;
	default:
		break;
	}
	if (child->state == CHILD_READY)
		process_flush(child);
}

/* --- start -------------------------------------------------------------------------------------- */

static int make_pipe(int *ret_read, int *ret_write)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	*ret_read = fds[0];
	*ret_write = fds[1];
	return 0;
}

static int fork_worker(struct child *child, bool enters)
{
	struct kit *kit = kit_new(child, enters);
	pid_t pid = kit ? kit_start(kit) : -ENOMEM;

	if (kit)
		kit_free(kit);
	if (pid < 0)
		return pid;
	child->instance->worker_pid = pid;
	bpf_own_pid(&child->workers->kernel->host, pid, true);
	HASH_ADD(hh, child->workers->by_pid, instance->worker_pid, sizeof(pid), child);
	return 0;
}

/* With these descriptors, in a slot. */
static int start_in_slot(struct child *child, int event_fd, int report_fd, int netns_fd)
{
	struct slot *slot = slot_find_free(&child->workers->slots);
	int sysctls_fd = procfs_sysctls(&child->workers->kernel->procfs), err;

	if (!slot || sysctls_fd < 0)
		return slot ? sysctls_fd : -EBUSY;
	err = slot_take(&child->workers->slots, slot, (int[N_WORKER_FDS]){ event_fd, report_fd, sysctls_fd, netns_fd });
	if (err)
		return err;
	child->slot = slot;
	err = fork_worker(child, netns_fd >= 0);
	if (err)
		process_leave_slot(child);
	return err;
}

int process_start(struct child *child, int netns_fd)
{
	_cleanup_close_ int events_read = -1, events_write = -1, reports_read = -1, reports_write = -1;
	int err = make_pipe(&events_read, &events_write);

	if (!err)
		err = make_pipe(&reports_read, &reports_write);
	if (err)
		return err;
	/* The worker may block on what it reports; neither side may block on events. */
	if (fcntl(events_read, F_SETFL, O_NONBLOCK) < 0 || fcntl(events_write, F_SETFL, O_NONBLOCK) < 0 ||
	    fcntl(reports_read, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	child->events = poll_new(child, events_write);
	child->reports = poll_new(child, reports_read);
	err = child->events && child->reports ? start_in_slot(child, events_read, reports_write, netns_fd) : -ENOMEM;
	if (err) {
		close_poll(&child->events);
		close_poll(&child->reports);
		return err;
	}
	child->event_fd = take_fd(&events_write);
	child->report_fd = take_fd(&reports_read);
	child->is_overrun = false;
	child->reader = (struct record_reader){ .size = sizeof(struct bpftune_report) };
	uv_poll_start(child->reports, UV_READABLE, on_readable);
	return 0;
}

/* --- end ---------------------------------------------------------------------------------------- */

bool process_is_alive(const struct child *child)
{
	siginfo_t info = { .si_pid = 0 };

	return child->instance->worker_pid &&
	       waitid(P_PID, child->instance->worker_pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && !info.si_pid;
}

/* As long as it is not reaped its pid is no other process's, whose writes would pass for ours. */
pid_t process_next_exit(struct workers *workers, int *ret_status)
{
	siginfo_t info = { .si_pid = 0 };

	if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || !info.si_pid)
		return 0;
	bpf_own_pid(&workers->kernel->host, info.si_pid, false);
	return waitpid(info.si_pid, ret_status, WNOHANG);
}
