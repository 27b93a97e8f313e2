// SPDX-License-Identifier: GPL-2.0-or-later
/* What goes through a worker's two pipes. */
#include "tests/unit/fake_system.h"

/* --- events ------------------------------------------------------------------------------------- */

/* Events that came before it was ready are sent when it is. */
static void test_queue_before_ready(void **state)
{
	(void)state;
	for (int has_event = 0; has_event < 2; has_event++) {
		const struct child *child = child_now();

		start_worker();
		if (has_event)
			send_event(0, 5);
		assert_int_equal(child->events->flags, 0);
		assert_int_equal(hear(), -1);
		step(CHILD_IS_READY, CHILD_READY);
		assert_int_equal(child->events->flags, has_event ? UV_WRITABLE : 0);
		if (has_event)
			call_back(child->events, 0);
		assert_int_equal(hear(), has_event ? 5 : -1);
		forget_child();
	}
	assert_int_equal(fake->workers.counters.routed, 1);
}

/* A pipe that is full: the queue takes the rest, and is emptied in the same order. */
static void test_full_pipe(void **state)
{
	const struct workers_counters *counters = &fake->workers.counters;
	const struct child *child = child_now();
	uint16_t n;

	(void)state;
	make_ready();
	n = fill_pipe();
	assert_int_equal(counters->routed, n);
	assert_int_equal(child->events->flags, UV_WRITABLE);
	send_event(0, n);
	assert_int_equal(counters->coalesced, 1);
	assert_int_equal(hear(), 0);
	send_event(0, n + 1); /* the pipe has room, but queued events go first */
	assert_int_equal(child->queue.n, 2);
	for (uint16_t i = 1; i < n; i++)
		assert_int_equal(hear(), i);
	call_back(child->events, 0);
	assert_int_equal(child->events->flags, 0); /* all sent */
	assert_int_equal(counters->routed, n + 2);
	assert_int_equal(hear(), n);
	assert_int_equal(hear(), n + 1);
	assert_int_equal(hear(), -1);
}

static void test_pipe_that_stays_full(void **state)
{
	const struct child *child = child_now();
	uint16_t n;

	(void)state;
	make_ready();
	n = fill_pipe();
	call_back(child->events, 0);
	assert_int_equal(child->events->flags, UV_WRITABLE); /* called again when there is room */
	assert_int_equal(child->queue.n, 1);
	assert_int_equal(fake->workers.counters.routed, n);
	assert_int_equal(hear(), 0);
	call_back(child->events, UV_EBADF);
	assert_int_equal(child->queue.n, 1);
	assert_int_equal(child->events->flags, 0);
}

/* A worker that reads nothing loses events. When it would lose orders, too, the supervisor kills it, once. */
static void test_worker_that_reads_nothing(void **state)
{
	const struct workers_counters *counters = &fake->workers.counters;
	const struct child *child = child_now();

	(void)state;
	make_ready();
	fill_pipe();
	for (uint16_t i = 1; child->queue.n < EVENT_QUEUE_MAX; i++)
		send_event(1, i);
	assert_int_equal(counters->lost, 0);
	send_event(2, 0);
	assert_int_equal(counters->lost, 1);
	while (child->queue.n < EVENT_QUEUE_ORDERS_MAX)
		send_event(BPFTUNE_FROM_SUPERVISOR, BPFTUNE_GRANT);
	assert_int_equal(fake->kills, 0);
	for (int i = 0; i < 2; i++)
		send_event(BPFTUNE_FROM_SUPERVISOR, BPFTUNE_GRANT);
	assert_int_equal(counters->lost, 3);
	assert_int_equal(fake->kills, 1);
	assert_int_equal(fake->killed, PID);
	assert_last_log("worker 77 does not read its orders: killed");
	fake->n_logs = 0;
	reap(PID, SIGKILL);
	close_worker_ends();
	time_out();
	assert_false(child->is_overrun); /* the next worker has done nothing wrong */
}

/* Too many orders for an instance that has no process. */
static void test_nobody_to_kill(void **state)
{
	(void)state;
	for (int i = 0; i <= EVENT_QUEUE_ORDERS_MAX; i++)
		send_event(BPFTUNE_FROM_SUPERVISOR, BPFTUNE_GRANT);
	assert_int_equal(fake->workers.counters.lost, 1);
	assert_int_equal(fake->kills, 0);
	assert_false(child_now()->is_overrun);
}

/* --- reports ------------------------------------------------------------------------------------ */

static void test_reports(void **state)
{
	const struct child *child = child_now();

	(void)state;
	start_worker();
	say(BPFTUNE_LOG);
	say(BPFTUNE_LOG);
	take_reports();
	assert_int_equal(fake->reported, 2);
	workers_handle(&fake->workers); /* nothing new */
	assert_int_equal(fake->reported, 2);
	assert_int_equal(child->reports->flags, UV_READABLE);
	assert_int_equal(write(sys.worker_report_fd, "", 1), 1);
	take_reports(); /* a part of a report */
	assert_int_equal(child->reports->flags, UV_READABLE);
	close_fdp(&sys.worker_report_fd);
	call_back(child->reports, 0);
	assert_int_equal(child->reports->flags, 0); /* the end of file */
	workers_handle(&fake->workers);
	assert_int_equal(fake->reported, 2);
}

/* What a worker reports after the loop has looked may be about a write that the kernel has yet to tell of. */
static void test_only_what_was_there(void **state)
{
	const struct child *child = child_now();

	(void)state;
	start_worker();
	say(BPFTUNE_LOG);
	call_back(child->reports, 0);
	assert_int_equal(fake->reported, 0);
	assert_ptr_equal(fake->workers.readable, child);
	say(BPFTUNE_LOG);
	say(BPFTUNE_LOG);
	workers_handle(&fake->workers);
	assert_int_equal(fake->reported, 1);
	assert_null(fake->workers.readable);
	call_back(child->reports, 0);
	call_back(child->reports, 0); /* twice before it is handled */
	workers_handle(&fake->workers);
	assert_int_equal(fake->reported, 3);
}

static void test_reports_that_cannot_be_read(void **state)
{
	struct child *child = child_now();
	int fd;

	(void)state;
	start_worker();
	say(BPFTUNE_LOG);
	call_back(child->reports, UV_EBADF);
	assert_int_equal(child->reports->flags, 0);
	assert_null(fake->workers.readable);
	workers_handle(&fake->workers);
	assert_int_equal(fake->reported, 0);

	fd = child->report_fd;
	child->reports->flags = UV_READABLE;
	child->report_fd = -1;
	call_back(child->reports, 0); /* how much is there cannot be told */
	assert_int_equal(child->reports->flags, 0);
	child->report_fd = fd;
	child->reports->flags = UV_READABLE;
	call_back(child->reports, 0);
	child->report_fd = -1;
	workers_handle(&fake->workers);
	assert_int_equal(child->reports->flags, 0);
	child->report_fd = fd;
	assert_int_equal(fake->reported, 0);
}

/* There is nothing to read after all: that is not the end of file. */
static void test_nothing_was_there(void **state)
{
	const struct child *child = child_now();
	struct bpftune_report report;

	(void)state;
	start_worker();
	say(BPFTUNE_LOG);
	call_back(child->reports, 0);
	assert_int_equal(read(child->report_fd, &report, sizeof(report)), sizeof(report));
	workers_handle(&fake->workers);
	assert_int_equal(fake->reported, 0);
	assert_int_equal(child->reports->flags, UV_READABLE);
}

/* READY changes the worker's state; the rooms above hear of it, but not as a report. */
static void test_ready(void **state)
{
	(void)state;
	start_worker();
	say(BPFTUNE_READY);
	say(BPFTUNE_LOG);
	take_reports();
	assert_int_equal(child_now()->state, CHILD_READY);
	assert_int_equal(fake->workers.n_ready, 1);
	assert_int_equal(fake->ready, 1);
	assert_int_equal(fake->reported, 1);
	assert_int_equal(fake->n_logs, 1);
	assert_last_log("worker 77 is ready");
}

static void test_ready_too_late(void **state)
{
	(void)state;
	start_worker();
	step(CHILD_STOP, CHILD_RETIRING);
	say(BPFTUNE_READY);
	take_reports();
	assert_int_equal(child_now()->state, CHILD_RETIRING);
	assert_int_equal(fake->n_logs, 0);
	assert_int_equal(fake->ready, 1);
	assert_int_equal(fake->workers.n_ready, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		on_a_system(test_queue_before_ready),
		on_a_system(test_full_pipe),
		on_a_system(test_pipe_that_stays_full),
		on_a_system(test_worker_that_reads_nothing),
		on_a_system(test_nobody_to_kill),
		on_a_system(test_reports),
		on_a_system(test_only_what_was_there),
		on_a_system(test_reports_that_cannot_be_read),
		on_a_system(test_nothing_was_there),
		on_a_system(test_ready),
		on_a_system(test_ready_too_late),
	};

	return cmocka_run_group_tests_name("process_pipes", tests, NULL, NULL);
}
