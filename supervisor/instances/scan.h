/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Namespaces that no hook announces: those that exist at start, and what `ip netns add` makes. */
#ifndef BPFTUNE_SUPERVISOR_INSTANCES_SCAN_H
#define BPFTUNE_SUPERVISOR_INSTANCES_SCAN_H

#include <sys/types.h>

struct supervisor;

#define SCAN_SCOUT_MS 5000 /* how long one may take */

/* Reads /proc and the mounts once, and sends a scout to all that they show. 0 or -errno. */
int scan_existing(struct supervisor *s);

/* Sends a scout to the namespaces that are mounted by a name and have no instance. */
void scan_mounts(struct supervisor *s);

/* A child that is no worker has ended. After the first scout the control socket is opened. */
void scan_ended(struct supervisor *s, pid_t pid);

#endif
