/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether a container's owner wants nothing of bpftune: a mark on the container's cgroup, or a label or annotation in what
 * its runtime has on record. A mark is about the container that it is found by, and about no other.
 */
#ifndef BPFTUNE_SUPERVISOR_INSTANCES_OPT_OUT_H
#define BPFTUNE_SUPERVISOR_INSTANCES_OPT_OUT_H

#include "supervisor/instances/instances.h"

/* The mark in words, a string that stays; NULL: there is none. */
const char *opt_out_find(const struct instances *instances, const struct instance *instance);

#endif
