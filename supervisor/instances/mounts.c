// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/instances/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/cleanup.h"

static void clear(struct instances *instances)
{
	struct mounted_netns *mounted, *next;

	HASH_ITER(hh, instances->mounted, mounted, next) {
		HASH_DEL(instances->mounted, mounted);
		free(mounted->path);
		free(mounted);
	}
}

static void add(void *arg, uint32_t inode, const char *path)
{
	struct instances *instances = arg;
	struct mounted_netns *mounted;

	HASH_FIND_INT(instances->mounted, &inode, mounted);
	if (mounted)
		return;
	mounted = calloc(1, sizeof(*mounted));
	if (!mounted)
		return;
	mounted->inode = inode;
	mounted->path = strdup(path);
	if (mounted->path)
		HASH_ADD_INT(instances->mounted, inode, mounted);
	else
		free(mounted);
}

static void on_due(uv_timer_t *timer)
{
	struct instances *instances = timer->data;

	instances->on_mounts(instances);
}

/* A name may have come or gone. */
static void changed(struct instances *instances)
{
	instances->mounted_is_old = true;
	instances_sweep_soon(instances, NULL);
	if (!uv_is_active((uv_handle_t *)&instances->mounts_due))
		uv_timer_start(&instances->mounts_due, on_due, MOUNTS_LOOK_MS, 0);
}

/* poll(2) of mountinfo tells of each change (proc(5)), and forgets it. */
static void on_mounts(uv_poll_t *poll, int status, int events)
{
	(void)status, (void)events;
	changed(poll->data);
}

const struct mounted_netns *mounts_read(struct instances *instances)
{
	struct pollfd fd = { .fd = instances->mounts_fd, .events = POLLPRI };

	if (poll(&fd, 1, 0) == 1)
		changed(instances);
	if (instances->mounted_is_old) {
		clear(instances);
		instances->mounted_is_old = nsfs_each_mount(add, instances) < 0;
	}
	return instances->mounted;
}

const char *mounts_find(struct instances *instances, uint32_t inode)
{
	const struct mounted_netns *all = mounts_read(instances);
	struct mounted_netns *mounted;

	HASH_FIND_INT(all, &inode, mounted);
	return mounted ? mounted->path : NULL;
}

int mounts_start(struct instances *instances, void (*on_changed)(struct instances *instances))
{
	int err;

	instances->on_mounts = on_changed;
	instances->mounted_is_old = true;
	instances->mounts_fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	if (instances->mounts_fd < 0)
		return -errno;
	uv_timer_init(instances->loop, &instances->mounts_due);
	instances->mounts_due.data = instances;
	err = uv_poll_init(instances->loop, &instances->mounts, instances->mounts_fd);
	if (err)
		return err;
	instances->mounts.data = instances;
	return uv_poll_start(&instances->mounts, UV_PRIORITIZED, on_mounts);
}

void mounts_stop(struct instances *instances)
{
	clear(instances);
	if (instances->mounts_due.data)
		uv_close((uv_handle_t *)&instances->mounts_due, NULL);
	if (instances->mounts.data)
		uv_close((uv_handle_t *)&instances->mounts, NULL);
	close_fdp(&instances->mounts_fd);
}
