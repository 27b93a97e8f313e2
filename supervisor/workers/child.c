// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/workers/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <syslog.h>

#include "ipc/cleanup.h"
#include "supervisor/kernel/bpf_maps.h"
#include "supervisor/instances/pair.h"
#include "supervisor/workers/capacity.h"
#include "supervisor/workers/route.h"
#include "supervisor/instances/scan.h"
#include "supervisor/supervisor.h"
#include "worker/worker.h"

/* --- the table ---------------------------------------------------------------------------------- */

/* A cell that is not here stays where it is and does nothing. */
static const struct {
	enum child_state state;
	enum child_event event;
	struct child_transition then;
} table[] = {
	{ CHILD_NONE, CHILD_WANTED, { CHILD_STARTING, CHILD_FORK } },
	{ CHILD_NONE, CHILD_UNUSED, { CHILD_GONE, CHILD_FORGET } },
	{ CHILD_NONE, CHILD_STOP, { CHILD_GONE, CHILD_FORGET } },

	{ CHILD_STARTING, CHILD_IS_READY, { CHILD_READY, CHILD_SERVE } },
	{ CHILD_STARTING, CHILD_EXITED, { CHILD_BACKOFF, CHILD_DELAY } },
	{ CHILD_STARTING, CHILD_FAILED, { CHILD_BACKOFF, CHILD_DELAY } },
	{ CHILD_STARTING, CHILD_PUT_OFF, { CHILD_NONE, CHILD_IGNORE } },
	{ CHILD_STARTING, CHILD_TIMEOUT, { CHILD_STARTING, CHILD_KILL } },
	{ CHILD_STARTING, CHILD_UNUSED, { CHILD_RETIRING, CHILD_HANG_UP } },
	{ CHILD_STARTING, CHILD_STOP, { CHILD_RETIRING, CHILD_HANG_UP } },

	{ CHILD_READY, CHILD_EXITED, { CHILD_BACKOFF, CHILD_DELAY } },
	{ CHILD_READY, CHILD_UNUSED, { CHILD_RETIRING, CHILD_HANG_UP } },
	{ CHILD_READY, CHILD_STOP, { CHILD_RETIRING, CHILD_HANG_UP } },

	{ CHILD_RETIRING, CHILD_EXITED, { CHILD_GONE, CHILD_FORGET } },
	{ CHILD_RETIRING, CHILD_TIMEOUT, { CHILD_RETIRING, CHILD_KILL } },

	{ CHILD_BACKOFF, CHILD_TIMEOUT, { CHILD_STARTING, CHILD_FORK } },
	{ CHILD_BACKOFF, CHILD_UNUSED, { CHILD_GONE, CHILD_FORGET } },
	{ CHILD_BACKOFF, CHILD_STOP, { CHILD_GONE, CHILD_FORGET } },
};

struct child_transition child_next(enum child_state state, enum child_event event)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (table[i].state == state && table[i].event == event)
			return table[i].then;
	return (struct child_transition){ state, CHILD_IGNORE };
}

const char *child_state_name(enum child_state state)
{
	static const char *const names[N_CHILD_STATES] = {
		[CHILD_NONE] = "none",	       [CHILD_STARTING] = "starting", [CHILD_READY] = "ready",
		[CHILD_RETIRING] = "retiring", [CHILD_BACKOFF] = "backoff",   [CHILD_GONE] = "gone",
	};

	return names[state];
}

unsigned int child_backoff_ms(unsigned int last_ms, uint64_t lived_ms)
{
	if (!last_ms || lived_ms >= CHILD_HEALTHY_MS)
		return CHILD_BACKOFF_MIN_MS;
	return last_ms >= CHILD_BACKOFF_MAX_MS / 2 ? CHILD_BACKOFF_MAX_MS : 2 * last_ms;
}

/* --- handles ------------------------------------------------------------------------------------ */

static void free_handle(uv_handle_t *handle)
{
	free(handle);
}

static void close_handle(void *handle_pointer)
{
	uv_handle_t **handle = handle_pointer;

	if (*handle)
		uv_close(*handle, free_handle);
	*handle = NULL;
}

static void on_timeout(uv_timer_t *timer)
{
	struct instance *instance = timer->data;

	child_step(timer->loop->data, instance, CHILD_TIMEOUT);
}

static void arm(struct supervisor *s, struct instance *instance, uint64_t ms)
{
	struct child *child = &instance->child;

	if (!child->timer) {
		child->timer = malloc(sizeof(*child->timer));
		if (!child->timer)
			return;
		uv_timer_init(&s->loop, child->timer);
		child->timer->data = instance;
	}
	uv_timer_start(child->timer, on_timeout, ms, 0);
}

static void disarm(struct child *child)
{
	if (child->timer)
		uv_timer_stop(child->timer);
}

static uv_poll_t *poll_new(struct supervisor *s, struct instance *instance, int fd)
{
	uv_poll_t *poll = malloc(sizeof(*poll));

	if (poll && uv_poll_init(&s->loop, poll, fd) < 0) {
		free(poll);
		poll = NULL;
	}
	if (poll)
		poll->data = instance;
	return poll;
}

static void hang_up(struct child *child)
{
	close_handle(&child->events);
	close_fdp(&child->event_fd);
}

static void close_pipes(struct child *child)
{
	hang_up(child);
	close_handle(&child->reports);
	close_fdp(&child->report_fd);
}

/* --- pipes -------------------------------------------------------------------------------------- */

static void on_report(void *arg, const void *record)
{
	struct instance *instance = arg;
	struct supervisor *s = instance->child.timer->loop->data;

	/* The kernel tells of a write before there is a value that a worker could report; and it tells who wrote it. */
	supervisor_take_events(s);
	route_report(s, instance, record);
}

static int read_reports(struct instance *instance)
{
	return record_read(&instance->child.reader, instance->child.report_fd, on_report, instance);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	int n = status < 0 ? status : read_reports(poll->data);

	(void)events;
	/* The end of file is no news: the process's exit is, and SIGCHLD tells of that. */
	if (n < 0 && n != -EAGAIN)
		uv_poll_stop(poll);
}

static void on_writable(uv_poll_t *poll, int status, int events)
{
	struct instance *instance = poll->data;
	struct supervisor *s = poll->loop->data;
	size_t before = instance->child.queue.n;
	int err = status < 0 ? status : event_queue_flush(&instance->child.queue, instance->child.event_fd);

	(void)events;
	s->counters.routed += before - instance->child.queue.n;
	if (err != -EAGAIN)
		uv_poll_stop(poll); /* all sent, or nobody reads: then its exit follows */
}

/* It reports without end, and reads nothing of what it is told; or there is no memory for that. */
static void end_mad(struct supervisor *s, struct instance *instance)
{
	s->counters.lost++;
	if (instance->child.mad || !instance->child.pid)
		return;
	instance->child.mad = true;
	supervisor_log(s, instance, LOG_ERR, "worker %d cannot be given its orders; it is killed", instance->child.pid);
	kill(instance->child.pid, SIGKILL);
}

void child_send(struct supervisor *s, struct instance *instance, const struct bpftune_event *event)
{
	struct child *child = &instance->child;

	if (child->state == CHILD_READY && !child->queue.n && !record_write(child->event_fd, event, sizeof(*event))) {
		s->counters.routed++;
		return;
	}
	switch (event_queue_push(&child->queue, event)) {
	case EVENT_COALESCED:
		s->counters.coalesced++;
		break;
	case EVENT_LOST:
		s->counters.lost++;
		break;
	case EVENT_FLOODED:
		end_mad(s, instance);
		break;
	default:
		break;
	}
	if (child->state == CHILD_READY)
		uv_poll_start(child->events, UV_WRITABLE, on_writable);
}

/* --- fork --------------------------------------------------------------------------------------- */

pid_t child_fork(void)
{
	sigset_t all, old;
	pid_t pid;

	/* A signal between fork and reset would run libuv's handler in the child, on the parent's pipe. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	pid = fork();
	if (pid)
		sigprocmask(SIG_SETMASK, &old, NULL);
	return pid;
}

static int start(struct supervisor *s, struct instance *instance, int netns_fd)
{
	_cleanup_close_ int events_read = -1, events_write = -1, reports_read = -1, reports_write = -1;
	struct child *child = &instance->child;
	pid_t supervisor = getpid(), pid;
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	events_read = fds[0], events_write = fds[1];
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	reports_read = fds[0], reports_write = fds[1];
	/* The worker may block on what it reports; neither side may block on events. */
	if (fcntl(events_read, F_SETFL, O_NONBLOCK) < 0 || fcntl(events_write, F_SETFL, O_NONBLOCK) < 0 ||
	    fcntl(reports_read, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	child->events = poll_new(s, instance, events_write);
	child->reports = poll_new(s, instance, reports_read);
	if (!child->events || !child->reports)
		return -ENOMEM;
	pid = child_fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		worker_main(&(struct worker_start){
			.instance = &instance->pub,
			.tuners = s->plugins.tuners,
			.n_tuners = s->plugins.n,
			.event_fd = events_read,
			.report_fd = reports_write,
			.netns_fd = netns_fd,
			.supervisor = supervisor,
			.dry_run = s->options.dry_run,
		});
	child->pid = pid;
	bpf_own_pid(&s->host, pid, true);
	child->event_fd = take_fd(&events_write);
	child->report_fd = take_fd(&reports_read);
	child->mad = false;
	child->reader = (struct record_reader){ .size = sizeof(struct bpftune_report) };
	uv_poll_start(child->reports, UV_READABLE, on_readable);
	return 0;
}

/* --- actions ------------------------------------------------------------------------------------ */

static int try_fork(struct supervisor *s, struct instance *instance)
{
	_cleanup_close_ int netns_fd = -1;

	if (instance->pub.id != INSTANCE_HOST && !instance->pub.shares_netns) {
		netns_fd = watch_open_netns(s, instance);
		if (netns_fd < 0)
			return netns_fd;
	}
	arm(s, instance, CHILD_READY_MS);
	return instance->child.timer ? start(s, instance, netns_fd) : -ENOMEM;
}

static void do_fork(struct supervisor *s, struct instance *instance)
{
	struct child *child = &instance->child;
	uint64_t now = uv_now(&s->loop);
	struct room_load load;
	int err;

	if (now < child->retry_ms) {
		child_step(s, instance, CHILD_PUT_OFF);
		return;
	}
	pair_find_owner(s, instance);
	load = room_load(&s->registry, instance);
	child->forked_ms = now;
	err = room_is_left(load) ? try_fork(s, instance) : -EUSERS;
	room_note(s, instance, err, load);
	if (!err)
		return;
	disarm(child);
	close_handle(&child->events);
	close_handle(&child->reports);
	if (instance->unserved || err == -ESRCH || err == -ENOENT || err == -ESTALE) {
		/* Its next event tries again; if nobody is to be seen in it, its end is the sweep's to find. */
		child->retry_ms = err == -EUSERS ? 0 : now + CHILD_BACKOFF_MIN_MS;
		child_step(s, instance, CHILD_PUT_OFF);
		return;
	}
	supervisor_log(s, instance, LOG_ERR, "cannot start the worker: %s", strerror(-err));
	child_step(s, instance, CHILD_FAILED);
}

static void do_serve(struct supervisor *s, struct instance *instance)
{
	disarm(&instance->child);
	supervisor_set_gate(s, instance);
	if (instance->child.queue.n)
		uv_poll_start(instance->child.events, UV_WRITABLE, on_writable);
	if (instance->pub.id != INSTANCE_HOST)
		watch_sweep_soon(s); /* the last user may have left while we came in */
}

static void do_hang_up(struct supervisor *s, struct instance *instance)
{
	hang_up(&instance->child);
	arm(s, instance, CHILD_KILL_MS);
}

static void do_kill(struct supervisor *s, struct instance *instance)
{
	if (instance->child.pid)
		kill(instance->child.pid, SIGKILL);
	arm(s, instance, CHILD_KILL_MS);
}

static void do_delay(struct supervisor *s, struct instance *instance)
{
	struct child *child = &instance->child;

	supervisor_set_gate(s, instance);
	child->restarts++;
	child->backoff_ms = child_backoff_ms(child->backoff_ms, uv_now(&s->loop) - child->forked_ms);
	arm(s, instance, child->backoff_ms);
	supervisor_log(s, instance, LOG_WARNING, "starting another worker in %u s", child->backoff_ms / 1000);
}

static void do_forget(struct supervisor *s, struct instance *instance)
{
	close_pipes(&instance->child);
	close_handle(&instance->child.timer);
	supervisor_forget(s, instance);
}

static void (*const actions[])(struct supervisor *s, struct instance *instance) = {
	[CHILD_FORK] = do_fork,	[CHILD_SERVE] = do_serve, [CHILD_HANG_UP] = do_hang_up,
	[CHILD_KILL] = do_kill,	[CHILD_DELAY] = do_delay, [CHILD_FORGET] = do_forget,
};

enum child_state child_step(struct supervisor *s, struct instance *instance, enum child_event event)
{
	struct child_transition then = child_next(instance->child.state, event);

	instance->child.state = then.next;
	if (actions[then.action])
		actions[then.action](s, instance);
	return then.next == CHILD_GONE ? CHILD_GONE : instance->child.state;
}

/* --- exits -------------------------------------------------------------------------------------- */

static void say_how(struct supervisor *s, const struct instance *instance, pid_t pid, int status)
{
	if (instance->child.state == CHILD_RETIRING)
		return;
	if (WIFSIGNALED(status))
		supervisor_log(s, instance, LOG_WARNING, "worker %d was killed by signal %d (%s)", pid,
			       WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		supervisor_log(s, instance, LOG_WARNING, "worker %d ended with status %d", pid, WEXITSTATUS(status));
}

static struct instance *instance_of(const struct supervisor *s, pid_t pid)
{
	struct instance *instance;

	for (instance = s->registry.by_id; instance; instance = instance->by_id.next)
		if (instance->child.pid == pid)
			return instance;
	return NULL;
}

static void ended(struct supervisor *s, struct instance *instance, pid_t pid, int status)
{
	_cleanup_free_ char *owner = NULL;
	bool was_full;

	while (read_reports(instance) > 0)
		;
	say_how(s, instance, pid, status);
	was_full = room_load(&s->registry, instance).all >= ROOM_WORKERS_MAX;
	instance->child.pid = 0;
	bpf_own_pid(&s->host, pid, false);
	close_pipes(&instance->child);
	event_queue_drop_orders(&instance->child.queue);
	owner = strdup(instance->owner ? instance->owner : "");
	if (child_step(s, instance, CHILD_EXITED) == CHILD_GONE && !s->stopping)
		room_serve(s, owner, was_full);
} /* NOLINT(clang-analyzer-unix.Malloc): clang-tidy 14 knows no cleanup attribute */

bool child_is_alive(const struct child *child)
{
	siginfo_t info = { .si_pid = 0 };

	if (child->state != CHILD_READY && child->state != CHILD_RETIRING)
		return false;
	return waitid(P_PID, child->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && !info.si_pid;
}

void child_reap(struct supervisor *s)
{
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct instance *instance = instance_of(s, pid);

		if (instance)
			ended(s, instance, pid, status);
		else
			scan_ended(s, pid);
	}
}
