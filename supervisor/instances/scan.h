/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Namespaces that no hook announces: those that exist at the start, and what `ip netns add` makes. */
#ifndef BPFTUNE_SUPERVISOR_INSTANCES_SCAN_H
#define BPFTUNE_SUPERVISOR_INSTANCES_SCAN_H

#include "supervisor/instances/instances.h"

#define SCAN_SCOUT_MS 5000 /* how long one may take */

/* Reads /proc and the mounts once, and sends a scout to all that they show. 0 or -errno. */
int scan_start(struct instances *instances);
void scan_stop(struct instances *instances);

/* Sends a scout to the namespaces that are mounted by a name and have no instance. */
void scan_mounts(struct instances *instances);

#endif
