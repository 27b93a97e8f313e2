/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Containers that share the host's network namespace: instances by their cgroup. One begins as a claim, as a container's
 * first tasks are in the host's namespace for a moment, whatever it shares in the end.
 */
#ifndef BPFTUNE_SUPERVISOR_INSTANCES_SHARER_H
#define BPFTUNE_SUPERVISOR_INSTANCES_SHARER_H

#include "supervisor/instances/cgroup.h"
#include "supervisor/instances/instances.h"

#define SHARER_LOOKS_MAX 5	/* so often a claim is looked at, while only some of its tasks are the host's */
#define SHARER_SETTLED_MS 2000	/* past its set-up, however busy the machine */

/*
 * A task of the host's namespace is in that cgroup. A new claim, to be looked at by sharer_settle() when it is old enough;
 * NULL: the cgroup is no container's, or its container is known.
 */
struct instance *sharer_claim(struct instances *instances, const char *path);

enum sharer_verdict { SHARER_WAITS, SHARER_IS_ONE, SHARER_IS_NONE };

/* What a claim is. SHARER_WAITS: to be looked at once more. */
enum sharer_verdict sharer_settle(struct instances *instances, struct instance *instance);

/*
 * A task of another namespace is in that cgroup: whether the container there is no sharer after all, because its set-up
 * took long. Then it was let go of; `ret_may_be`: there are tasks of both kinds, so it may claim again.
 */
bool sharer_refute(struct instances *instances, const char *path, bool *ret_may_be);

/* The container that is or may be one, and whose cgroup the path is in; NULL: none. */
struct instance *sharer_of(const struct instances *instances, const char *path);

#endif
