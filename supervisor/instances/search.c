// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/instances/search.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "ipc/cleanup.h"

/* Who is inside may have made any number of either. */
#define TASKS_MAX 256
#define CGROUPS_MAX 64

struct search {
	uint32_t netns_inode;
	unsigned int tasks, cgroups; /* that may still be looked at */
	pid_t tid;
	bool others;
};

bool search_is_in(pid_t tid, uint32_t netns_inode)
{
	int fd = tid ? nsfs_open_pid(tid, netns_inode) : -ESRCH;

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

/* `list` is cgroup.procs, or cgroup.threads: a thread that is no leader may have a namespace of its own. */
static void look_at(int cgroup_fd, const char *list, struct search *search)
{
	int fd = openat(cgroup_fd, list, O_RDONLY | O_CLOEXEC), tid;
	_cleanup_fclose_ FILE *tids = fd >= 0 ? fdopen(fd, "r") : NULL;

	if (!tids) {
		close_fdp(&fd);
		return;
	}
	for (; search->tasks && !(search->tid && search->others) && fscanf(tids, "%d", &tid) == 1; search->tasks--) {
		int netns_fd = nsfs_open_pid(tid, search->netns_inode);

		if (netns_fd >= 0)
			search->tid = tid;
		search->others |= netns_fd == -ESTALE;
		close_fdp(&netns_fd);
	}
}

pid_t search_cgroup(int cgroup_fd, uint32_t netns_inode)
{
	struct search search = { .netns_inode = netns_inode, .tasks = TASKS_MAX };

	look_at(cgroup_fd, "cgroup.procs", &search);
	search.tasks = search.tid ? 0 : TASKS_MAX;
	look_at(cgroup_fd, "cgroup.threads", &search);
	look_at(cgroup_fd, "tasks", &search); /* cgroup1's name of it */
	return search.tid;
}

/* systemd in a container keeps no task in the container's own cgroup, nor in its slices. */
static void look_below(int cgroup_fd, struct search *search) /* NOLINT(misc-no-recursion): search->cgroups bounds it */
{
	int fd = dup(cgroup_fd);
	_cleanup_closedir_ DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;

	if (!directory)
		close_fdp(&fd);
	look_at(cgroup_fd, "cgroup.procs", search);
	while (directory && search->cgroups && (entry = readdir(directory))) {
		_cleanup_close_ int below = -1;

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		search->cgroups--;
		below = openat(cgroup_fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (below >= 0)
			look_below(below, search);
	}
}

pid_t search_below(int cgroup_fd, uint32_t netns_inode, bool *ret_others)
{
	struct search search = { .netns_inode = netns_inode, .tasks = TASKS_MAX, .cgroups = CGROUPS_MAX };

	look_below(cgroup_fd, &search);
	*ret_others = search.others;
	return search.tid;
}
