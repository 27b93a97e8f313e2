/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which cgroup is an instance's, and the programs that are attached to it. */
#ifndef BPFTUNE_SUPERVISOR_INSTANCES_PAIR_H
#define BPFTUNE_SUPERVISOR_INSTANCES_PAIR_H

#include "supervisor/instances/instances.h"

/*
 * Pairs the instance with the cgroup where its places are, and names it after its runtime, its cgroup or its mount. True:
 * a container, so it is worth a worker before any event comes.
 */
bool pair_by_places(struct instances *instances, struct instance *instance);

/* Pairs and names it. False: nothing in the path makes a container of it. */
bool pair_with(struct instances *instances, struct instance *instance, const char *path, enum cgroup_hierarchy hierarchy);

/* Whether it is paired with a container's cgroup, and the path is that or below: whoever is inside may move about. */
bool pair_is_inside(const struct instance *instance, const char *path);

/* Whether the cgroup that it is paired with is still where it was. */
bool pair_is_there(const struct instances *instances, const struct instance *instance);

/* Calls `found` for each that is paired with the cgroup; it may let that one go. */
void pair_each_of_cgroup(struct instances *instances, uint64_t cgroup_id,
			 void (*found)(struct instances *instances, struct instance *instance));

/* Its cgroup is no more: it is paired with none. */
void pair_dissolve(struct instances *instances, struct instance *instance);

/* Takes the programs of containers off its cgroup; another instance of the same cgroup gets them. */
void pair_let_go(struct instances *instances, struct instance *instance);

#endif
