/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which cgroup a namespace's tasks are in, and what that makes it to an operator. */
#ifndef BPFTUNE_SUPERVISOR_INSTANCES_PAIR_H
#define BPFTUNE_SUPERVISOR_INSTANCES_PAIR_H

#include <stdbool.h>

struct instance;
struct supervisor;

/* Cuts the path to the component of the container that it is in, the outermost of several. False: it is in none. */
bool pair_cut_to_container(char *path);

/* The container that shares the host's namespace and has claimed that cgroup; NULL: none. */
struct instance *pair_sharer(const struct supervisor *s, const char *path);

/* The same for the container that a task is in. */
struct instance *pair_sharer_of(const struct supervisor *s, int pid);

/*
 * Pairs the instance with the cgroup of a task (pid; 0: none), and names it after its runtime, its cgroup or
 * the mounts that name its namespace. True: a container, so it is worth a worker before any event comes.
 */
bool pair_instance(struct supervisor *s, struct instance *instance, int pid);

/* Finds out who made it, for the limit of workers, if that is not known yet. */
void pair_find_owner(struct supervisor *s, struct instance *instance);

/*
 * Pairs the misplaced again: the deepest cgroup that holds all tasks of the namespace, from one pass over /proc. They
 * stay misplaced if that cannot be read, or more may have moved than was told.
 */
void pair_again(struct supervisor *s);

/* Whether it is paired with a container's cgroup, and the task is there or below: whoever is inside may move about. */
bool pair_is_inside(const struct instance *instance, int pid);

/*
 * Whether a task of the namespace lives where that makes its pairing doubtful: outside of the cgroup, and in a
 * container if it is paired with one; not if it is there from a login.
 */
bool pair_is_astray(const struct instance *instance, int pid);

/* Whether the cgroup that it is paired with is still where it was. */
bool pair_is_there(const struct supervisor *s, const struct instance *instance);

/* Its cgroup is no more: it is paired with none. */
void pair_dissolve(struct supervisor *s, struct instance *instance);

/* Takes the programs of containers off its cgroup; another instance of the same cgroup gets them. */
void pair_let_go(struct supervisor *s, struct instance *instance);

#endif
