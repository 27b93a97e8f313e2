/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The files that a worker may open, by landlock(7): all of /proc to read, /proc/sys/net to write, and no other. */
#ifndef BPFTUNE_WORKER_LANDLOCK_H
#define BPFTUNE_WORKER_LANDLOCK_H

/* The version that the kernel has; 0: none. */
int landlock_abi(void);

/*
 * Confines this process, for good; it must have no_new_privs. `sysctls_fd` is another directory to read below.
 * `ret_written_fd` is /proc/sys/net, to be kept open: a rule ends with the kernel's record of its directory, which the
 * kernel drops when memory is short. 0 or -errno.
 */
int landlock_confine(int abi, int sysctls_fd, int *ret_written_fd);

#endif
