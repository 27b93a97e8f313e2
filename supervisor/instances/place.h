/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cgroups in which tasks of an instance were seen, and which of them, or above them, is the instance's. */
#ifndef BPFTUNE_SUPERVISOR_INSTANCES_PLACE_H
#define BPFTUNE_SUPERVISOR_INSTANCES_PLACE_H

#include "supervisor/instances/cgroup.h"
#include "supervisor/instances/instances.h"

#define PLACES_MAX 16	  /* then two become one: what they have in common */
#define PLACE_REPORTED_MS 200 /* what follows within it in the same cgroup may not be told: more than watch.bpf.c's rate */

struct place {
	char *path;
	bool is_common; /* to several that were below it */
	enum cgroup_hierarchy hierarchy;
	pid_t tid;	  /* a thread that was seen there */
	uint64_t seen_ms; /* uv_now() */
	struct place *prev, *next;
};

/* Where the task of an event is. False: where we are, in a root, or in a cgroup that has been removed since. */
bool place_find(struct instances *instances, const struct bpftune_place *event, char ret_path[CGROUP_PATH_BYTES],
		enum cgroup_hierarchy *ret_hierarchy);

/* The same for a task, from /proc. */
bool place_find_task(struct instances *instances, pid_t tid, char ret_path[CGROUP_PATH_BYTES],
		     enum cgroup_hierarchy *ret_hierarchy);

/* One more, the newest; or one that is known already is seen again. now_ms 0: nothing was told of it just now. */
void place_add(struct place **places, const char *path, enum cgroup_hierarchy hierarchy, pid_t tid, uint64_t now_ms);

/* Forgets those that have no task of the instance any more, and adds those of the tasks that were last seen. */
void place_forget_left(struct instances *instances, struct instance *instance);

/* More may have come there than was told: then the instance is to be looked at once more. */
bool place_was_just_reported(const struct instances *instances, const struct instance *instance);

/*
 * The instance's cgroup: the deepest that holds all its places. Where that is one in which unrelated ones are side by
 * side: the one it is paired with, if a place is there, or else the first place. A login's place does not count, nor,
 * beside a container's, one that is in none: they only look in. False: there is no place.
 */
bool place_best(const struct instance *instance, char ret_path[CGROUP_PATH_BYTES], enum cgroup_hierarchy *ret_hierarchy);

void place_free(struct place *places);

#endif
