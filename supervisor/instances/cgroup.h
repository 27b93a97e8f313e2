/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a cgroup's path says: runtime, container, pod, and whose it is. No I/O. */
#ifndef BPFTUNE_SUPERVISOR_INSTANCES_CGROUP_H
#define BPFTUNE_SUPERVISOR_INSTANCES_CGROUP_H

#include <stdbool.h>
#include <stddef.h>

#define CGROUP_PATH_BYTES 4096 /* PATH_MAX: the kernel shows no longer ones */
#define CGROUP_UID_BYTES 11    /* of 32 bits, in decimal */

struct cgroup_name {
	const char *runtime;    /* static; NULL: no runtime that we know */
	char container_id[256]; /* "": none; OUTER/INNER for a container in a container */
	char pod_uid[72];       /* of Kubernetes, or a Podman pod's id; "": no pod */
	const char *pod_qos;    /* guaranteed, burstable, besteffort; NULL: no Kubernetes pod */
	char uid[CGROUP_UID_BYTES]; /* of the user whose session it is in; "": in none */
	size_t bytes;           /* of the path, up to the component that says it, the innermost of several */
	size_t container_bytes; /* up to the outermost container's own component; 0: no container */
};

/*
 * What a cgroup path says of the container in it; false when it is no container's. The outermost container
 * comes first in the id: what is in it can make cgroups of any name below, but not take another's id.
 */
bool cgroup_parse(const char *path, struct cgroup_name *ret_name);

/*
 * The user in whose session the path is: user.slice/user-UID.slice or user@UID.service, with nothing but slices above.
 * Whoever may make cgroups elsewhere, in a container or a service, makes no user's. False: it is in none.
 */
bool cgroup_find_user(const char *path, char ret_uid[CGROUP_UID_BYTES]);

/*
 * How much of the path names whoever may make further cgroups below it: a user, a pod, a container, a service,
 * or else the first cgroup that is no slice. `container_bytes`: where a container is known to be; 0: not known.
 */
size_t cgroup_owner_bytes(const char *path, size_t container_bytes);

/* Where unrelated containers and services live side by side, such as the root and /system.slice. */
bool cgroup_is_place(const char *path);

/* Where a login's processes are, not a container's. */
bool cgroup_is_session(const char *path);

/* Whether the path is that of `parent` or of a cgroup below it. */
bool cgroup_is_below(const char *path, const char *parent);

/* The deepest cgroup that holds both: cuts `path` to what it has in common with `other`. */
void cgroup_common(char *path, const char *other);

#endif
