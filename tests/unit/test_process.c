// SPDX-License-Identifier: GPL-2.0-or-later
/* A worker's fork, and its end. */
#include <sys/stat.h>

#include "tests/unit/fake_system.h"

#define STATUS(code) ((code) << 8) /* of a process that has called _exit(code) */

/* --- start -------------------------------------------------------------------------------------- */

/* Where files may be longer than 2 GiB by a flag, it shows as well. */
static int mode_of(int fd)
{
	return fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK);
}

static void test_start(void **state)
{
	const struct child *child = child_now();

	(void)state;
	start_worker();
	assert_int_equal(child->reports->flags, UV_READABLE);
	assert_int_equal(child->events->flags, 0);
	assert_int_equal(fake->own_pid, PID);
	assert_int_equal(mode_of(child->event_fd), O_WRONLY | O_NONBLOCK);
	assert_int_equal(mode_of(child->report_fd), O_RDONLY | O_NONBLOCK);
	step(CHILD_WANTED, CHILD_STARTING);
	assert_int_equal(sys.forks, 1);
	assert_ptr_equal(child->slot, &fake->workers.slots.slots[0]);
	assert_int_equal(sys.n_fds, child->slot->fds[N_WORKER_FDS - 1] + 1);
}

static void start_as_worker(void)
{
	if (!setjmp(sys.worker_started))
		child_step(child_now(), CHILD_WANTED);
}

/* The worker's side of the fork. */
static void test_worker_side(void **state)
{
	static const struct bpftune_tuner tuner = { .name = "only" };
	const int *fds = fake->workers.slots.slots[0].fds;
	const struct worker_start *start = &sys.start;

	(void)state;
	sys.fork_pid = 0;
	fake->netns_fd = STDIN_FILENO;
	fake->workers.dry_run = true;
	fake->kernel.plugins = (struct plugins){ .n = 2, .tuners = { &tuner, &tuner } };
	for (uint64_t id = INSTANCE_HOST; id <= 2; id++) {
		fake->instance.view.id = id;
		start_as_worker();
		for (size_t i = 0; i < N_WORKER_FDS; i++)
			assert_int_equal(start->fds[i], i == WORKER_NETNS && id == INSTANCE_HOST ? -1 : fds[i]);
		assert_int_equal(sys.view.id, id);
		assert_ptr_not_equal(start->instance, &fake->instance.view); /* the worker has no pool's memory */
		assert_ptr_equal(sys.stack.ours, fake);
		assert_true((char *)start->instance > (char *)sys.stack.end); /* what it is given is not on its stack */
		assert_string_equal(sys.view.name, "web");
		assert_ptr_not_equal(sys.view.name, fake->instance.view.name);
		assert_string_equal(sys.view.cgroup_path, "/web");
		assert_ptr_not_equal(sys.view.cgroup_path, fake->instance.view.cgroup_path);
		for (unsigned int i = 0; i < 2 * N_BPFTUNE_MEMORY_KINDS; i++) {
			const struct bpftune_memory *memory = &start->memories[i];
			unsigned int of = i / N_BPFTUNE_MEMORY_KINDS, kind = i % N_BPFTUNE_MEMORY_KINDS;

			assert_int_equal(memory->version, kind);
			assert_int_equal(memory->size, of + kind);
			assert_memory_equal(memory->data, &"0123456789"[of], memory->size);
		}
		assert_int_equal(start->supervisor, getpid());
		assert_true(start->dry_run);
		assert_int_equal(start->n_tuners, 2);
		assert_ptr_equal(start->tuners[0], &tuner);
		assert_int_equal(fake->own_pid, 0);
		assert_int_equal(mode_of(fds[WORKER_EVENTS]), O_RDONLY | O_NONBLOCK);
		assert_int_equal(mode_of(fds[WORKER_REPORTS]), O_WRONLY); /* a worker may wait for the supervisor */
		close(child_now()->events->io_watcher.fd);
		close(child_now()->reports->io_watcher.fd);
		forget_child();
	}
}

static int next_fd(void)
{
	int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);

	close(fd);
	return fd;
}

/* Nothing is left of a start that fails, and the next one succeeds. */
static void test_cannot_start(void **state)
{
	static const struct {
		const char *what;
		int n_pipes, n_polls, sysctls_fd;
		pid_t fork_pid;
		int err;
	} cases[] = {
		{ "no descriptors", 0, 2, 0, PID, -EMFILE },
		{ "descriptors for one pipe only", 1, 2, 0, PID, -EMFILE },
		{ "no memory for a handle", 2, 0, 0, PID, -ENOMEM },
		{ "memory for one handle only", 2, 1, 0, PID, -ENOMEM },
		{ "no descriptor of /proc/sys", 2, 2, -ENFILE, PID, -ENFILE },
		{ "no more processes", 2, 2, 0, -1, -EAGAIN },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct child *child = child_now();
		int fd = next_fd();

		fake->n_logs = 0;
		sys.n_pipes = cases[i].n_pipes;
		fake->n_polls = cases[i].n_polls;
		sys.fork_pid = cases[i].fork_pid;
		sys.sysctls_fd = cases[i].sysctls_fd;
		step(CHILD_WANTED, CHILD_NONE);
		close_worker_ends();
		if (child->unserved != cases[i].err || fake->instance.worker_pid || child->events || child->reports ||
		    child->event_fd >= 0 || child->report_fd >= 0 || child->slot || fake->workers.slots.n_taken ||
		    next_fd() != fd)
			fail_msg("%s: unserved is %d", cases[i].what, child->unserved);
		sys.n_pipes = fake->n_polls = 2;
		sys.fork_pid = PID;
		sys.sysctls_fd = 0;
		fake->now_ms += CHILD_BACKOFF_MIN_MS;
		start_worker();
		forget_child();
	}
}

/* --- slots -------------------------------------------------------------------------------------- */

/* While a worker starts its descriptors are in its slot, which is no other's; then nothing is there but /dev/null. */
static void test_slot_until_ready(void **state)
{
	struct child *child = child_now();
	const struct slot *slot;
	struct stat null, now;

	(void)state;
	assert_int_equal(fstat(fake->workers.slots.null_fd, &null), 0);
	start_worker();
	slot = child->slot;
	assert_ptr_not_equal(slot_find_free(&fake->workers.slots), slot);
	close_worker_ends();
	assert_int_equal(write(child->event_fd, "", 1), 1); /* its end is there */
	make_report(BPFTUNE_READY, slot->fds[WORKER_REPORTS]);
	take_reports();
	assert_int_equal(child->state, CHILD_READY);
	assert_null(child->slot);
	assert_ptr_equal(slot_find_free(&fake->workers.slots), slot);
	for (size_t i = 0; i < N_WORKER_FDS; i++) {
		assert_int_equal(fstat(slot->fds[i], &now), 0);
		assert_int_equal(now.st_rdev, null.st_rdev);
	}
}

/* It may not even have got to copy its descriptors. */
static void test_slot_of_the_dead(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		const struct child *child = child_now(); /* another each time */

		if (i)
			start_worker();
		else
			step(CHILD_WANTED, CHILD_STARTING);
		step(i ? CHILD_UNUSED : CHILD_TIMEOUT, i ? CHILD_RETIRING : CHILD_STARTING);
		assert_non_null(child->slot); /* neither hanging up nor killing is its end */
		reap(PID, SIGKILL);
		assert_null(child->slot);
		assert_int_equal(fake->workers.slots.n_taken, 0);
		forget_child();
	}
}

/* --- end ---------------------------------------------------------------------------------------- */

static void test_hang_up(void **state)
{
	const struct child *child = child_now();
	char byte;

	(void)state;
	make_ready();
	step(CHILD_UNUSED, CHILD_RETIRING);
	assert_int_equal(read(sys.worker_event_fd, &byte, 1), 0);
	assert_null(child->events);
	assert_timer(CHILD_KILL_MS);
	say(BPFTUNE_LOG); /* the last report is read all the same */
	reap(PID, STATUS(0));
	assert_int_equal(fake->reported, 1);
	assert_int_equal(fake->n_logs, 0); /* the supervisor told the worker to end */
	assert_int_equal(fake->ended, 1);
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

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct child *child = child_now();
		unsigned int gates;

		fake->n_logs = fake->reported = 0;
		fake->disowned = 0;
		start_worker();
		send_event(0, 5);
		send_event(BPFTUNE_FROM_SUPERVISOR, BPFTUNE_GRANT);
		gates = fake->gates;
		for (int n = 0; n < 40; n++) /* more than one read takes */
			say(BPFTUNE_LOG);
		call_back(child->reports, 0); /* both are noted: reports are handled first, and all of them */
		fake->now_ms += 10;
		reap(PID, cases[i].status);
		assert_int_equal(fake->reported, 40);
		assert_string_equal(fake->logs[0], cases[i].log);
		assert_int_equal(child->state, CHILD_BACKOFF);
		assert_int_equal(fake->instance.worker_pid, 0);
		assert_int_equal(fake->disowned, PID);
		assert_null(fake->workers.by_pid);
		assert_int_equal(child->event_fd, -1);
		assert_int_equal(child->report_fd, -1);
		assert_int_equal(child->queue.n, 1);
		assert_int_equal(fake->gates, gates + 1);
		assert_int_equal(fake->workers.n, 0);
		assert_int_equal(fake->scout_ended, 0);
		forget_child();
	}
}

static void test_other_processes(void **state)
{
	(void)state;
	make_ready();
	reap(0, 0); /* none has ended */
	assert_int_equal(sys.looks, 1);
	reap(-1, 0); /* there are none */
	assert_int_equal(fake->scout_ended, 0);
	reap(PID + 1, STATUS(0));
	assert_int_equal(fake->scout_ended, PID + 1);
	assert_int_equal(sys.looks, 4); /* until there are no more */
	assert_int_equal(child_now()->state, CHILD_READY);
	sys.ended_pid = PID;
	workers_handle(&fake->workers); /* no SIGCHLD came */
	assert_int_equal(sys.looks, 4);
	assert_int_equal(child_now()->state, CHILD_READY);
}

/* A worker that retires leaves a place: for an instance of the same owner, or of any owner if all places were taken. */
static void test_place_is_handed_on(void **state)
{
	static const struct {
		const char *what;
		char *owner;
		unsigned int others; /* workers */
		bool stopping, served;
	} cases[] = {
		{ "of the same owner", "/a", 1, false, true },
		{ "of another owner, whom nobody served when there was a place", "/b", 1, false, true },
		{ "of another owner, one short of all", "/b", WORKERS_MAX - 2, false, true },
		{ "of another owner, all", "/b", WORKERS_MAX - 1, false, true },
		{ "at the end", "/a", 1, true, false },
	};
	struct instance waiting = { .view = { .id = 2 } };
	static char owner[] = "/a";

	(void)state;
	fake->instance.owner = owner;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct child *child = child_of(&fake->workers, &waiting);

		fake->n_logs = 0;
		make_ready();
		waiting.owner = cases[i].owner;
		fake->workers.n = WORKERS_MAX;
		assert_int_equal(child_step(child, CHILD_WANTED), CHILD_NONE);
		assert_int_equal(child->unserved, -EUSERS);
		fake->workers.n = 1 + cases[i].others;
		step(CHILD_STOP, CHILD_RETIRING);
		fake->workers.stopping = cases[i].stopping;
		fake->netns_fd = -ESRCH; /* a start of the waiting instance ends there */
		reap(PID, STATUS(0));
		if (!child->unserved != cases[i].served)
			fail_msg("%s: %s", cases[i].what, cases[i].served ? "not served" : "served");
		fake->workers.n = 0;
		free_child_of(&waiting);
		forget_child();
	}
}

static void test_is_alive(void **state)
{
	static const struct {
		pid_t pid;
		int result; /* waitid()'s */
		pid_t ended;
		bool alive;
	} cases[] = { { PID, 0, 0, true }, { PID, 0, PID, false }, { PID, -1, 0, false }, { 0, 0, 0, false } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct instance instance = { .worker_pid = cases[i].pid };

		sys.alive_result = cases[i].result;
		sys.ended_pid = cases[i].ended;
		if (process_is_alive(&(struct child){ .instance = &instance }) != cases[i].alive)
			fail_msg("case %zu", i);
	}
	sys.ended_pid = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		on_a_system(test_start),
		on_a_system(test_worker_side),
		on_a_system(test_cannot_start),
		on_a_system(test_slot_until_ready),
		on_a_system(test_slot_of_the_dead),
		on_a_system(test_hang_up),
		on_a_system(test_death),
		on_a_system(test_other_processes),
		on_a_system(test_place_is_handed_on),
		on_a_system(test_is_alive),
	};

	return cmocka_run_group_tests_name("process", tests, NULL, NULL);
}
