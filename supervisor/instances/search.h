/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tasks of a namespace, in a cgroup. */
#ifndef BPFTUNE_SUPERVISOR_INSTANCES_SEARCH_H
#define BPFTUNE_SUPERVISOR_INSTANCES_SEARCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "supervisor/kernel/kernel.h"

/* A thread of that namespace in that cgroup, whose directory `cgroup_fd` is; 0: none was found. */
pid_t search_cgroup(int cgroup_fd, uint32_t netns_inode);

/* The same, in the cgroups below, too; and whether there are tasks of other namespaces. */
pid_t search_below(int cgroup_fd, uint32_t netns_inode, bool *ret_others);

/* Whether the thread is there, in that namespace. */
bool search_is_in(pid_t tid, uint32_t netns_inode);

#endif
