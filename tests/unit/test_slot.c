// SPDX-License-Identifier: GPL-2.0-or-later
/* Low descriptor numbers for workers that start, and what is done with them after the fork. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "ipc/watched.h"
#include "supervisor/kernel/procfs.h"
#include "supervisor/kernel/task.h"
#include "supervisor/workers/slot.h"
#include "worker/confine.h"

static struct slots slots;

static int open_slots(void **state)
{
	(void)state;
	return slots_reserve(&slots);
}

static int close_slots(void **state)
{
	(void)state;
	slots_close(&slots);
	return 0;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static bool is_null(int fd)
{
	struct stat st, null;

	return fstat(fd, &st) == 0 && stat("/dev/null", &null) == 0 && st.st_rdev == null.st_rdev;
}

/* --- the numbers -------------------------------------------------------------------------------- */

static void test_numbers(void **state)
{
	int last = STDERR_FILENO;

	(void)state;
	assert_int_equal(slots.n, SLOTS_MAX);
	for (size_t i = 0; i < SLOTS_MAX; i++)
		for (size_t j = 0; j < N_WORKER_FDS; j++) {
			int fd = slots.slots[i].fds[j];

			assert_true(fd > last && is_null(fd));
			assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
			last = fd;
		}
}

static void test_take_and_release(void **state)
{
	int fds[N_WORKER_FDS] = { STDIN_FILENO, STDIN_FILENO, STDIN_FILENO, -1 }, pipe_fds[2];
	struct slot *one = slot_find_free(&slots), *two;
	char byte;

	(void)state;
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	fds[WORKER_REPORTS] = pipe_fds[1];
	assert_int_equal(slot_take(&slots, one, fds), 0);
	assert_int_equal(slots.n_taken, 1);
	two = slot_find_free(&slots);
	assert_ptr_not_equal(two, one);
	assert_true(is_null(one->fds[WORKER_NETNS]));
	assert_true(fcntl(one->fds[WORKER_REPORTS], F_GETFD) & FD_CLOEXEC);
	close(pipe_fds[1]);
	assert_int_equal(write(one->fds[WORKER_REPORTS], "x", 1), 1);
	slot_release(&slots, one);
	assert_int_equal(slots.n_taken, 0);
	assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
	assert_int_equal(read(pipe_fds[0], &byte, 1), 0); /* nothing holds the other end */
	assert_true(is_null(one->fds[WORKER_REPORTS]));
	assert_ptr_equal(slot_find_free(&slots), one);
	slot_release(&slots, NULL);
	close(pipe_fds[0]);
}

static void test_all_are_taken(void **state)
{
	const int fds[N_WORKER_FDS] = { STDIN_FILENO, STDIN_FILENO, STDIN_FILENO, STDIN_FILENO };

	(void)state;
	for (size_t i = 0; i < SLOTS_MAX; i++)
		assert_int_equal(slot_take(&slots, slot_find_free(&slots), fds), 0);
	assert_null(slot_find_free(&slots));
	for (size_t i = 0; i < SLOTS_MAX; i++)
		slot_release(&slots, &slots.slots[i]);
}

/* What cannot be copied leaves the slot as it was. */
static void test_cannot_take(void **state)
{
	const int fds[N_WORKER_FDS] = { STDIN_FILENO, 9999, STDIN_FILENO, STDIN_FILENO };
	struct slot *slot = slot_find_free(&slots);

	(void)state;
	assert_int_equal(slot_take(&slots, slot, fds), -EBADF);
	assert_int_equal(slots.n_taken, 0);
	for (size_t i = 0; i < N_WORKER_FDS; i++)
		assert_true(is_null(slot->fds[i]));
}

/* Somebody has lowered our limit: the numbers are let go of, and the slot is none any more. */
static void test_lowered_limit(void **state)
{
	const int fds[N_WORKER_FDS] = { STDIN_FILENO, STDIN_FILENO, STDIN_FILENO, -1 };
	struct slot *slot = slot_find_free(&slots);
	struct rlimit limit, lower;

	(void)state;
	assert_int_equal(slot_take(&slots, slot, fds), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	lower = (struct rlimit){ .rlim_cur = slot->fds[0], .rlim_max = limit.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &lower), 0);
	slot_release(&slots, slot);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	for (size_t i = 0; i < N_WORKER_FDS; i++)
		assert_false(is_open(slot->fds[i]));
	assert_ptr_not_equal(slot_find_free(&slots), slot);
}

static void test_too_few_numbers(void **state)
{
	struct rlimit limit, lower;
	struct slots few;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	for (unsigned int n = 0; n < 2; n++) {
		lower = (struct rlimit){ .rlim_cur = n ? STDERR_FILENO + 1 + SLOTS_MAX * N_WORKER_FDS : 3,
					 .rlim_max = limit.rlim_max };
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &lower), 0);
		assert_int_not_equal(slots_reserve(&few), 0);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
		slots_close(&few);
	}
}

/* --- the child ---------------------------------------------------------------------------------- */

static bool is_blocked(int signal)
{
	sigset_t blocked;

	sigprocmask(SIG_BLOCK, NULL, &blocked);
	return sigismember(&blocked, signal);
}

/* Exit status of a child that has those descriptors, in the order of what it finds wrong. */
static int run_child(unsigned int n_fds, int (*check)(void))
{
	pid_t pid = task_fork(n_fds);
	int status;

	assert_true(pid >= 0);
	if (!pid)
		_exit(check());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int check_few(void)
{
	const struct slot *slot = &slots.slots[1];

	if (!is_blocked(SIGTERM) || !is_blocked(SIGCHLD))
		return 1;
	if (!is_open(slot->fds[N_WORKER_FDS - 1]) || is_open(slots.slots[2].fds[0]) || is_open(slots.null_fd))
		return 2;
	return close(slot->fds[0]) < 0 ? 3 : 0;
}

/* The child has a table of its own: what it closes stays open here. */
static void test_fork(void **state)
{
	const struct slot *slot = &slots.slots[1];

	(void)state;
	assert_int_equal(run_child(slot->fds[N_WORKER_FDS - 1] + 1, check_few), 0);
	for (size_t i = 0; i < slots.n; i++)
		for (size_t j = 0; j < N_WORKER_FDS; j++)
			assert_true(is_open(slots.slots[i].fds[j]));
	assert_true(is_open(slots.null_fd));
	assert_false(is_blocked(SIGTERM));
}

/* --- its stack ---------------------------------------------------------------------------------- */

static struct stack_test {
	char *stack, *end; /* the child's */
	uintptr_t planted; /* on ours, where no function is any more */
} stack_test;

static __attribute__((noinline)) void plant(void)
{
	volatile char text[3 * 65536];

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = 'x';
	stack_test.planted = (uintptr_t)text + 65536;
}

static void check_stack(void *arg)
{
	const struct stack_test *test = arg;
	char here = 0;

	if (&here < test->stack || &here >= test->end)
		_exit(1);
	if (*(volatile char *)test->planted) /* NOLINT(performance-no-int-to-ptr) */
		_exit(2);
	_exit(is_open(slots.slots[1].fds[0]) && !is_open(slots.slots[2].fds[0]) ? 0 : 3);
}

/* The child has a stack of its own, and nothing of what was on ours. */
static void test_start(void **state)
{
	const struct slot *slot = &slots.slots[1];
	char mark = 0;
	int status;
	pid_t pid;

	(void)state;
	if (is_watched())
		return;
	stack_test.stack = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	stack_test.end = stack_test.stack + 65536;
	plant();
	pid = task_start(slot->fds[N_WORKER_FDS - 1] + 1, &(struct task_stack){ stack_test.end, &mark }, check_stack,
			 &stack_test);
	assert_true(pid >= 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(*(volatile char *)stack_test.planted, 'x'); /* NOLINT(performance-no-int-to-ptr) */
	assert_true(is_open(slots.slots[2].fds[0]));
	assert_false(is_blocked(SIGTERM));
	munmap(stack_test.stack, 65536);
}

static int check_confined(void)
{
	static const bool enters[] = { true, false };

	for (size_t n = 0; n < ARRAY_SIZE(enters); n++) {
		int fds[N_WORKER_FDS];

		memcpy(fds, slots.slots[2].fds, sizeof(fds));
		if (n)
			memcpy(fds, (int[]){ 3, 4, 5, -1 }, sizeof(fds));
		if (confine_descriptors(fds, N_WORKER_FDS) < 0)
			return 1;
		for (int i = 0; i < N_WORKER_FDS; i++)
			if (fds[i] != (i < N_WORKER_FDS - 1 || enters[n] ? STDERR_FILENO + 1 + i : -1))
				return 2;
		if (!is_null(STDOUT_FILENO) || is_null(fds[WORKER_REPORTS]) ||
		    is_open(STDERR_FILENO + 1 + N_WORKER_FDS - n))
			return 3;
	}
	return 0;
}

static void test_confine(void **state)
{
	struct slot *slot = &slots.slots[2];
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(slot_take(&slots, slot, (int[N_WORKER_FDS]){ fds[0], fds[1], fds[0], fds[1] }), 0);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(run_child(slot->fds[N_WORKER_FDS - 1] + 1, check_confined), 0);
	slot_release(&slots, slot);
}

/* --- what is in a slot -------------------------------------------------------------------------- */

/* Many workers share a directory, then the next one is opened. */
static void test_sysctls(void **state)
{
	struct procfs procfs = { .n = 0 };
	int last = -1;

	(void)state;
	for (unsigned int i = 0; i < PROCFS_WORKERS * (PROCFS_MAX + 1); i++) {
		int fd = procfs_sysctls(&procfs);

		assert_true(fd >= 0);
		assert_int_equal(fd == last, i % PROCFS_WORKERS != 0);
		assert_int_equal(faccessat(fd, "net/ipv4/tcp_wmem", R_OK, 0), 0);
		assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
		last = fd;
	}
	assert_int_equal(procfs.n, PROCFS_MAX);
	assert_int_equal(last, procfs.fds[0]);
	procfs_close(&procfs);
	assert_false(is_open(last));
}

#define with_slots(test) cmocka_unit_test_setup_teardown(test, open_slots, close_slots)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_slots(test_numbers),	with_slots(test_take_and_release),
		with_slots(test_all_are_taken), with_slots(test_cannot_take),
		with_slots(test_lowered_limit), with_slots(test_too_few_numbers),
		with_slots(test_fork),		with_slots(test_start),
		with_slots(test_confine),	cmocka_unit_test(test_sysctls),
	};

	return cmocka_run_group_tests_name("slot", tests, NULL, NULL);
}
