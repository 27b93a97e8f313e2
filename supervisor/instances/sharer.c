// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/instances/sharer.h"

#include <string.h>
#include <sys/stat.h>

#include "ipc/cleanup.h"
#include "supervisor/instances/name.h"
#include "supervisor/instances/pair.h"
#include "supervisor/instances/registry.h"
#include "supervisor/instances/search.h"

struct instance *sharer_of(const struct instances *instances, const char *path)
{
	char container[CGROUP_PATH_BYTES];

	return name_find_container(path, container) ? registry_by_claim(instances, container) : NULL;
}

struct instance *sharer_claim(struct instances *instances, const char *path)
{
	char container[CGROUP_PATH_BYTES];

	if (instances->stopping || !name_find_container(path, container) || registry_by_claim(instances, container))
		return NULL;
	return registry_add_claim(instances, container);
}

/* A task of the host's namespace in the container's cgroup or below; 0: none. */
static pid_t find_task(const struct instances *instances, const struct instance *sharer, bool *ret_others)
{
	_cleanup_close_ int fd = cgroupfs_open_path(&instances->kernel->cgroupfs, CGROUP2, sharer->claim);

	*ret_others = false;
	return fd < 0 ? 0 : search_below(fd, sharer->view.netns_inode, ret_others);
}

/* Who executes there later may yet share the namespace. */
static void let_go(struct instances *instances, struct instance *sharer)
{
	struct stat st;

	if (fstatat(instances->kernel->cgroupfs.fd, sharer->claim + 1, &st, 0) == 0)
		bpf_forget_cgroup(&instances->kernel->host, st.st_ino);
	instances->listener.unused(instances->arg, sharer, false);
}

enum sharer_verdict sharer_settle(struct instances *instances, struct instance *instance)
{
	bool others;
	pid_t tid = find_task(instances, instance, &others);

	/* While there are tasks of both kinds, that moment may last, on a busy machine. */
	if (tid && others && ++instance->looks < SHARER_LOOKS_MAX)
		return SHARER_WAITS;
	if (tid && pair_with(instances, instance, instance->claim, CGROUP2) && instance->view.cgroup_id) {
		instances->listener.paired(instances->arg, instance);
		return SHARER_IS_ONE;
	}
	let_go(instances, instance);
	return SHARER_IS_NONE;
}

bool sharer_refute(struct instances *instances, const char *path, bool *ret_may_be)
{
	struct instance *sharer = sharer_of(instances, path);
	bool others;
	pid_t tid;

	if (!sharer || instance_is_claim(sharer))
		return false; /* there is none, or it is yet to be settled */
	tid = find_task(instances, sharer, &others);
	if (tid && uv_now(instances->loop) - sharer->sighted_ms >= SHARER_SETTLED_MS)
		return false; /* a namespace made inside, later */
	let_go(instances, sharer);
	*ret_may_be = tid != 0;
	return true;
}
