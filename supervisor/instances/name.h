/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an instance is called, and who made it: by its cgroup's path, its runtime's files, its mount. */
#ifndef BPFTUNE_SUPERVISOR_INSTANCES_NAME_H
#define BPFTUNE_SUPERVISOR_INSTANCES_NAME_H

#include "supervisor/instances/cgroup.h"
#include "supervisor/instances/instances.h"

/* What the path says, or runc, crun and containerd of its components. Tells a service from a container that it holds. */
bool name_parse(const char *path, struct cgroup_name *ret_name);

/* Whether the path is a container's or a pod's; a service is none. */
bool name_is_container(const char *path);

/* The path of the container that the path is in, the outermost of several. False: it is in none. */
bool name_find_container(const char *path, char ret_container[CGROUP_PATH_BYTES]);

/* Names it after the path of its cgroup. False: nothing there makes a container of it. */
bool name_by_path(struct instances *instances, struct instance *instance, const char *path);

/* Names it after its mount, unless a runtime has named it. False: it is not mounted. */
bool name_by_mount(struct instances *instances, struct instance *instance);

/* Names it as its runtime has it on record: what on_record_is_name() takes. */
void name_by_record(struct instances *instances, struct instance *instance, const char *name);

/* Its owner, from the path of a task's cgroup. */
void name_owner(struct instance *instance, const char *path);

#endif
