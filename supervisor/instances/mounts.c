// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/instances/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/cleanup.h"
#include "ipc/unshared.h"
#include "supervisor/instances/registry.h"

static void forget(struct instances *instances, struct mounted_netns *mounted)
{
	HASH_DEL(instances->mounted, mounted);
	unshared_free(mounted->path);
	unshared_free(mounted);
}

static struct mounted_netns *add(struct instances *instances, uint32_t inode)
{
	struct mounted_netns *mounted = unshared_alloc(sizeof(*mounted));

	if (mounted) {
		mounted->inode = inode;
		HASH_ADD_INT(instances->mounted, inode, mounted);
	}
	return mounted;
}

static void found_mount(void *arg, uint32_t inode, const char *path)
{
	struct instances *instances = arg;
	struct mounted_netns *mounted;

	HASH_FIND_INT(instances->mounted, &inode, mounted);
	if (!mounted)
		mounted = add(instances, inode);
	if (!mounted || mounted->is_there)
		return;
	mounted->is_visited = false;
	if (!mounted->path || strcmp(mounted->path, path)) {
		unshared_free(mounted->path);
		mounted->path = unshared_strdup(path);
	}
	mounted->is_there = mounted->path;
}

/* Whoever held its namespace by this mount has let go. */
static void gone(struct instances *instances, struct mounted_netns *mounted)
{
	struct instance *instance = registry_by_inode(instances, mounted->inode);

	if (instance)
		instances_sweep_soon(instances, instance);
	forget(instances, mounted);
}

/* poll(2) of mountinfo tells once of all changes until then (fs/proc_namespace.c: mounts_poll()). */
static bool poll_tells(const struct instances *instances)
{
	struct pollfd fd = { .fd = instances->mounts_fd, .events = POLLPRI };

	return poll(&fd, 1, 0) == 1;
}

static void read_all(struct instances *instances)
{
	uint64_t start_ns = uv_hrtime();
	struct mounted_netns *mounted, *next;
	int err;

	poll_tells(instances);
	for (mounted = instances->mounted; mounted; mounted = mounted->hh.next)
		mounted->is_there = false;
	err = nsfs_each_mount(found_mount, instances);
	HASH_ITER (hh, instances->mounted, mounted, next)
		if (!err && !mounted->is_there)
			gone(instances, mounted);
	instances->mounts_changed = err < 0;
	instances->mounts_read_ms = uv_now(instances->loop);
	instances->mounts_took_ms = (uv_hrtime() - start_ns) / 1000000;
	instances->scan_is_due = true;
}

static void on_due(uv_timer_t *timer)
{
	struct instances *instances = timer->data;

	if (instances->mounts_changed)
		read_all(instances);
}

void mounts_read_soon(struct instances *instances)
{
	uint64_t wait_ms = MOUNTS_SHARE * instances->mounts_took_ms;

	instances->mounts_changed = true;
	if (!uv_is_active((uv_handle_t *)&instances->mounts_due))
		uv_timer_start(&instances->mounts_due, on_due, wait_ms > MOUNTS_LOOK_MS ? wait_ms : MOUNTS_LOOK_MS, 0);
}

static void on_mounts(uv_poll_t *poll, int status, int events)
{
	(void)status, (void)events;
	mounts_read_soon(poll->data);
}

static bool have_changed(struct instances *instances)
{
	if (!instances->mounts_changed && poll_tells(instances))
		mounts_read_soon(instances);
	return instances->mounts_changed;
}

void mounts_ended(struct instances *instances, uint32_t inode)
{
	struct mounted_netns *mounted;

	HASH_FIND_INT(instances->mounted, &inode, mounted);
	if (mounted && !instances->stopping)
		mounts_read_soon(instances);
}

const char *mounts_find(struct instances *instances, const struct instance *instance)
{
	uint64_t read_ms = instances->mounts_read_ms;
	struct mounted_netns *mounted;

	/* What was read before the namespace was sighted may be of an earlier one with the same inode. */
	if (have_changed(instances) && (read_ms <= instance->sighted_ms ||
					uv_now(instances->loop) - read_ms > MOUNTS_SHARE * instances->mounts_took_ms))
		read_all(instances);
	HASH_FIND_INT(instances->mounted, &instance->view.netns_inode, mounted);
	return mounted ? mounted->path : NULL;
}

int mounts_start(struct instances *instances)
{
	int err;

	instances->mounts_fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	if (instances->mounts_fd < 0)
		return -errno;
	uv_timer_init(instances->loop, &instances->mounts_due);
	instances->mounts_due.data = instances;
	err = uv_poll_init(instances->loop, &instances->mounts, instances->mounts_fd);
	if (err)
		return err;
	instances->mounts.data = instances;
	/*
	 * It is never stopped and started again: what changes before epoll_ctl(2) adds the descriptor is not told, as
	 * that asks once and forgets the answer (fs/eventpoll.c: ep_insert(), ep_send_events()). Here the loop does
	 * that when it first waits.
	 */
	err = uv_poll_start(&instances->mounts, UV_PRIORITIZED, on_mounts);
	read_all(instances);
	return err;
}

void mounts_stop(struct instances *instances)
{
	struct mounted_netns *mounted, *next;

	HASH_ITER (hh, instances->mounted, mounted, next)
		forget(instances, mounted);
	if (instances->mounts_due.data)
		uv_close((uv_handle_t *)&instances->mounts_due, NULL);
	if (instances->mounts.data)
		uv_close((uv_handle_t *)&instances->mounts, NULL);
	close_fdp(&instances->mounts_fd);
}
