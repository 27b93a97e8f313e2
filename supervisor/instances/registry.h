/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The records, and what finds them: the part of instances.h that this room keeps to itself. */
#ifndef BPFTUNE_SUPERVISOR_INSTANCES_REGISTRY_H
#define BPFTUNE_SUPERVISOR_INSTANCES_REGISTRY_H

#include "supervisor/instances/instances.h"

/* A record of a namespace, named after its inode until it is paired. NULL: no memory. */
struct instance *registry_add(struct instances *instances, uint64_t netns_cookie, uint32_t netns_inode);

/* A record of a container that may share the host's namespace: found by its cgroup, not by cookie or inode. */
struct instance *registry_add_claim(struct instances *instances, const char *cgroup_path);
struct instance *registry_by_claim(const struct instances *instances, const char *cgroup_path);

/* Nothing finds it any more; and it is freed. */
void registry_remove(struct instances *instances, struct instance *instance);
void registry_free(struct instances *instances, struct instance *instance);

struct instance *registry_by_inode(const struct instances *instances, uint32_t netns_inode);

bool registry_name_is_taken(const struct instances *instances, const char *name);

/* Takes the name, which is malloc()ed. */
void registry_rename(struct instances *instances, struct instance *instance, char *name);

#endif
