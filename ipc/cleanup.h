/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cleanup attributes: what a scope acquires, it lets go by itself. */
#ifndef BPFTUNE_IPC_CLEANUP_H
#define BPFTUNE_IPC_CLEANUP_H

#include <dirent.h>
#include <linux/close_range.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))

static inline void close_fdp(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* close_range(2), for which musl has no function. */
static inline int close_fds(unsigned int first, unsigned int last, unsigned int flags)
{
	return syscall(SYS_close_range, first, last, flags);
}

static inline void freep(void *p)
{
	free(*(void **)p);
}

static inline void fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}

static inline void closedirp(DIR **d)
{
	if (*d)
		closedir(*d);
}

#define _cleanup_close_ _cleanup_(close_fdp)
#define _cleanup_free_ _cleanup_(freep)
#define _cleanup_fclose_ _cleanup_(fclosep)
#define _cleanup_closedir_ _cleanup_(closedirp)

/* Hands ownership on: the variable forgets what it held. */
static inline int take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

#define take_ptr(p)                       \
	({                                \
		__typeof__(p) _taken = (p); \
		(p) = NULL;               \
		_taken;                   \
	})

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

#endif
