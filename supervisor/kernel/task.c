// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/kernel/task.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "supervisor/kernel/nsfs.h"
#include "supervisor/supervisor.h"

static bool read_file(const char *path, char *ret_text, size_t size)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, ret_text, size - 1);

	if (n < 0 || (size_t)n == size - 1)
		return false; /* cut, a path may be another's */
	ret_text[n] = '\0';
	return true;
}

/* A cgroup with living tasks cannot be removed; a dead task has no namespaces (kernel/exit.c: do_exit()). */
static bool has_namespaces(int pid)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	return stat(path, &st) == 0;
}

bool task_read_own_cgroups(char own[TASK_CGROUPS_BYTES])
{
	return read_file("/proc/self/cgroup", own, TASK_CGROUPS_BYTES);
}

bool task_find_cgroup_beside(int pid, const char *own, char *ret_path, size_t size)
{
	char path[64], text[TASK_CGROUPS_BYTES];

	snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
	return pid > 0 && read_file(path, text, sizeof(text)) && cgroup_of_text(text, own, ret_path, size) &&
	       (!cgroup_looks_deleted(ret_path) || has_namespaces(pid));
}

bool task_find_cgroup(int pid, char *ret_path, size_t size)
{
	char own[TASK_CGROUPS_BYTES];

	return task_read_own_cgroups(own) && task_find_cgroup_beside(pid, own, ret_path, size);
}

/* For a task of one namespace in a cgroup, and whether there are others. */
struct search {
	uint32_t inode;
	unsigned int tasks, cgroups; /* what it may look at: who is inside may have made any number */
	int pid;
	bool others;
};

static void look_at_tasks(int cgroup_fd, struct search *search)
{
	int fd = openat(cgroup_fd, "cgroup.procs", O_RDONLY | O_CLOEXEC), pid;
	_cleanup_fclose_ FILE *procs = fd >= 0 ? fdopen(fd, "r") : NULL;

	for (; procs && search->tasks && fscanf(procs, "%d", &pid) == 1; search->tasks--) {
		_cleanup_close_ int netns_fd = nsfs_open_pid(pid, search->inode);

		if (netns_fd >= 0)
			search->pid = pid;
		search->others |= netns_fd == -ESTALE;
	}
}

/* systemd in a container keeps no task in the container's own cgroup, nor in its slices. */
static void look_below(int cgroup_fd, struct search *search) /* NOLINT(misc-no-recursion): search->cgroups bounds it */
{
	int fd = dup(cgroup_fd);
	_cleanup_closedir_ DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;

	look_at_tasks(cgroup_fd, search);
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

int task_find_in(const struct supervisor *s, const char *path, uint32_t netns_inode, bool *ret_others)
{
	_cleanup_close_ int fd = bpf_open_cgroup(&s->host, path);
	struct search search = { .inode = netns_inode, .tasks = 256, .cgroups = 64 };

	if (fd >= 0)
		look_below(fd, &search);
	*ret_others = search.others;
	return search.pid;
}
