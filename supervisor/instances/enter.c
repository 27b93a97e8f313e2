// SPDX-License-Identifier: GPL-2.0-or-later
/* The way into a namespace. */
#include <errno.h>

#include "supervisor/instances/mounts.h"
#include "supervisor/instances/place.h"

#define SEARCH_AGAIN_MS 1000

struct wanted {
	uint32_t inode;
	pid_t tid;
};

static void match_task(void *arg, uint32_t inode, pid_t tid)
{
	struct wanted *wanted = arg;

	if (inode == wanted->inode && !wanted->tid)
		wanted->tid = tid;
}

/* By the tasks last seen in it, or its mount. */
static int open_known(struct instances *instances, const struct instance *instance)
{
	uint32_t inode = instance->view.netns_inode;
	int fd = nsfs_open_pid(instance->tid, inode);
	const char *mount;

	for (const struct place *place = instance->places; place && fd < 0; place = place->next)
		fd = nsfs_open_pid(place->tid, inode);
	if (fd < 0)
		fd = nsfs_open_pid(bpf_last_tid(&instances->kernel->host, instance->view.netns_cookie), inode);
	mount = fd < 0 ? mounts_find(instances, instance) : NULL;
	return mount ? nsfs_open_path(mount, inode) : fd;
}

int instance_open_netns(struct instances *instances, struct instance *instance)
{
	struct wanted wanted = { .inode = instance->view.netns_inode };
	int fd = open_known(instances, instance), err;

	if (fd >= 0 || fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM ||
	    uv_now(instances->loop) - instances->searched_ms < SEARCH_AGAIN_MS)
		return fd;
	instances->searched_ms = uv_now(instances->loop);
	err = nsfs_each_task(match_task, &wanted);
	if (!wanted.tid)
		return err ? err : -ENOENT;
	instance->tid = wanted.tid;
	return nsfs_open_pid(wanted.tid, wanted.inode);
}
