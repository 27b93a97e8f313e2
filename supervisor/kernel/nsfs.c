// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/kernel/nsfs.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ipc/cleanup.h"

int nsfs_open_path(const char *path, uint32_t inode)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	return st.st_ino == inode ? take_fd(&fd) : -ESTALE;
}

int nsfs_open_pid(pid_t pid, uint32_t inode)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	fd = nsfs_open_path(path, inode);
	return fd == -ENOENT ? -ESRCH : fd;
}

/* Octal escapes of /proc/PID/mountinfo (fs/proc_namespace.c: mangle()), in place. */
static void unescape(char *path)
{
	char *to = path;

	for (const char *p = path; *p; to++) {
		unsigned int octal;

		if (p[0] == '\\' && sscanf(p + 1, "%3o", &octal) == 1) {
			*to = octal;
			p += 4;
		} else {
			*to = *p++;
		}
	}
	*to = '\0';
}

int nsfs_each_mount(void (*found)(void *arg, uint32_t inode, const char *path), void *arg)
{
	_cleanup_fclose_ FILE *mounts = fopen("/proc/self/mountinfo", "re");
	_cleanup_free_ char *line = NULL;
	size_t size = 0;

	if (!mounts)
		return -errno;
	while (getline(&line, &size, mounts) > 0) {
		_cleanup_free_ char *path = NULL;
		unsigned int inode;

		/* 36 35 0:4 net:[4026532250] /run/netns/c1 rw shared:1 - nsfs nsfs rw (proc(5)) */
		if (sscanf(line, "%*d %*d %*s net:[%u] %ms", &inode, &path) == 2 && path) {
			unescape(path);
			found(arg, inode, path);
		}
	}
	return 0;
}

struct wanted {
	uint32_t inode;
	char *path;
	size_t size;
	bool found;
};

static void match_mount(void *arg, uint32_t inode, const char *path)
{
	struct wanted *wanted = arg;

	if (inode != wanted->inode || wanted->found)
		return;
	wanted->found = (size_t)snprintf(wanted->path, wanted->size, "%s", path) < wanted->size;
}

int nsfs_find_mount(uint32_t inode, char *ret_path, size_t size)
{
	struct wanted wanted = { .inode = inode, .path = ret_path, .size = size };
	int err = nsfs_each_mount(match_mount, &wanted);

	return err ? err : wanted.found ? 0 : -ENOENT;
}

int nsfs_each_process(void (*found)(void *arg, uint32_t inode, pid_t pid), void *arg)
{
	_cleanup_closedir_ DIR *proc = opendir("/proc");
	struct dirent *entry;

	if (!proc)
		return -errno;
	while ((entry = readdir(proc))) {
		char path[300];
		struct stat st;

		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "%s/ns/net", entry->d_name);
		if (fstatat(dirfd(proc), path, &st, 0) == 0)
			found(arg, st.st_ino, atoi(entry->d_name));
	}
	return 0;
}
