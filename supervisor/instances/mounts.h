/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Network namespaces that are mounted by a name, such as those of `ip netns`: read again when a mount has changed. */
#ifndef BPFTUNE_SUPERVISOR_INSTANCES_MOUNTS_H
#define BPFTUNE_SUPERVISOR_INSTANCES_MOUNTS_H

#include <stdint.h>
#include <uthash.h>

#include "supervisor/instances/instances.h"

#define MOUNTS_LOOK_MS 100 /* changes within it are looked at once */

struct mounted_netns {
	uint32_t inode;
	char *path; /* of the first mount of several */
	UT_hash_handle hh;
};

/* Watches /proc/self/mountinfo; `on_changed` is called soon after a change. 0 or -errno. */
int mounts_start(struct instances *instances, void (*on_changed)(struct instances *instances));
void mounts_stop(struct instances *instances);

/* All of them, up to date. */
const struct mounted_netns *mounts_read(struct instances *instances);

/* Where the namespace is mounted; NULL: nowhere. Valid until the next call. */
const char *mounts_find(struct instances *instances, uint32_t inode);

#endif
