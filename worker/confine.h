/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A worker gives up what its work does not need. */
#ifndef BPFTUNE_WORKER_CONFINE_H
#define BPFTUNE_WORKER_CONFINE_H

#include <stddef.h>

/*
 * Moves these descriptors, whose numbers ascend (-1: none), to the lowest ones in the same order, and closes all
 * others; standard input, output and error become /dev/null, so that no library writes into a pipe. 0 or -errno.
 */
int confine_descriptors(int fds[], size_t n);

/* Supervisor, at its start: nothing of ours executes another program, so the bounding set is empty for all workers. */
void confine_bounds(void);

/*
 * Keeps CAP_NET_ADMIN (a namespace's sysctls by net/sysctl_net.c: net_ctl_permissions(), and netlink
 * changes), drops every other capability, and sets no_new_privs. 0 or -errno.
 */
int confine_capabilities(void);

#endif
