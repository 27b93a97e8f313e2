/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cgroup of a task, and the tasks of a cgroup. */
#ifndef BPFTUNE_SUPERVISOR_KERNEL_TASK_H
#define BPFTUNE_SUPERVISOR_KERNEL_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "supervisor/instances/cgroup.h"

struct supervisor;

/* Of a /proc/PID/cgroup: cgroup2's and some of the old hierarchies'. */
#define TASK_CGROUPS_BYTES (2 * CGROUP_PATH_BYTES)

/* The cgroup of a task that has a namespace still, as cgroup_of_text() tells it; false: the same place as ours. */
bool task_find_cgroup(int pid, char *ret_path, size_t size);

/* Our own /proc/PID/cgroup, to be read once for many tasks. */
bool task_read_own_cgroups(char own[TASK_CGROUPS_BYTES]);

/* task_find_cgroup() with that. */
bool task_find_cgroup_beside(int pid, const char *own, char *ret_path, size_t size);

/*
 * A task of that namespace in that cgroup of cgroup2, or in one of the cgroups below; 0: none was found. And whether
 * there are tasks of other namespaces.
 */
int task_find_in(const struct supervisor *s, const char *path, uint32_t netns_inode, bool *ret_others);

#endif
