/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Network namespaces that are mounted by a name, such as those of `ip netns`: read again when a mount has changed. */
#ifndef BPFTUNE_SUPERVISOR_INSTANCES_MOUNTS_H
#define BPFTUNE_SUPERVISOR_INSTANCES_MOUNTS_H

#include <stdint.h>
#include <uthash.h>

#include "supervisor/instances/instances.h"

#define MOUNTS_LOOK_MS 100 /* changes within it are looked at once */
#define MOUNTS_SHARE 8	   /* reading them takes at most one part in so many of our time */

struct mounted_netns {
	uint32_t inode;
	char *path; /* of the first mount of several */
	bool is_there;
	bool is_visited; /* by a scout, since the mounts were last read */
	UT_hash_handle hh;
};

/* Watches /proc/self/mountinfo; soon after a change the scan is due. 0 or -errno. */
int mounts_start(struct instances *instances);
void mounts_stop(struct instances *instances);

/* A mount may have come or gone: read them soon. */
void mounts_read_soon(struct instances *instances);

/* The instance of a namespace with this inode has ended. If one is mounted under it still, that is another, and has
 * none yet. */
void mounts_ended(struct instances *instances, uint32_t inode);

/*
 * Where the instance's namespace is mounted; NULL: nowhere, or only since a moment ago: then the scan looks at the
 * instance again. Valid until the next call.
 */
const char *mounts_find(struct instances *instances, const struct instance *instance);

#endif
