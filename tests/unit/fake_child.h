/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Functions in the place of those of libc, libuv and the supervisor that child.c calls. They note the call, and return
 * what a test wants. So no process is forked or killed, and no time passes.
 */
#ifndef BPFTUNE_TESTS_UNIT_FAKE_CHILD_H
#define BPFTUNE_TESTS_UNIT_FAKE_CHILD_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "supervisor/workers/child.h"
#include "supervisor/instances/pair.h"
#include "supervisor/workers/route.h"
#include "supervisor/instances/scan.h"
#include "supervisor/supervisor.h"
#include "worker/worker.h"

#define PID 77

struct fixture {
	struct supervisor s;
	struct instance instance;
	uint64_t now_ms;

	/* what the functions below are to return */
	pid_t fork_pid;
	int n_pipes, n_polls; /* so many can be made */
	int netns_fd;	      /* watch_open_netns()'s */
	pid_t ended_pid;      /* a process to reap; 0: none */
	int ended_status;
	int waitid_result;
	pid_t waitid_pid;

	/* what they were called with */
	int worker_event_fd, worker_report_fd; /* copies of the worker's ends of the pipes */
	struct worker_start start;
	jmp_buf worker_started;
	unsigned int forks, kills, gates, sweeps, routed, forgotten, taken, closed;
	bool signals_blocked; /* while fork() ran */
	pid_t killed, scan_ended;
	uv_timer_cb timer_cb; /* NULL: the timer is not armed */
	uint64_t timer_ms;
	char logs[8][256]; /* the last lines */
	unsigned int n_logs;
};

static struct fixture *fake;

/* --- libc --------------------------------------------------------------------------------------- */

static bool is_blocked(int signal)
{
	sigset_t blocked;

	sigprocmask(SIG_BLOCK, NULL, &blocked);
	return sigismember(&blocked, signal);
}

pid_t fork(void)
{
	fake->forks++;
	fake->signals_blocked = is_blocked(SIGTERM) && is_blocked(SIGCHLD);
	errno = EAGAIN;
	return fake->fork_pid;
}

int kill(pid_t pid, int signal)
{
	assert_int_equal(signal, SIGKILL);
	fake->kills++;
	fake->killed = pid;
	return 0;
}

pid_t waitpid(pid_t pid, int *status, int options)
{
	pid_t ended = fake->ended_pid;

	assert_int_equal(pid, -1);
	assert_int_equal(options, WNOHANG);
	*status = fake->ended_status;
	fake->ended_pid = 0;
	return ended;
}

int waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
	assert_int_equal(type, P_PID);
	assert_int_equal(id, PID);
	assert_true(options & WNOHANG && options & WNOWAIT); /* child_reap() is to find it, too */
	info->si_pid = fake->waitid_pid;
	return fake->waitid_result;
}

/* Keeps a copy of the worker's end: the first pipe carries events, the second reports. */
int pipe2(int fds[2], int flags)
{
	int *copy = fake->worker_event_fd < 0 ? &fake->worker_event_fd : &fake->worker_report_fd;

	if (!fake->n_pipes) {
		errno = EMFILE;
		return -1;
	}
	fake->n_pipes--;
	if (syscall(SYS_pipe2, fds, flags) < 0)
		return -1;
	assert_true(flags & O_CLOEXEC);
	close_fdp(copy);
	*copy = fcntl(fds[copy == &fake->worker_event_fd ? 0 : 1], F_DUPFD_CLOEXEC, 0);
	return 0;
}

/* --- libuv -------------------------------------------------------------------------------------- */

uint64_t uv_now(const uv_loop_t *loop)
{
	(void)loop;
	return fake->now_ms;
}

int uv_timer_init(uv_loop_t *loop, uv_timer_t *timer)
{
	*timer = (uv_timer_t){ .loop = loop };
	return 0;
}

int uv_timer_start(uv_timer_t *timer, uv_timer_cb cb, uint64_t ms, uint64_t repeat_ms)
{
	assert_ptr_equal(timer, fake->instance.child.timer);
	assert_int_equal(repeat_ms, 0);
	fake->timer_cb = cb;
	fake->timer_ms = ms;
	return 0;
}

int uv_timer_stop(uv_timer_t *timer)
{
	assert_ptr_equal(timer, fake->instance.child.timer);
	fake->timer_cb = NULL;
	return 0;
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
	cb(handle);
}

/* --- worker and supervisor ---------------------------------------------------------------------- */

_Noreturn void worker_main(const struct worker_start *start)
{
	fake->start = *start;
	longjmp(fake->worker_started, 1);
}

void supervisor_log(struct supervisor *s, const struct instance *instance, int severity, const char *format, ...)
{
	va_list args;

	(void)s, (void)instance, (void)severity;
	va_start(args, format);
	assert_true(fake->n_logs < ARRAY_SIZE(fake->logs));
	vsnprintf(fake->logs[fake->n_logs++], sizeof(fake->logs[0]), format, args);
	va_end(args);
}

void supervisor_set_gate(struct supervisor *s, const struct instance *instance)
{
	(void)s, (void)instance;
	fake->gates++;
}

void supervisor_forget(struct supervisor *s, struct instance *instance)
{
	(void)s;
	assert_null(instance->child.timer);
	fake->forgotten++;
}

void supervisor_take_events(struct supervisor *s)
{
	(void)s;
	fake->taken++;
}

void route_report(struct supervisor *s, struct instance *instance, const struct bpftune_report *report)
{
	assert_ptr_equal(s, &fake->s);
	assert_ptr_equal(instance, &fake->instance);
	assert_int_equal(report->kind, BPFTUNE_LOG);
	assert_true(fake->taken > fake->routed); /* the kernel's events first */
	fake->routed++;
}

int watch_open_netns(struct supervisor *s, struct instance *instance)
{
	(void)s, (void)instance;
	return fake->netns_fd < 0 ? fake->netns_fd : fcntl(fake->netns_fd, F_DUPFD_CLOEXEC, 0);
}

void watch_sweep_soon(struct supervisor *s)
{
	(void)s;
	fake->sweeps++;
}

void watch_slowly(struct supervisor *s)
{
	(void)s;
}

void pair_find_owner(struct supervisor *s, struct instance *instance)
{
	(void)s, (void)instance;
}

void scan_ended(struct supervisor *s, pid_t pid)
{
	(void)s;
	fake->scan_ended = pid;
}

#endif
