/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which cgroup a namespace's tasks are in, and what that makes it to an operator. */
#ifndef BPFTUNE_SUPERVISOR_PAIR_H
#define BPFTUNE_SUPERVISOR_PAIR_H

#include <stdbool.h>
#include <stddef.h>

struct instance;
struct supervisor;

#define PAIR_PATH_BYTES 4096

struct pair_name {
	const char *runtime;    /* static; NULL: no runtime that we know */
	char container_id[256]; /* "": none; OUTER/INNER for a container in a container */
	char pod_uid[64];       /* "": no Kubernetes pod */
	const char *pod_qos;    /* guaranteed, burstable, besteffort; NULL: no pod */
};

/*
 * What a cgroup path says of the container in it; false when it is no container's. The outermost container
 * comes first in the id: what is in it can make cgroups of any name below, but not take another's id.
 */
bool pair_parse_cgroup(const char *path, struct pair_name *ret_name);

/*
 * A task's cgroup from its /proc/PID/cgroup text, seen from another task's (ours): cgroup2's path ("0::")
 * when it differs, else (hybrid hosts may leave all in cgroup2's root) the first hierarchy's in which a known
 * runtime put it. False: the same place as ours, or only roots.
 */
bool pair_cgroup_of(const char *proc_cgroup, const char *own_proc_cgroup, char *ret_path, size_t size);

/* The cgroup of a task, as pair_cgroup_of() tells it. */
bool pair_find_cgroup(int pid, char *ret_path, size_t size);

/* Whether a container lives there: one that may share the host's namespace. */
bool pair_is_container(const char *path);

/* A task in that cgroup of cgroup2, or in one of the cgroups right below; 0: none. */
int pair_any_task(const struct supervisor *s, const char *path);

/* Where a login's processes are, not a container's. */
bool pair_is_session(const char *path);

/* The deepest cgroup that holds both: cuts `path` to what it has in common with `other`. */
void pair_common(char *path, const char *other);

/*
 * Pairs the instance with the cgroup of a task (pid; 0: none), and names it after its runtime, its cgroup or
 * the mounts that name its namespace. True: a container, so it is worth a worker before any event comes.
 */
bool pair_instance(struct supervisor *s, struct instance *instance, int pid);

/* Pairs it again: the deepest cgroup that holds all tasks of the namespace, from one pass over /proc. */
void pair_again(struct supervisor *s);

#endif
