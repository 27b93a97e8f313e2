/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Functions in the place of those of the rooms below the workers, and of libuv. They note the call, and return what a
 * test wants. So no time passes, and no namespace is looked at.
 */
#ifndef BPFTUNE_TESTS_UNIT_FAKE_WORKERS_H
#define BPFTUNE_TESTS_UNIT_FAKE_WORKERS_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "supervisor/instances/owner.h"
#include "supervisor/workers/capacity.h"
#include "supervisor/workers/process.h"
#include "supervisor/workers/step.h"

#define NOW_MS 500000
#define PID 77

struct fixture {
	struct kernel kernel;
	struct instances instances;
	struct workers workers;
	struct instance instance;
	uint64_t now_ms;

	/* what the functions below are to return or to do */
	int netns_fd; /* instance_open_netns()'s */
	int n_polls;  /* so many handles can be made */
	void (*find_owner)(struct instance *instance);

	/* what they were called with */
	unsigned int kills, gates, sweeps, closed, ready, reported, ended;
	pid_t killed, scout_ended;
	pid_t own_pid, disowned; /* the last that became ours, that is ours no longer */
	uv_timer_cb timer_cb;	 /* of the child whose timer was armed last; NULL: not armed */
	uv_timer_t *timer;
	uint64_t timer_ms;
	uv_timer_cb retry_cb; /* of workers->retry; NULL: not armed */
	unsigned int retry_starts;
	uv_timer_cb pace_cb; /* of workers->pace */
	char logs[8][256]; /* the last lines */
	unsigned int n_logs;
};

static struct fixture *fake;

/* --- libc, libuv -------------------------------------------------------------------------------- */

int kill(pid_t pid, int signal)
{
	assert_int_equal(signal, SIGKILL);
	fake->kills++;
	fake->killed = pid;
	return 0;
}

uint64_t uv_now(const uv_loop_t *loop)
{
	assert_ptr_equal(loop, fake->workers.loop);
	return fake->now_ms;
}

int uv_timer_init(uv_loop_t *loop, uv_timer_t *timer)
{
	assert_ptr_equal(loop, fake->workers.loop);
	*timer = (uv_timer_t){ .loop = loop };
	return 0;
}

int uv_timer_start(uv_timer_t *timer, uv_timer_cb cb, uint64_t ms, uint64_t repeat_ms)
{
	if (timer == &fake->workers.retry) {
		assert_int_equal(ms, CAPACITY_RETRY_MS);
		assert_int_equal(repeat_ms, CAPACITY_RETRY_MS);
		fake->retry_cb = cb;
		fake->retry_starts++;
		return 0;
	}
	if (timer == &fake->workers.pace) {
		assert_int_equal(ms, CAPACITY_FORK_MS);
		assert_int_equal(repeat_ms, CAPACITY_FORK_MS);
		fake->pace_cb = cb;
		return 0;
	}
	assert_ptr_equal(timer, ((struct child *)timer->data)->timer);
	assert_int_equal(repeat_ms, 0);
	fake->timer = timer;
	fake->timer_cb = cb;
	fake->timer_ms = ms;
	return 0;
}

int uv_timer_stop(uv_timer_t *timer)
{
	if (timer == &fake->workers.retry)
		fake->retry_cb = NULL;
	else if (timer == &fake->workers.pace)
		fake->pace_cb = NULL;
	else if (timer == fake->timer)
		fake->timer_cb = NULL;
	return 0;
}

int uv_is_active(const uv_handle_t *handle)
{
	if ((uv_timer_t *)handle == &fake->workers.pace)
		return fake->pace_cb != NULL;
	assert_ptr_equal(handle, &fake->workers.retry);
	return fake->retry_cb != NULL;
}

/* A poll handle's flags are the events it waits for. */
int uv_poll_init(uv_loop_t *loop, uv_poll_t *poll, int fd)
{
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	*poll = (uv_poll_t){ .loop = loop, .io_watcher.fd = fd };
	return fake->n_polls-- > 0 ? 0 : UV_ENOMEM;
}

int uv_poll_start(uv_poll_t *poll, int events, uv_poll_cb cb)
{
	poll->flags = events;
	poll->poll_cb = cb;
	return 0;
}

int uv_poll_stop(uv_poll_t *poll)
{
	poll->flags = 0;
	return 0;
}

void uv_close(uv_handle_t *handle, uv_close_cb cb)
{
	assert_non_null(handle);
	fake->closed++;
	if ((uv_timer_t *)handle == fake->timer)
		fake->timer_cb = NULL;
	cb(handle);
}

/* --- the rooms below ---------------------------------------------------------------------------- */

void bpf_own_pid(struct bpftune_host *host, uint32_t pid, bool ours)
{
	assert_ptr_equal(host, &fake->kernel.host);
	*(ours ? &fake->own_pid : &fake->disowned) = (pid_t)pid;
}

void instance_log(const struct instances *instances, const struct instance *instance, int severity, const char *format,
		  ...)
{
	va_list args;

	assert_ptr_equal(instances, &fake->instances);
	(void)severity, (void)instance;
	va_start(args, format);
	assert_true(fake->n_logs < ARRAY_SIZE(fake->logs));
	vsnprintf(fake->logs[fake->n_logs++], sizeof(fake->logs[0]), format, args);
	va_end(args);
}

struct instance *instance_by_id(const struct instances *instances, uint64_t id)
{
	assert_ptr_equal(instances, &fake->instances);
	return id && fake->instance.view.id == id ? &fake->instance : NULL;
}

int instance_open_netns(struct instances *instances, struct instance *instance)
{
	(void)instances, (void)instance;
	return fake->netns_fd < 0 ? fake->netns_fd : fcntl(fake->netns_fd, F_DUPFD_CLOEXEC, 0);
}

void instance_find_owner(struct instances *instances, struct instance *instance)
{
	(void)instances;
	if (fake->find_owner)
		fake->find_owner(instance);
}

void instance_is_to_end(struct instances *instances, struct instance *instance)
{
	(void)instances;
	instance->is_ending = true;
}

void instance_set_gate(struct instances *instances, const struct instance *instance)
{
	(void)instances, (void)instance;
	fake->gates++;
}

void instances_sweep_soon(struct instances *instances, struct instance *instance)
{
	(void)instances, (void)instance;
	fake->sweeps++;
}

void instances_child_ended(struct instances *instances, pid_t pid)
{
	(void)instances;
	fake->scout_ended = pid;
}

/* --- the rooms above ---------------------------------------------------------------------------- */

static void on_ready(void *arg, struct instance *instance)
{
	assert_ptr_equal(arg, fake);
	assert_ptr_equal(instance, &fake->instance);
	fake->ready++;
}

static void on_report(void *arg, struct instance *instance, const struct bpftune_report *report)
{
	assert_ptr_equal(arg, fake);
	assert_ptr_equal(instance, &fake->instance);
	assert_int_equal(report->kind, BPFTUNE_LOG);
	fake->reported++;
}

static char fake_name[] = "web", fake_path[] = "/web";

static void on_ended(void *arg, struct instance *instance)
{
	assert_ptr_equal(arg, fake);
	assert_null(instance->child->timer);
	assert_false(instance->is_entered);
	fake->ended++;
}

/* The number of the tuner and the kind, as often as the sum of both; nothing for 0 and 0. */
static struct bpftune_memory on_remembered(void *arg, const struct bpftune *view, uint16_t tuner,
					   enum bpftune_memory_kind kind)
{
	static char digits[] = "0123456789";

	assert_ptr_equal(arg, fake);
	assert_ptr_equal(view, &fake->instance.view);
	return (struct bpftune_memory){ kind, tuner + kind, digits + tuner };
}

/* --- a room of workers with one instance -------------------------------------------------------- */

static int open_workers(void **state)
{
	fake = calloc(1, sizeof(*fake));
	*state = fake;
	if (!fake)
		return -1;
	fake->now_ms = NOW_MS;
	fake->n_polls = 100;
	fake->netns_fd = -1;
	fake->instances.kernel = &fake->kernel;
	fake->instances.loop = (uv_loop_t *)fake;
	fake->workers = (struct workers){
		.loop = (uv_loop_t *)fake,
		.kernel = &fake->kernel,
		.instances = &fake->instances,
		.listener = { on_ready, on_report, on_ended, on_remembered },
		.arg = fake,
	};
	capacity_start(&fake->workers, step_try_start);
	fake->workers.stack = fake;
	fake->instance.view.id = INSTANCE_HOST;
	fake->instance.view.name = fake_name;
	fake->instance.view.cgroup_path = fake_path;
	return 0;
}

static void assert_no_owner_is_held(void)
{
	for (const struct owner *owner = fake->instances.owners; owner; owner = owner->hh.next) {
		assert_int_equal(owner->n_users, 0);
		assert_int_equal(owner->n_workers, 0);
		assert_null(owner->waiting);
	}
}

static struct child *child_now(void)
{
	return child_of(&fake->workers, &fake->instance);
}

static void free_child_of(struct instance *instance)
{
	struct child *child = instance->child;

	if (!child)
		return;
	fake->workers.stopping = true;
	capacity_gone(&fake->workers, child);
	fake->workers.stopping = false;
	if (instance->worker_pid)
		HASH_CLEAR(hh, fake->workers.by_pid);
	instance->worker_pid = 0;
	instance->is_entered = false;
	process_close(child);
	if (child->timer)
		pool_put(&fake->workers.timers, child->timer);
	event_queue_clear(&child->queue);
	pool_put(&fake->workers.children, child);
	instance->child = NULL;
}

static void free_child(void)
{
	free_child_of(&fake->instance);
	fake->workers.n_ready = 0;
	fake->timer_cb = NULL;
}

/* Nothing is left of whoever was counted. */
static int close_workers(void **state)
{
	(void)state;
	free_child();
	assert_no_owner_is_held();
	owners_free(&fake->instances);
	assert_null(fake->workers.lacking);
	assert_null(fake->workers.readable);
	assert_null(fake->workers.starters);
	assert_int_equal(fake->workers.n, 0);
	assert_int_equal(fake->workers.slots.n_taken, 0);
	slots_close(&fake->workers.slots);
	pool_close(&fake->workers.children);
	pool_close(&fake->workers.polls);
	pool_close(&fake->workers.timers);
	free(fake);
	return 0;
}

static void step(enum child_event event, enum child_state state)
{
	assert_int_equal(child_step(child_now(), event), state);
	assert_int_equal(child_now()->state, state);
}

static inline void start_worker(void)
{
	step(CHILD_WANTED, CHILD_STARTING);
	assert_int_equal(fake->instance.worker_pid, PID);
}

static inline void make_ready(void)
{
	start_worker();
	step(CHILD_IS_READY, CHILD_READY);
}

static inline void time_out(void)
{
	assert_non_null(fake->timer_cb);
	fake->timer_cb(fake->timer);
}

static inline void assert_timer(uint64_t ms)
{
	assert_non_null(fake->timer_cb);
	assert_int_equal(fake->timer_ms, ms);
}

static inline void assert_last_log(const char *text)
{
	assert_int_not_equal(fake->n_logs, 0);
	assert_string_equal(fake->logs[fake->n_logs - 1], text);
}

#define on_workers(test) cmocka_unit_test_setup_teardown(test, open_workers, close_workers)

#endif
