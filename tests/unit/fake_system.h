/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Functions in the place of those that process.c calls, of libc and others, and of the worker: no process is forked. */
#ifndef BPFTUNE_TESTS_UNIT_FAKE_SYSTEM_H
#define BPFTUNE_TESTS_UNIT_FAKE_SYSTEM_H

#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tests/unit/fake_workers.h"
#include "worker/worker.h"

static struct {
	/* what the functions below are to return */
	pid_t fork_pid;
	int n_pipes;	 /* so many can be made */
	int sysctls_fd;	 /* or -errno */
	pid_t ended_pid; /* a process to reap; 0: none */
	int ended_status;
	int alive_result; /* of waitid() for one process */

	/* what they were called with */
	int worker_event_fd, worker_report_fd; /* copies of the worker's ends of the pipes */
	struct worker_start start;
	struct bpftune view; /* the worker's */
	jmp_buf worker_started;
	unsigned int forks, looks; /* forks, and looks for processes that have ended */
	unsigned int n_fds;	   /* that a child is to have */
	struct task_stack stack;   /* its */
} sys;

pid_t task_start(unsigned int n_fds, const struct task_stack *stack, void (*run)(void *arg), void *arg)
{
	sys.forks++;
	sys.n_fds = n_fds;
	sys.stack = *stack;
	if (!sys.fork_pid)
		run(arg);
	errno = EAGAIN;
	return sys.fork_pid;
}

/* Never takes the process away: that is waitpid()'s. */
int waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
	assert_int_equal(options, WEXITED | WNOHANG | WNOWAIT);
	info->si_pid = sys.ended_pid;
	if (type == P_PID) {
		assert_int_equal(id, PID);
		return sys.alive_result;
	}
	assert_int_equal(type, P_ALL);
	sys.looks++;
	errno = ECHILD;
	return sys.ended_pid < 0 ? -1 : 0;
}

/* From here on the pid may be another process's, which must not pass for ours. */
pid_t waitpid(pid_t pid, int *status, int options)
{
	assert_int_equal(pid, sys.ended_pid);
	assert_int_equal(fake->disowned, pid);
	assert_int_equal(options, WNOHANG);
	*status = sys.ended_status;
	sys.ended_pid = 0;
	return pid;
}

/* Keeps a copy of the worker's end: the first pipe carries events, the second reports. */
int pipe2(int fds[2], int flags)
{
	int *copy = sys.worker_event_fd < 0 ? &sys.worker_event_fd : &sys.worker_report_fd;

	if (!sys.n_pipes) {
		errno = EMFILE;
		return -1;
	}
	sys.n_pipes--;
	if (syscall(SYS_pipe2, fds, flags) < 0)
		return -1;
	assert_true(flags & O_CLOEXEC);
	close_fdp(copy);
	*copy = fcntl(fds[copy == &sys.worker_event_fd ? 0 : 1], F_DUPFD_CLOEXEC, 0);
	return 0;
}

int procfs_sysctls(struct procfs *procfs)
{
	assert_ptr_equal(procfs, &fake->kernel.procfs);
	return sys.sysctls_fd;
}

_Noreturn void worker_main(const struct worker_start *start)
{
	sys.start = *start;
	sys.view = *start->instance;
	longjmp(sys.worker_started, 1);
}

static void close_worker_ends(void)
{
	close_fdp(&sys.worker_event_fd);
	close_fdp(&sys.worker_report_fd);
}

static int open_system(void **state)
{
	memset(&sys, 0, sizeof(sys));
	sys.fork_pid = PID;
	sys.n_pipes = 100;
	sys.worker_event_fd = sys.worker_report_fd = -1;
	return open_workers(state) || slots_reserve(&fake->workers.slots) ? -1 : 0;
}

static int close_system(void **state)
{
	close_worker_ends();
	return close_workers(state);
}

/* --- what the tests do with it ------------------------------------------------------------------ */

static inline void forget_child(void)
{
	free_child();
	close_worker_ends();
}

static inline void reap(pid_t pid, int status)
{
	sys.ended_pid = pid;
	sys.ended_status = status;
	workers_child_ended(&fake->workers);
	workers_handle(&fake->workers);
}

/* There are more numbers than scenarios. */
static inline void send_event(uint16_t tuner, uint16_t number)
{
	process_send(child_now(), &(struct bpftune_event){ .tuner = tuner, .scenario = (uint8_t)number, .asker = number });
}

/* Until the pipe is full: the number of events that it took. */
static inline uint16_t fill_pipe(void)
{
	uint16_t n = 0;

	for (; !child_now()->queue.n; n++)
		send_event(0, n);
	return n - 1;
}

/* The number of the event that the worker reads next; -1: none. */
static inline int hear(void)
{
	struct bpftune_event event;

	return read(sys.worker_event_fd, &event, sizeof(event)) == sizeof(event) ? (int)event.asker : -1;
}

static inline void make_report(uint16_t kind, int fd)
{
	struct bpftune_report report = { .kind = kind };

	assert_int_equal(record_write(fd, &report, sizeof(report)), 0);
}

static inline void say(uint16_t kind)
{
	make_report(kind, sys.worker_report_fd);
}

static inline void call_back(uv_poll_t *poll, int status)
{
	assert_non_null(poll);
	poll->poll_cb(poll, status, 0);
}

static inline void take_reports(void)
{
	call_back(child_now()->reports, 0);
	workers_handle(&fake->workers);
}

#define on_a_system(test) cmocka_unit_test_setup_teardown(test, open_system, close_system)

#endif
