// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/kernel/task.h"

#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "config.h"
#include "ipc/cleanup.h"
#include "ipc/watched.h"

#define STACK_BYTES_MAX (8 << 20) /* more than the supervisor needs */

#ifdef HAVE_VALGRIND_VALGRIND_H
#include <valgrind/valgrind.h>
#endif

/*
 * fork(2), but with our table of descriptors, not a copy. clone3(2), which has the same arguments everywhere, is
 * refused where a service's namespaces are restricted (systemd.exec(5)). No handler of pthread_atfork(3) runs: libuv's
 * would close descriptors, which are ours.
 */
static pid_t clone_with_descriptors(void)
{
	unsigned long flags = CLONE_FILES | SIGCHLD;

#ifdef HAVE_VALGRIND_VALGRIND_H
	if (RUNNING_ON_VALGRIND)
		flags = SIGCHLD; /* valgrind knows no such child */
#endif
#ifdef __s390__
	return syscall(SYS_clone, 0, flags, 0, 0, 0);
#else
	return syscall(SYS_clone, flags, 0, 0, 0, 0);
#endif
}

pid_t task_fork(unsigned int n_fds)
{
	sigset_t all, old;
	pid_t pid;

	/* A signal between fork and reset would run libuv's handler in the child, on the parent's pipe. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	pid = clone_with_descriptors();
	if (!pid && close_fds(n_fds, ~0U, CLOSE_RANGE_UNSHARE) < 0)
		_exit(EXIT_FAILURE); /* the table is the parent's, too */
	if (pid)
		sigprocmask(SIG_SETMASK, &old, NULL);
	return pid;
}

/* A child of task_start(), as it begins. */
struct beginning {
	unsigned int n_fds;
	const char *parents_stack;
	void (*run)(void *arg);
	void *arg;
};

/* Pages are dropped rather than written to: the child would have copies. Below a stack nothing is mapped for long. */
static void drop_stack(const char *end)
{
	uintptr_t page = sysconf(_SC_PAGESIZE), rest = (uintptr_t)end % page;

	madvise((void *)(end - rest - STACK_BYTES_MAX), STACK_BYTES_MAX, MADV_DONTNEED);
	explicit_bzero((void *)(end - rest), rest);
}

static int begin(void *arg)
{
	const struct beginning beginning = *(const struct beginning *)arg; /* on the parent's stack */

	if (close_fds(beginning.n_fds, ~0U, CLOSE_RANGE_UNSHARE) == 0) {
		drop_stack(beginning.parents_stack);
		beginning.run(beginning.arg);
	}
	_exit(EXIT_FAILURE);
}

pid_t task_start(unsigned int n_fds, const struct task_stack *stack, void (*run)(void *arg), void *arg)
{
	struct beginning beginning = { n_fds, stack->ours, run, arg };
	sigset_t all, old;
	pid_t pid;

	if (is_watched()) {
		pid = task_fork(n_fds);
		if (!pid)
			run(arg);
		return pid;
	}
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	pid = clone(begin, stack->end, CLONE_FILES | SIGCHLD, &beginning);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return pid;
}

void task_raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit); /* refused: then fewer workers fit */
	}
}

/* Of malloc(3). The largest that glibc takes on 64 bits; more than libbpf has at a time; and glibc's initial value of both. */
#define LOADING_MMAP_THRESHOLD_BYTES (32 << 20)
#define LOADING_TRIM_THRESHOLD_BYTES (128 << 20)
#define USUAL_THRESHOLD_BYTES (128 << 10)

void task_set_up_malloc(void)
{
#ifdef M_MXFAST
	mallopt(M_MXFAST, 0);
	mallopt(M_MMAP_THRESHOLD, LOADING_MMAP_THRESHOLD_BYTES);
	mallopt(M_TRIM_THRESHOLD, LOADING_TRIM_THRESHOLD_BYTES);
#endif
}

void task_spare_children(const char *mapped)
{
	_cleanup_fclose_ FILE *maps = fopen("/proc/self/maps", "re");
	_cleanup_free_ char *line = NULL;
	unsigned long from, to;
	size_t size = 0;

	while (maps && getline(&line, &size, maps) > 0)
		if (strstr(line, mapped) && sscanf(line, "%lx-%lx", &from, &to) == 2)
			madvise((void *)from, to - from, MADV_DONTFORK); /* NOLINT(performance-no-int-to-ptr) */
#ifdef M_TRIM_THRESHOLD
	mallopt(M_MMAP_THRESHOLD, USUAL_THRESHOLD_BYTES);
	mallopt(M_TRIM_THRESHOLD, USUAL_THRESHOLD_BYTES);
	malloc_trim(0);
#endif
}
