/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What /proc showed at the start of namespaces that have no instance yet: their cookies are still to be told. */
#ifndef BPFTUNE_SUPERVISOR_INSTANCES_KNOWN_H
#define BPFTUNE_SUPERVISOR_INSTANCES_KNOWN_H

#include "supervisor/instances/place.h"

struct known_netns {
	uint32_t inode;
	pid_t tid; /* a thread that is in it */
	struct place *places;
	bool is_visited; /* by a scout */
	UT_hash_handle hh;
};

/* The namespace of that inode, in which that thread is. NULL: no memory. */
struct known_netns *known_add(struct instances *instances, uint32_t inode, pid_t tid);

/* Gives the instance what is known of its namespace. False: nothing. */
bool known_take(struct instances *instances, struct instance *instance);

void known_forget(struct instances *instances);

#endif
