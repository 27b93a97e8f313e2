/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which cgroup a namespace's tasks are in, and what that makes it to an operator. */
#ifndef BPFTUNE_SUPERVISOR_PAIR_H
#define BPFTUNE_SUPERVISOR_PAIR_H

#include <stdbool.h>
#include <stddef.h>

struct instance;
struct bpftune_host;

struct pair_name {
	const char *runtime;     /* static */
	char container_id[256]; /* "": none */
};

/* Runtime and container id from a cgroup path; false when it is no container's. */
bool pair_parse_cgroup(const char *path, struct pair_name *ret_name);

/*
 * A task's cgroup from its /proc/PID/cgroup text, seen from another task's (ours): cgroup2's path ("0::")
 * when it differs, else (hybrid hosts leave all in cgroup2's root) the first hierarchy's that does.
 * False: the same place as ours, or only roots.
 */
bool pair_cgroup_of(const char *proc_cgroup, const char *own_proc_cgroup, char *ret_path, size_t size);

/*
 * Fills in cgroup, name, runtime and container id from the task last seen in the namespace and from the
 * mounts that name it. True: a container, so it is worth a worker before any event comes.
 */
bool pair_instance(struct instance *instance, const struct bpftune_host *host);

#endif
