/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Namespaces that no hook announces: those that exist at the start, and what `ip netns add` makes. */
#ifndef BPFTUNE_SUPERVISOR_INSTANCES_SCAN_H
#define BPFTUNE_SUPERVISOR_INSTANCES_SCAN_H

#include "supervisor/instances/instances.h"

#define SCAN_SCOUT_MS 5000 /* how long one may take */
#define SCAN_AT_ONCE 512   /* namespaces that a scout visits: their sightings fill a quarter of the ring */

/* Reads /proc once. Scouts visit what it and the mounts show: instances_ring_is_empty(). 0 or -errno. */
int scan_start(struct instances *instances);
void scan_stop(struct instances *instances);

#endif
