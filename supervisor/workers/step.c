// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/workers/step.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <syslog.h>

#include "ipc/cleanup.h"
#include "supervisor/workers/capacity.h"
#include "supervisor/workers/process.h"
#include "supervisor/workers/renew.h"

/* --- the timer ---------------------------------------------------------------------------------- */

static bool arm(struct child *child, uint64_t ms);

static void on_timeout(uv_timer_t *timer)
{
	struct child *child = timer->data;

	/* Where the loop was busy for long, READY may be among the reports that are yet to be handled. */
	if (child->readable_bytes)
		arm(child, CHILD_REPORTS_MS);
	else
		child_step(child, CHILD_TIMEOUT);
}

static void free_timer(uv_handle_t *handle)
{
	pool_put(handle->data, handle);
}

static bool arm(struct child *child, uint64_t ms)
{
	if (!child->timer) {
		child->timer = pool_get(&child->workers->timers, sizeof(*child->timer));
		if (!child->timer)
			return false;
		uv_timer_init(child->workers->loop, child->timer);
		child->timer->data = child;
	}
	uv_update_time(child->workers->loop); /* it counts from now, not from when the loop last looked */
	return uv_timer_start(child->timer, on_timeout, ms, 0) == 0;
}

static void disarm(struct child *child)
{
	if (child->timer)
		uv_timer_stop(child->timer);
}

/* --- actions ------------------------------------------------------------------------------------ */

static int try_fork(struct child *child)
{
	struct instance *instance = child->instance;
	_cleanup_close_ int netns_fd = -1;

	if (instance->view.id != INSTANCE_HOST && !instance->view.shares_netns) {
		netns_fd = instance_open_netns(child->workers->instances, instance);
		if (netns_fd < 0)
			return netns_fd;
	}
	return arm(child, CHILD_READY_MS) ? process_start(child, netns_fd) : -ENOMEM;
}

static void do_fork(struct child *child)
{
	struct workers *workers = child->workers;
	uint64_t now = uv_now(workers->loop);
	int err;

	if (now < child->retry_ms) {
		child_step(child, CHILD_PUT_OFF);
		return;
	}
	instance_find_owner(workers->instances, child->instance);
	child->forked_ms = now;
	if (!capacity_is_left(workers, child))
		err = -EUSERS;
	else
		err = slot_find_free(&workers->slots) ? try_fork(child) : -EBUSY;
	capacity_note(workers, child, err);
	child->tuners = workers->tuners;
	if (!err)
		return;
	disarm(child);
	if (child->unserved || err == -ESRCH || err == -ENOENT || err == -ESTALE) {
		/* Its next event tries again; if nobody is to be seen in it, its end is the sweep's to find. */
		child->retry_ms = err == -EUSERS || err == -EBUSY ? 0 : now + CHILD_BACKOFF_MIN_MS;
		child_step(child, CHILD_PUT_OFF);
		return;
	}
	instance_log(workers->instances, child->instance, LOG_ERR, "cannot start the worker: %s", strerror(-err));
	child_step(child, CHILD_FAILED);
}

static void set_entered(struct child *child, bool is_entered)
{
	child->workers->n_ready += is_entered - child->instance->is_entered;
	child->instance->is_entered = is_entered;
	instance_set_gate(child->workers->instances, child->instance);
}

static void do_serve(struct child *child)
{
	disarm(child);
	set_entered(child, true);
	process_flush(child);
	if (child->tuners != child->workers->tuners)
		renew_begin(child->workers); /* it was forked before the latest tuner came */
	if (child->instance->view.id != INSTANCE_HOST)
		instances_sweep_soon(child->workers->instances, child->instance); /* the last user may have left while we came in */
}

static void do_hang_up(struct child *child)
{
	instance_is_to_end(child->workers->instances, child->instance);
	process_hang_up(child);
	arm(child, CHILD_KILL_MS);
}

static void do_leave(struct child *child)
{
	process_hang_up(child);
	arm(child, CHILD_KILL_MS);
}

static void do_renew(struct child *child)
{
	set_entered(child, false);
	do_fork(child);
	instances_sweep_soon(child->workers->instances, child->instance); /* the old one's reference was discounted until now */
}

static void do_rest(struct child *child)
{
	bool was_entered = child->instance->is_entered;

	disarm(child);
	set_entered(child, false);
	event_queue_clear(&child->queue);
	capacity_gone(child->workers, child);
	if (was_entered) /* its reference was discounted until now */
		instances_sweep_soon(child->workers->instances, child->instance);
}

static void do_kill(struct child *child)
{
	if (child->instance->worker_pid)
		kill(child->instance->worker_pid, SIGKILL);
	arm(child, CHILD_KILL_MS);
}

static void do_delay(struct child *child)
{
	set_entered(child, false);
	child->restarts++;
	child->backoff_ms = child_backoff_ms(child->backoff_ms, uv_now(child->workers->loop) - child->forked_ms);
	arm(child, child->backoff_ms);
	instance_log(child->workers->instances, child->instance, LOG_WARNING, "starting another worker in %u s",
		     child->backoff_ms / 1000);
	instances_sweep_soon(child->workers->instances, child->instance); /* the dead one's reference was discounted until now */
}

static void do_forget(struct child *child)
{
	child->workers->n_ready -= child->instance->is_entered;
	child->instance->is_entered = false;
	process_close(child);
	if (child->timer) {
		child->timer->data = &child->workers->timers;
		uv_close((uv_handle_t *)child->timer, free_timer);
	}
	child->timer = NULL;
	child->workers->listener.ended(child->workers->arg, child->instance);
	capacity_gone(child->workers, child);
}

static void (*const actions[])(struct child *child) = {
	[CHILD_FORK] = do_fork,	  [CHILD_SERVE] = do_serve, [CHILD_HANG_UP] = do_hang_up, [CHILD_LEAVE] = do_leave,
	[CHILD_RENEW] = do_renew, [CHILD_REST] = do_rest,   [CHILD_KILL] = do_kill,	  [CHILD_DELAY] = do_delay,
	[CHILD_FORGET] = do_forget,
};

enum child_state child_step(struct child *child, enum child_event event)
{
	struct child_transition then = child_next(child->state, event);

	child->state = then.next;
	if (actions[then.action])
		actions[then.action](child);
	return child->state;
}

bool step_try_start(struct child *child)
{
	return child_step(child, CHILD_WANTED) == CHILD_STARTING;
}

/* --- reports and exits -------------------------------------------------------------------------- */

static void on_report(void *arg, const void *record)
{
	struct child *child = arg;
	struct workers *workers = child->workers;
	const struct bpftune_report *report = record;

	if (report->kind != BPFTUNE_READY) {
		workers->listener.report(workers->arg, child->instance, report);
		return;
	}
	process_leave_slot(child);
	if (child_step(child, CHILD_IS_READY) == CHILD_READY)
		instance_log(workers->instances, child->instance, LOG_INFO, "worker %d is ready", child->instance->worker_pid);
	workers->listener.ready(workers->arg, child->instance);
	capacity_slot_left(workers);
}

static void handle_reports(struct child *child)
{
	process_read(child, child->readable_bytes, on_report);
}

static void say_how(const struct child *child, int status)
{
	const struct instances *instances = child->workers->instances;
	pid_t pid = child->instance->worker_pid;

	bool is_told = child->state == CHILD_RENEWING || child->state == CHILD_LEAVING;

	if (child->state == CHILD_RETIRING || (is_told && WIFEXITED(status) && !WEXITSTATUS(status)))
		return;
	if (WIFSIGNALED(status))
		instance_log(instances, child->instance, LOG_WARNING, "worker %d was killed by signal %d (%s)", pid,
			     WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		instance_log(instances, child->instance, LOG_WARNING, "worker %d ended with status %d", pid,
			     WEXITSTATUS(status));
}

static void ended(struct child *child, int status)
{
	struct workers *workers = child->workers;

	while (process_read(child, SIZE_MAX, on_report) > 0)
		;
	say_how(child, status);
	HASH_DEL(workers->by_pid, child);
	child->instance->worker_pid = 0;
	process_close(child);
	event_queue_drop_orders(&child->queue);
	capacity_ended(workers, child);
	child_step(child, CHILD_EXITED);
	capacity_slot_left(workers);
}

static void handle_exits(struct workers *workers)
{
	struct child *child;
	int status;
	pid_t pid;

	while ((pid = process_next_exit(workers, &status)) > 0) {
		HASH_FIND(hh, workers->by_pid, &pid, sizeof(pid), child);
		if (child)
			ended(child, status);
		else
			instances_child_ended(workers->instances, pid);
	}
}

void workers_child_ended(struct workers *workers)
{
	workers->has_exits = true;
}

void workers_handle(struct workers *workers)
{
	struct child *outdated;

	while (workers->readable)
		handle_reports(workers->readable);
	if (workers->has_exits) {
		workers->has_exits = false;
		handle_exits(workers);
	}
	outdated = renew_next(workers);
	if (outdated)
		child_step(outdated, CHILD_OUTDATED);
}
