// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/kernel/task.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "ipc/cleanup.h"

pid_t task_fork(void)
{
	sigset_t all, old;
	pid_t pid;

	/* A signal between fork and reset would run libuv's handler in the child, on the parent's pipe. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	pid = fork();
	if (pid)
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

void task_keep_from_children(const char *mapped)
{
	_cleanup_fclose_ FILE *maps = fopen("/proc/self/maps", "re");
	_cleanup_free_ char *line = NULL;
	unsigned long from, to;
	size_t size = 0;

	while (maps && getline(&line, &size, maps) > 0)
		if (strstr(line, mapped) && sscanf(line, "%lx-%lx", &from, &to) == 2)
			madvise((void *)from, to - from, MADV_DONTFORK); /* NOLINT(performance-no-int-to-ptr) */
}
