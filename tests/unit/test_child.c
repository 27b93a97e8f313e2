// SPDX-License-Identifier: GPL-2.0-or-later
/* What is done in each state of a worker's life. */
#include <errno.h>
#include <string.h>

#include "tests/unit/fake_process.h"

/* --- fork --------------------------------------------------------------------------------------- */

static void test_fork(void **state)
{
	(void)state;
	start_worker();
	assert_timer(CHILD_READY_MS);
	assert_int_equal(child_now()->forked_ms, NOW_MS);
	assert_int_equal(fake->workers.n, 1);
	step(CHILD_WANTED, CHILD_STARTING);
	assert_int_equal(process.starts, 1);
	assert_int_equal(fake->n_logs, 0);
}

static void test_whose_namespace(void **state)
{
	static const struct {
		const char *what;
		uint64_t id;
		bool shares_netns, enters;
	} cases[] = {
		{ "the host", INSTANCE_HOST, false, false },
		{ "a container", 2, false, true },
		{ "a container in the host's namespace", 3, true, false },
	};

	(void)state;
	fake->netns_fd = STDIN_FILENO;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		fake->instance.view.id = cases[i].id;
		fake->instance.view.shares_netns = cases[i].shares_netns;
		start_worker();
		if (process.enters != cases[i].enters)
			fail_msg("%s: %s", cases[i].what, cases[i].enters ? "stays" : "enters a namespace");
		free_child();
	}
}

/* What is missing may be there later: the first event after a second starts the worker. */
static void test_put_off(void **state)
{
	static const struct {
		const char *what;
		int netns_fd, err, unserved;
	} cases[] = {
		{ "no descriptors", 0, -EMFILE, -EMFILE },
		{ "no memory", 0, -ENOMEM, -ENOMEM },
		{ "no more processes", 0, -EAGAIN, -EAGAIN },
		{ "no descriptor for the namespace", -ENFILE, 0, -ENFILE },
		{ "no task is in the namespace", -ESRCH, 0, 0 },
		{ "the namespace has no name", -ENOENT, 0, 0 },
		{ "the task is in another namespace by now", -ESTALE, 0, 0 },
	};

	(void)state;
	fake->instance.view.id = 2;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct child *child = child_now();
		unsigned int starts;

		fake->n_logs = 0;
		fake->netns_fd = cases[i].netns_fd;
		process.err = cases[i].err;
		step(CHILD_WANTED, CHILD_NONE);
		if (child->unserved != cases[i].unserved || child->restarts || fake->timer_cb || fake->workers.n)
			fail_msg("%s: unserved is %d", cases[i].what, child->unserved);
		assert_int_equal(fake->n_logs, cases[i].unserved != 0);
		fake->netns_fd = process.err = 0;
		starts = process.starts;
		fake->now_ms += CHILD_BACKOFF_MIN_MS - 1;
		step(CHILD_WANTED, CHILD_NONE);
		assert_int_equal(process.starts, starts);
		assert_int_equal(child->unserved, cases[i].unserved);
		fake->now_ms++;
		start_worker();
		assert_int_equal(child->unserved, 0);
		free_child();
	}
}

/* Any other error is logged, and the worker is started again after a pause. */
static void test_failed_start(void **state)
{
	(void)state;
	fake->instance.view.id = 2;
	fake->netns_fd = -EACCES;
	step(CHILD_WANTED, CHILD_BACKOFF);
	assert_int_equal(fake->n_logs, 2);
	assert_string_equal(fake->logs[0], "cannot start the worker: Permission denied");
	assert_string_equal(fake->logs[1], "starting another worker in 1 s");
	assert_int_equal(child_now()->restarts, 1);
	assert_int_equal(child_now()->unserved, 0);
	assert_timer(CHILD_BACKOFF_MIN_MS);
	fake->now_ms += CHILD_BACKOFF_MIN_MS;
	time_out();
	assert_timer(2 * CHILD_BACKOFF_MIN_MS);
	fake->netns_fd = 0;
	time_out();
	assert_int_equal(child_now()->state, CHILD_STARTING);
	assert_int_equal(process.starts, 1);
}

/* There are as many workers as the limit allows. */
static void test_no_place(void **state)
{
	(void)state;
	fake->workers.n = WORKERS_MAX;
	step(CHILD_WANTED, CHILD_NONE);
	assert_int_equal(child_now()->unserved, -EUSERS);
	assert_int_equal(child_now()->retry_ms, 0); /* a place may be free at any time */
	assert_int_equal(process.starts, 0);
	fake->workers.n--;
	start_worker();
	assert_int_equal(fake->workers.n, WORKERS_MAX);
	fake->workers.n = 1;
}

/* As many workers are starting as may start together: no namespace is opened, and nothing is said. */
static void test_no_slot(void **state)
{
	(void)state;
	fake->workers.slots.n = 0;
	fake->instance.view.id = 2;
	fake->netns_fd = -ESRCH;
	step(CHILD_WANTED, CHILD_NONE);
	assert_int_equal(child_now()->unserved, -EBUSY);
	assert_int_equal(child_now()->retry_ms, 0);
	assert_int_equal(fake->n_logs, 0);
	fake->netns_fd = STDIN_FILENO;
	fake->workers.slots.n = SLOTS_MAX;
	start_worker();
	assert_int_equal(child_now()->unserved, 0);
}

/* --- a worker that runs ------------------------------------------------------------------------- */

static void test_serve(void **state)
{
	(void)state;
	for (uint64_t id = INSTANCE_HOST; id <= 2; id++) {
		unsigned int gates = fake->gates, sweeps = fake->sweeps, flushes = process.flushes;

		fake->netns_fd = STDIN_FILENO;
		fake->instance.view.id = id;
		start_worker();
		assert_false(fake->instance.is_entered);
		assert_int_equal(fake->workers.n_ready, 0);
		step(CHILD_IS_READY, CHILD_READY);
		assert_null(fake->timer_cb);
		assert_true(fake->instance.is_entered);
		assert_int_equal(fake->workers.n_ready, 1);
		assert_int_equal(fake->gates, gates + 1);
		assert_int_equal(process.flushes, flushes + 1);
		/* The last user of a container's namespace may have left while the worker started. */
		assert_int_equal(fake->sweeps, sweeps + (id != INSTANCE_HOST));
		free_child();
	}
}

static void test_late_to_be_ready(void **state)
{
	(void)state;
	start_worker();
	time_out();
	assert_int_equal(fake->killed, PID);
	assert_int_equal(fake->kills, 1);
	assert_timer(CHILD_KILL_MS);
	fake->instance.worker_pid = 0; /* kill(0) would kill the supervisor */
	time_out();
	assert_int_equal(fake->kills, 1);
}

/* --- the end of a worker ------------------------------------------------------------------------ */

static void test_hang_up_and_forget(void **state)
{
	(void)state;
	make_ready();
	step(CHILD_UNUSED, CHILD_RETIRING);
	assert_int_equal(process.hang_ups, 1);
	assert_timer(CHILD_KILL_MS);
	assert_true(fake->instance.is_entered); /* until its process has ended */
	assert_int_equal(fake->ended, 0);
	time_out();
	assert_int_equal(fake->killed, PID);
	assert_int_equal(end_process(&fake->instance), CHILD_GONE);
	assert_int_equal(fake->ended, 1);
	assert_int_equal(fake->closed, 1);
	assert_int_equal(process.closes, 2);
	assert_int_equal(fake->workers.n, 0);
	assert_int_equal(fake->workers.n_ready, 0);
	assert_no_owner_is_held();
	assert_int_equal(fake->n_logs, 0); /* the supervisor told the worker to end */
}

/* An instance that never had a worker. */
static void test_forget(void **state)
{
	(void)state;
	step(CHILD_STOP, CHILD_GONE);
	assert_int_equal(fake->ended, 1);
	assert_int_equal(fake->closed, 0);
	assert_int_equal(fake->workers.n_ready, 0);
}

/* The dead worker holds no reference to the namespace, so that others' references count from now on. */
static void test_delay(void **state)
{
	(void)state;
	make_ready();
	fake->gates = fake->sweeps = 0;
	assert_int_equal(end_process(&fake->instance), CHILD_BACKOFF);
	assert_false(fake->instance.is_entered);
	assert_int_equal(fake->workers.n_ready, 0);
	assert_int_equal(fake->workers.n, 0);
	assert_int_equal(fake->gates, 1);
	assert_int_equal(fake->sweeps, 1);
	assert_int_equal(child_now()->restarts, 1);
	assert_last_log("starting another worker in 1 s");
	time_out();
	assert_int_equal(end_process(&fake->instance), CHILD_BACKOFF); /* before it was ready */
	assert_int_equal(fake->workers.n_ready, 0);
	assert_last_log("starting another worker in 2 s");
	step(CHILD_UNUSED, CHILD_GONE);
	assert_int_equal(fake->ended, 1);
}

/* A worker that lived for a minute does not count as one that fails to start. */
static void test_pause_after_death(void **state)
{
	static const struct {
		unsigned int lived_ms, pause_ms;
	} cases[] = { { 10, 1000 }, { 59999, 2000 }, { 10, 4000 }, { 60000, 1000 } };

	(void)state;
	start_worker();
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		fake->now_ms += cases[i].lived_ms;
		assert_int_equal(end_process(&fake->instance), CHILD_BACKOFF);
		assert_timer(cases[i].pause_ms);
		assert_int_equal(child_now()->restarts, i + 1);
		fake->now_ms += cases[i].pause_ms;
		time_out();
		assert_int_equal(child_now()->state, CHILD_STARTING);
	}
}

/* --- more tuners -------------------------------------------------------------------------------- */

/* Another worker takes its place at once: it is no crash, the instance goes on, and no place is lost. */
static void test_renew(void **state)
{
	(void)state;
	fake->instances.by_id = &fake->instance;
	make_ready();
	workers_renew(&fake->workers);
	workers_handle(&fake->workers);
	assert_int_equal(child_now()->state, CHILD_RENEWING);
	assert_int_equal(process.hang_ups, 1);
	assert_timer(CHILD_KILL_MS);
	workers_handle(&fake->workers); /* nobody else's turn meanwhile */
	assert_int_equal(end_process(&fake->instance), CHILD_STARTING);
	assert_int_equal(process.starts, 2);
	assert_int_equal(fake->workers.n, 1);
	assert_int_equal(fake->workers.n_ready, 0);
	assert_timer(CHILD_READY_MS);
	step(CHILD_IS_READY, CHILD_READY);
	assert_int_equal(fake->n_logs, 0);
	workers_handle(&fake->workers);
	assert_int_equal(fake->n_logs, 1);
	assert_string_equal(fake->logs[0], "1 workers were replaced, one after another: all have all tuners");
	workers_handle(&fake->workers);
	assert_int_equal(process.hang_ups, 1);
	assert_int_equal(child_now()->restarts, 0);
	assert_int_equal(fake->ended, 0);
}

/* One that was being forked when the tuner came is replaced when it is ready; one that does not end is killed. */
static void test_renew_later(void **state)
{
	(void)state;
	fake->instances.by_id = &fake->instance;
	start_worker();
	workers_renew(&fake->workers);
	workers_handle(&fake->workers);
	assert_int_equal(process.hang_ups, 0);
	step(CHILD_IS_READY, CHILD_READY);
	workers_handle(&fake->workers);
	assert_int_equal(child_now()->state, CHILD_RENEWING);
	time_out();
	assert_int_equal(fake->killed, PID);
	process.err = -EIO;
	assert_int_equal(end_process(&fake->instance), CHILD_BACKOFF);
	workers_handle(&fake->workers); /* the others' turn comes all the same */
	assert_false(fake->workers.is_renewing);
}

/* Its namespace may end while it is being replaced. */
static void test_renew_unused(void **state)
{
	(void)state;
	fake->instances.by_id = &fake->instance;
	make_ready();
	workers_renew(&fake->workers);
	workers_handle(&fake->workers);
	step(CHILD_UNUSED, CHILD_RETIRING);
	assert_int_equal(end_process(&fake->instance), CHILD_GONE);
	assert_int_equal(fake->ended, 1);
	assert_int_equal(process.starts, 1);
}

/* --- all tuners are off ------------------------------------------------------------------------- */

/* The worker ends, and another may have its place; the instance stays. Then it may have a worker again. */
static void test_dismiss(void **state)
{
	(void)state;
	make_ready();
	step(CHILD_DISMISSED, CHILD_LEAVING);
	assert_int_equal(process.hang_ups, 1);
	assert_timer(CHILD_KILL_MS);
	assert_int_equal(fake->workers.n, 1);
	fake->gates = fake->sweeps = 0;
	assert_int_equal(end_process(&fake->instance), CHILD_NONE);
	assert_null(fake->timer_cb);
	assert_false(fake->instance.is_entered);
	assert_int_equal(fake->gates, 1);
	assert_int_equal(fake->sweeps, 1); /* a reference that is left is not ours any more */
	assert_int_equal(fake->workers.n, 0);
	assert_int_equal(fake->workers.n_ready, 0);
	assert_no_owner_is_held();
	assert_int_equal(child_now()->restarts, 0);
	assert_int_equal(fake->ended, 0);
	assert_int_equal(fake->n_logs, 0);
	step(CHILD_WANTED, CHILD_STARTING);
	assert_int_equal(process.starts, 2);
}

/* One that is wanted again while it leaves has a successor at once; one that does not leave is killed. */
static void test_dismiss_and_want(void **state)
{
	(void)state;
	make_ready();
	step(CHILD_DISMISSED, CHILD_LEAVING);
	time_out();
	assert_int_equal(fake->killed, PID);
	step(CHILD_WANTED, CHILD_RENEWING);
	assert_int_equal(end_process(&fake->instance), CHILD_STARTING);
	assert_int_equal(process.starts, 2);
}

/* What was queued for a worker is nothing to its successor. */
static void test_dismiss_drops_events(void **state)
{
	(void)state;
	start_worker();
	event_queue_push(&child_now()->queue, &(struct bpftune_event){ .scenario = 1 });
	step(CHILD_DISMISSED, CHILD_LEAVING);
	assert_int_equal(end_process(&fake->instance), CHILD_NONE);
	assert_int_equal(child_now()->queue.n, 0);
}

static void test_one_child_an_instance(void **state)
{
	const struct child *child = child_now();

	(void)state;
	assert_ptr_equal(child_now(), child);
	assert_ptr_equal(child->instance, &fake->instance);
	assert_int_equal(child->state, CHILD_NONE);
	assert_int_equal(child->event_fd, -1);
	assert_int_equal(child->report_fd, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		on_processes(test_fork),
		on_processes(test_whose_namespace),
		on_processes(test_put_off),
		on_processes(test_failed_start),
		on_processes(test_no_place),
		on_processes(test_no_slot),
		on_processes(test_serve),
		on_processes(test_late_to_be_ready),
		on_processes(test_hang_up_and_forget),
		on_processes(test_forget),
		on_processes(test_delay),
		on_processes(test_pause_after_death),
		on_processes(test_renew),
		on_processes(test_renew_later),
		on_processes(test_renew_unused),
		on_processes(test_dismiss),
		on_processes(test_dismiss_and_want),
		on_processes(test_dismiss_drops_events),
		on_processes(test_one_child_an_instance),
	};

	return cmocka_run_group_tests_name("child", tests, NULL, NULL);
}
