/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A worker gives up what its work does not need. */
#ifndef BPFTUNE_WORKER_CONFINE_H
#define BPFTUNE_WORKER_CONFINE_H

#include <linux/filter.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * Moves these descriptors, whose numbers ascend (-1: none), to the lowest ones in the same order, and closes all
 * others; standard input, output and error become /dev/null, so that no library writes into a pipe. 0 or -errno.
 */
int confine_descriptors(int fds[], size_t n);

/* Supervisor, at its start: nothing of ours executes another program, so the bounding set is empty for all workers. */
void confine_bounds(void);

#define CONFINE_USER "bpftune-worker"
#define CONFINE_NOBODY 65534

/* What is the same for all workers, so that the supervisor finds it out once. */
struct confinement {
	uid_t uid; /* of CONFINE_USER; CONFINE_NOBODY: there is no such user */
	gid_t gid;
	int landlock_abi;	  /* 0: the kernel has none */
	struct sock_fprog filter; /* of system calls; its len 0: none */
};

/* 0 or -errno. Where a sanitizer or valgrind watches, which write files of their own: neither landlock nor a filter. */
int confine_prepare(struct confinement *ret_confinement);
void confine_release(struct confinement *confinement);

/*
 * In the worker, once it has entered its namespace and opened what it needs: it becomes an ordinary user who keeps
 * CAP_NET_ADMIN (a namespace's sysctls by net/sysctl_net.c: net_ctl_permissions(), and netlink changes), whose memory
 * nobody but root reads, and who ends with the supervisor. `sysctls_fd` is what it reads sysctls in; `ret_written_fd`
 * stays open (landlock.h), -1: nothing to keep. 0; -ESRCH: the supervisor has ended; or another -errno.
 */
int confine_worker(const struct confinement *confinement, pid_t supervisor, int sysctls_fd, int *ret_written_fd);

#endif
