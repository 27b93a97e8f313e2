/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of owners (struct owner), and how many namespaces and containers each has, so that nobody leaves no room
 * for others'.
 */
#ifndef BPFTUNE_SUPERVISOR_INSTANCES_OWNER_H
#define BPFTUNE_SUPERVISOR_INSTANCES_OWNER_H

#include "bpf/sizes.h"
#include "supervisor/instances/instances.h"

#define OWNER_INSTANCES_MAX (BPFTUNE_NETNS_MAX / 10)
#define OWNERS_KEPT 1024 /* from so many on, those that are of no use are looked for */

/*
 * Counts the instance for its owner, and no longer for an earlier one. Root of the host, who names a namespace by a
 * mount, and an owner who is not known yet have no count.
 */
void owner_count(struct instances *instances, struct instance *instance);

/* Counts it for nobody: it ends. */
void owner_uncount(struct instances *instances, struct instance *instance);

/* Whether its owner has too many with it; root's sessions may have any number. */
bool owner_is_over(const struct instance *instance);

/* Says so in the log: once, until there is room. */
void owner_say_over(struct instances *instances, struct instance *instance);

/* When nobody holds one any more. */
void owners_free(struct instances *instances);

#endif
