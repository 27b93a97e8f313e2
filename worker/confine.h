/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A worker gives up what its work does not need. */
#ifndef BPFTUNE_WORKER_CONFINE_H
#define BPFTUNE_WORKER_CONFINE_H

/*
 * Closes every inherited descriptor but the two, which move to fixed numbers of their own; standard
 * input, output and error become /dev/null, so that no library writes into a pipe. 0 or -errno.
 */
int confine_descriptors(int *event_fd, int *report_fd, int *netns_fd);

/* Supervisor, at its start: nothing of ours executes another program, so the bounding set is empty for all workers. */
void confine_bounds(void);

/*
 * Keeps CAP_NET_ADMIN (a namespace's sysctls by net/sysctl_net.c: net_ctl_permissions(), and netlink
 * changes), drops every other capability, and sets no_new_privs. 0 or -errno.
 */
int confine_capabilities(void);

#endif
