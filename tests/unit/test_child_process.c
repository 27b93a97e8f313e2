// SPDX-License-Identifier: GPL-2.0-or-later
/* What the actions of child.c do. fake_child.h has the functions that they call. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>

#include "supervisor/workers/capacity.h"
#include "tests/unit/fake_child.h"

#define NOW_MS 500000
#define STATUS(code) ((code) << 8) /* of a process that has called _exit(code) */

/* --- a supervisor of one instance --------------------------------------------------------------- */

static int open_supervisor(void **state)
{
	struct instance *instance;

	fake = calloc(1, sizeof(*fake));
	*state = fake;
	if (!fake)
		return -1;
	fake->s.loop.data = &fake->s;
	fake->s.host.own_pids_fd = -1;
	fake->now_ms = NOW_MS;
	fake->fork_pid = PID;
	fake->n_pipes = fake->n_polls = 100;
	fake->netns_fd = fake->worker_event_fd = fake->worker_report_fd = -1;
	instance = &fake->instance;
	instance->pub.id = INSTANCE_HOST;
	instance->child.event_fd = instance->child.report_fd = -1;
	HASH_ADD(by_id, fake->s.registry.by_id, pub.id, sizeof(uint64_t), instance);
	return 0;
}

static void free_child(void)
{
	struct child *child = &fake->instance.child;

	free(child->events);
	free(child->reports);
	free(child->timer);
	event_queue_clear(&child->queue);
	close_fdp(&child->event_fd);
	close_fdp(&child->report_fd);
	close_fdp(&fake->worker_event_fd);
	close_fdp(&fake->worker_report_fd);
	*child = (struct child){ .event_fd = -1, .report_fd = -1 };
	fake->timer_cb = NULL;
}

static int close_supervisor(void **state)
{
	(void)state;
	HASH_CLEAR(by_id, fake->s.registry.by_id);
	free_child();
	free(fake);
	return 0;
}

static void step(enum child_event event, enum child_state state)
{
	assert_int_equal(child_step(&fake->s, &fake->instance, event), state);
	assert_int_equal(fake->instance.child.state, state);
}

static void start_worker(void)
{
	step(CHILD_WANTED, CHILD_STARTING);
	assert_int_equal(fake->instance.child.pid, PID);
}

static void make_ready(void)
{
	start_worker();
	step(CHILD_IS_READY, CHILD_READY);
}

static void time_out(void)
{
	assert_non_null(fake->timer_cb);
	fake->timer_cb(fake->instance.child.timer);
}

static void assert_timer(uint64_t ms)
{
	assert_non_null(fake->timer_cb);
	assert_int_equal(fake->timer_ms, ms);
}

static void reap(pid_t pid, int status)
{
	fake->ended_pid = pid;
	fake->ended_status = status;
	child_reap(&fake->s);
}

static void send_event(uint16_t tuner, uint16_t scenario)
{
	child_send(&fake->s, &fake->instance, &(struct bpftune_event){ .tuner = tuner, .scenario = scenario });
}

/* Until the pipe is full: the number of events that it took. */
static uint16_t fill_pipe(void)
{
	uint16_t n = 0;

	for (; !fake->instance.child.queue.n; n++)
		send_event(0, n);
	return n - 1;
}

/* The scenario of the event that the worker reads next; -1: none. */
static int hear(void)
{
	struct bpftune_event event;

	return read(fake->worker_event_fd, &event, sizeof(event)) == sizeof(event) ? event.scenario : -1;
}

static void say(void)
{
	struct bpftune_report report = { .kind = BPFTUNE_LOG };

	assert_int_equal(record_write(fake->worker_report_fd, &report, sizeof(report)), 0);
}

static void call_back(uv_poll_t *poll, int status)
{
	poll->poll_cb(poll, status, 0);
}

/* --- starting a worker -------------------------------------------------------------------------- */

static void test_start(void **state)
{
	const struct child *child = &fake->instance.child;

	(void)state;
	start_worker();
	assert_true(fake->signals_blocked);
	assert_false(is_blocked(SIGTERM));
	assert_timer(CHILD_READY_MS);
	assert_int_equal(child->forked_ms, NOW_MS);
	assert_int_equal(child->reports->flags, UV_READABLE);
	assert_int_equal(child->events->flags, 0);
	step(CHILD_WANTED, CHILD_STARTING);
	assert_int_equal(fake->forks, 1);
}

static void start_as_worker(void)
{
	if (!setjmp(fake->worker_started))
		child_step(&fake->s, &fake->instance, CHILD_WANTED);
}

/* The worker's side of the fork. */
static void test_worker_side(void **state)
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
	struct worker_start *start = &fake->start;
	sigset_t none;

	(void)state;
	sigemptyset(&none);
	fake->fork_pid = 0;
	fake->netns_fd = STDIN_FILENO;
	fake->s.options.dry_run = true;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		fake->instance.pub.id = cases[i].id;
		fake->instance.pub.shares_netns = cases[i].shares_netns;
		start_as_worker();
		assert_true(is_blocked(SIGTERM)); /* until the worker has reset its signals */
		sigprocmask(SIG_SETMASK, &none, NULL);
		if ((start->netns_fd >= 0) != cases[i].enters)
			fail_msg("%s: %s", cases[i].what, cases[i].enters ? "stays" : "enters a namespace");
		assert_ptr_equal(start->instance, &fake->instance.pub);
		assert_int_equal(start->supervisor, getpid());
		assert_true(start->dry_run);
		assert_int_equal(fcntl(start->event_fd, F_GETFL), O_RDONLY | O_NONBLOCK);
		assert_int_equal(fcntl(start->report_fd, F_GETFL), O_WRONLY); /* a worker may wait for the supervisor */
		close_fdp(&start->netns_fd);
		close_fdp(&start->event_fd);
		close_fdp(&start->report_fd);
		close(fake->instance.child.events->io_watcher.fd);
		close(fake->instance.child.reports->io_watcher.fd);
		free_child();
	}
}

/* What is missing may be there later: the first event after a second starts the worker. */
static void test_put_off(void **state)
{
	static const struct {
		const char *what;
		int n_pipes, n_polls, netns_fd;
		pid_t fork_pid;
		int unserved;
	} cases[] = {
		{ "no descriptors", 0, 2, 0, PID, -EMFILE },
		{ "descriptors for one pipe only", 1, 2, 0, PID, -EMFILE },
		{ "no memory for a handle", 2, 0, 0, PID, -ENOMEM },
		{ "memory for one handle only", 2, 1, 0, PID, -ENOMEM },
		{ "no more processes", 2, 2, 0, -1, -EAGAIN },
		{ "no task is in the namespace", 2, 2, -ESRCH, PID, 0 },
		{ "the namespace has no name", 2, 2, -ENOENT, PID, 0 },
		{ "the task is in another namespace by now", 2, 2, -ESTALE, PID, 0 },
	};
	const struct child *child = &fake->instance.child;

	(void)state;
	fake->instance.pub.id = 2;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned int forks;

		fake->n_pipes = cases[i].n_pipes;
		fake->n_polls = cases[i].n_polls;
		fake->netns_fd = cases[i].netns_fd;
		fake->fork_pid = cases[i].fork_pid;
		step(CHILD_WANTED, CHILD_NONE);
		if (fake->instance.unserved != cases[i].unserved || child->pid || child->events || child->reports ||
		    child->restarts || fake->timer_cb)
			fail_msg("%s: unserved is %d", cases[i].what, fake->instance.unserved);
		fake->n_pipes = fake->n_polls = 2;
		fake->netns_fd = 0;
		fake->fork_pid = PID;
		forks = fake->forks;
		fake->now_ms += CHILD_BACKOFF_MIN_MS - 1;
		step(CHILD_WANTED, CHILD_NONE);
		assert_int_equal(fake->forks, forks);
		fake->now_ms++;
		start_worker();
		assert_int_equal(fake->instance.unserved, 0);
		free_child();
	}
}

/* Any other error is logged, and the worker is started again after a pause. */
static void test_failed_start(void **state)
{
	const struct child *child = &fake->instance.child;

	(void)state;
	fake->instance.pub.id = 2;
	fake->netns_fd = -EACCES;
	step(CHILD_WANTED, CHILD_BACKOFF);
	assert_int_equal(fake->n_logs, 2);
	assert_string_equal(fake->logs[0], "cannot start the worker: Permission denied");
	assert_string_equal(fake->logs[1], "starting another worker in 1 s");
	assert_int_equal(child->restarts, 1);
	assert_timer(CHILD_BACKOFF_MIN_MS);
	fake->now_ms += CHILD_BACKOFF_MIN_MS;
	time_out();
	assert_timer(2 * CHILD_BACKOFF_MIN_MS);
	fake->netns_fd = 0;
	time_out();
	assert_int_equal(child->state, CHILD_STARTING);
	assert_int_equal(fake->forks, 1);
}

/* The instance's owner has as many workers as the limit allows. */
static void test_no_room(void **state)
{
	struct instance *others = calloc(ROOM_WORKERS_PER_OWNER_MAX, sizeof(*others));

	(void)state;
	assert_non_null(others);
	for (uint64_t i = 0; i < ROOM_WORKERS_PER_OWNER_MAX; i++) {
		others[i].pub.id = i + 2;
		others[i].child.pid = 1000;
		HASH_ADD(by_id, fake->s.registry.by_id, pub.id, sizeof(uint64_t), (&others[i]));
	}
	step(CHILD_WANTED, CHILD_NONE);
	assert_int_equal(fake->instance.unserved, -EUSERS);
	assert_int_equal(fake->instance.child.retry_ms, 0); /* room may be free at any time */
	assert_int_equal(fake->forks, 0);
	others[0].child.pid = 0;
	start_worker();
	HASH_CLEAR(by_id, fake->s.registry.by_id);
	free(others);
}

/* --- a worker that runs ------------------------------------------------------------------------- */

/* Events that came before it was ready are sent when it is. */
static void test_ready(void **state)
{
	static const struct {
		uint64_t id;
		bool has_event;
	} cases[] = { { INSTANCE_HOST, true }, { 2, true }, { 2, false } };
	const struct child *child = &fake->instance.child;

	(void)state;
	fake->netns_fd = STDIN_FILENO;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned int gates = fake->gates, sweeps = fake->sweeps;

		fake->instance.pub.id = cases[i].id;
		start_worker();
		if (cases[i].has_event)
			send_event(0, 5);
		assert_int_equal(child->events->flags, 0);
		assert_int_equal(hear(), -1);
		step(CHILD_IS_READY, CHILD_READY);
		assert_null(fake->timer_cb);
		assert_int_equal(fake->gates, gates + 1);
		/* The last user of a container's namespace may have left while the worker started. */
		assert_int_equal(fake->sweeps, sweeps + (cases[i].id != INSTANCE_HOST));
		assert_int_equal(child->events->flags, cases[i].has_event ? UV_WRITABLE : 0);
		if (cases[i].has_event)
			call_back(child->events, 0);
		assert_int_equal(hear(), cases[i].has_event ? 5 : -1);
		free_child();
	}
	assert_int_equal(fake->s.counters.routed, 2);
}

/* A pipe that is full: the queue takes the rest, and is emptied in the same order. */
static void test_full_pipe(void **state)
{
	const struct child *child = &fake->instance.child;
	const struct counters *counters = &fake->s.counters;
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
	const struct child *child = &fake->instance.child;
	uint16_t n;

	(void)state;
	make_ready();
	n = fill_pipe();
	call_back(child->events, 0);
	assert_int_equal(child->events->flags, UV_WRITABLE); /* called again when there is room */
	assert_int_equal(child->queue.n, 1);
	assert_int_equal(fake->s.counters.routed, n);
	assert_int_equal(hear(), 0);
	call_back(child->events, UV_EBADF);
	assert_int_equal(child->queue.n, 1);
	assert_int_equal(child->events->flags, 0);
}

/* A worker that reads nothing loses events. When it would lose orders, too, the supervisor kills it, once. */
static void test_worker_that_reads_nothing(void **state)
{
	const struct counters *counters = &fake->s.counters;
	const struct child *child = &fake->instance.child;

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
	assert_string_equal(fake->logs[fake->n_logs - 1], "worker 77 cannot be given its orders; it is killed");
}

/* Too many orders for an instance that has no process. */
static void test_nobody_to_kill(void **state)
{
	(void)state;
	for (int i = 0; i <= EVENT_QUEUE_ORDERS_MAX; i++)
		send_event(BPFTUNE_FROM_SUPERVISOR, BPFTUNE_GRANT);
	assert_int_equal(fake->s.counters.lost, 1);
	assert_int_equal(fake->kills, 0);
}

static void test_reports(void **state)
{
	const struct child *child = &fake->instance.child;

	(void)state;
	start_worker();
	say();
	say();
	call_back(child->reports, 0);
	assert_int_equal(fake->routed, 2);
	call_back(child->reports, 0); /* woken for nothing */
	assert_int_equal(child->reports->flags, UV_READABLE);
	assert_int_equal(write(fake->worker_report_fd, "", 1), 1);
	call_back(child->reports, 0); /* a part of a report */
	assert_int_equal(child->reports->flags, UV_READABLE);
	close_fdp(&fake->worker_report_fd);
	call_back(child->reports, 0);
	assert_int_equal(child->reports->flags, 0); /* the end of file */
	assert_int_equal(fake->routed, 2);
}

static void test_reports_that_cannot_be_read(void **state)
{
	const struct child *child = &fake->instance.child;

	(void)state;
	start_worker();
	say();
	call_back(child->reports, UV_EBADF);
	assert_int_equal(fake->routed, 0);
	assert_int_equal(child->reports->flags, 0);
}

/* --- the end of a worker ------------------------------------------------------------------------ */

static void test_late_to_be_ready(void **state)
{
	(void)state;
	start_worker();
	time_out();
	assert_int_equal(fake->killed, PID);
	assert_int_equal(fake->kills, 1);
	assert_timer(CHILD_KILL_MS);
	fake->instance.child.pid = 0; /* kill(0) would kill the supervisor */
	time_out();
	assert_int_equal(fake->kills, 1);
}

static void test_hang_up(void **state)
{
	const struct child *child = &fake->instance.child;
	char byte;

	(void)state;
	make_ready();
	step(CHILD_UNUSED, CHILD_RETIRING);
	assert_int_equal(read(fake->worker_event_fd, &byte, 1), 0);
	assert_null(child->events);
	assert_timer(CHILD_KILL_MS);
	say(); /* the last report is read all the same */
	reap(PID, STATUS(0));
	assert_int_equal(fake->routed, 1);
	assert_int_equal(fake->n_logs, 0); /* the supervisor told the worker to end */
	assert_int_equal(fake->forgotten, 1);
	assert_int_equal(child->report_fd, -1);
	assert_int_equal(fake->closed, 3); /* two pipes and a timer */
}

/* The dead worker's last reports are read, the orders to it are dropped, and the next worker gets the events. */
static void test_death(void **state)
{
	static const struct {
		int status;
		const char *log;
	} cases[] = {
		{ STATUS(3), "worker 77 ended with status 3" },
		{ SIGKILL, "worker 77 was killed by signal 9 (Killed)" },
	};
	const struct child *child = &fake->instance.child;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned int gates;

		fake->n_logs = fake->routed = 0;
		start_worker();
		send_event(0, 5);
		send_event(BPFTUNE_FROM_SUPERVISOR, BPFTUNE_GRANT);
		gates = fake->gates;
		for (int n = 0; n < 20; n++) /* more than one read takes */
			say();
		fake->now_ms += 10;
		reap(PID, cases[i].status);
		assert_int_equal(fake->routed, 20);
		assert_string_equal(fake->logs[0], cases[i].log);
		assert_int_equal(child->state, CHILD_BACKOFF);
		assert_int_equal(child->pid, 0);
		assert_int_equal(child->event_fd, -1);
		assert_int_equal(child->report_fd, -1);
		assert_int_equal(child->queue.n, 1);
		assert_int_equal(fake->gates, gates + 1);
		assert_int_equal(fake->scan_ended, 0);
		free_child();
	}
}

/* A worker that lived for a minute does not count as one that fails to start. */
static void test_pause_after_death(void **state)
{
	static const struct {
		unsigned int lived_ms, pause_ms;
	} cases[] = { { 10, 1000 }, { 59999, 2000 }, { 10, 4000 }, { 60000, 1000 } };
	const struct child *child = &fake->instance.child;

	(void)state;
	start_worker();
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		fake->now_ms += cases[i].lived_ms;
		reap(PID, STATUS(1));
		assert_timer(cases[i].pause_ms);
		assert_int_equal(child->restarts, i + 1);
		fake->now_ms += cases[i].pause_ms;
		time_out();
		assert_int_equal(child->state, CHILD_STARTING);
	}
}

static void test_other_processes(void **state)
{
	(void)state;
	make_ready();
	reap(0, 0); /* none has ended */
	reap(PID + 1, STATUS(0));
	assert_int_equal(fake->scan_ended, PID + 1);
	assert_int_equal(fake->instance.child.state, CHILD_READY);
}

/* A worker that retires leaves room: for an instance of the same owner, or of any owner if all room was taken. */
static void test_capacity_is_handed_on(void **state)
{
	static const struct {
		const char *what;
		char *owner;
		unsigned int others; /* workers */
		bool stopping, served;
	} cases[] = {
		{ "of the same owner", "/a", 1, false, true },
		{ "of another owner", "/b", 1, false, false },
		{ "of another owner, one short of all", "/b", ROOM_WORKERS_MAX - 2, false, false },
		{ "of another owner, all", "/b", ROOM_WORKERS_MAX - 1, false, true },
		{ "at the end", "/a", 1, true, false },
	};
	struct instance *others = calloc(ROOM_WORKERS_MAX, sizeof(*others)), *waiting = &others[0];
	char owner[] = "/a";

	(void)state;
	assert_non_null(others);
	for (uint64_t i = 0; i < ROOM_WORKERS_MAX; i++) {
		others[i].pub.id = i + 2;
		others[i].owner = "/c";
		HASH_ADD(by_id, fake->s.registry.by_id, pub.id, sizeof(uint64_t), (&others[i]));
	}
	fake->instance.owner = owner;
	fake->netns_fd = -ESRCH; /* a start of the waiting instance ends there */
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (unsigned int n = 1; n < ROOM_WORKERS_MAX; n++)
			others[n].child.pid = n <= cases[i].others ? 1000 : 0;
		fake->s.stopping = false;
		make_ready();
		waiting->owner = cases[i].owner;
		waiting->unserved = -EUSERS;
		step(CHILD_STOP, CHILD_RETIRING);
		fake->s.stopping = cases[i].stopping;
		reap(PID, STATUS(0));
		if (!waiting->unserved != cases[i].served)
			fail_msg("%s: %s", cases[i].what, cases[i].served ? "not served" : "served");
		free_child();
	}
	HASH_CLEAR(by_id, fake->s.registry.by_id);
	free(others);
}

static void test_is_alive(void **state)
{
	static const struct {
		enum child_state state;
		int result; /* waitid()'s */
		pid_t ended;
		bool alive;
	} cases[] = {
		{ CHILD_READY, 0, 0, true },	   { CHILD_RETIRING, 0, 0, true }, { CHILD_READY, 0, PID, false },
		{ CHILD_RETIRING, 0, PID, false }, { CHILD_READY, -1, 0, false },  { CHILD_STARTING, 0, 0, false },
		{ CHILD_NONE, 0, 0, false },	   { CHILD_BACKOFF, 0, 0, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct child child = { .state = cases[i].state, .pid = PID };

		fake->waitid_result = cases[i].result;
		fake->waitid_pid = cases[i].ended;
		if (child_is_alive(&child) != cases[i].alive)
			fail_msg("case %zu", i);
	}
}

#define on_a_supervisor(test) cmocka_unit_test_setup_teardown(test, open_supervisor, close_supervisor)

int main(void)
{
	const struct CMUnitTest tests[] = {
		on_a_supervisor(test_start),
		on_a_supervisor(test_worker_side),
		on_a_supervisor(test_put_off),
		on_a_supervisor(test_failed_start),
		on_a_supervisor(test_no_room),
		on_a_supervisor(test_ready),
		on_a_supervisor(test_full_pipe),
		on_a_supervisor(test_pipe_that_stays_full),
		on_a_supervisor(test_worker_that_reads_nothing),
		on_a_supervisor(test_nobody_to_kill),
		on_a_supervisor(test_reports),
		on_a_supervisor(test_reports_that_cannot_be_read),
		on_a_supervisor(test_late_to_be_ready),
		on_a_supervisor(test_hang_up),
		on_a_supervisor(test_death),
		on_a_supervisor(test_pause_after_death),
		on_a_supervisor(test_other_processes),
		on_a_supervisor(test_capacity_is_handed_on),
		on_a_supervisor(test_is_alive),
	};

	return cmocka_run_group_tests_name("child_process", tests, NULL, NULL);
}
