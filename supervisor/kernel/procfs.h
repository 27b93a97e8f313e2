/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * /proc/sys, for many workers. Each network namespace has a directory net/ipv4 of its own there, all of the same parent
 * and name, and a lookup compares them all (fs/proc/proc_sysctl.c: proc_sys_compare()): 2 ms of each start with 3,000
 * of them. A mount of its own has directories of its own, so a few workers share one.
 */
#ifndef BPFTUNE_SUPERVISOR_KERNEL_PROCFS_H
#define BPFTUNE_SUPERVISOR_KERNEL_PROCFS_H

#include <stddef.h>

#define PROCFS_WORKERS 64 /* that share one */
#define PROCFS_MAX 64	  /* then they share more */

struct procfs {
	int fds[PROCFS_MAX];
	size_t n;
	unsigned int n_given;
};

/*
 * The directory for one more worker, to read only, whose descriptor stays ours; or -errno. It is /proc/sys itself where
 * none can be mounted.
 */
int procfs_sysctls(struct procfs *procfs);

void procfs_close(struct procfs *procfs);

#endif
