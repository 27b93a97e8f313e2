// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/kernel/nsfs.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
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

/* What is longer is cut: the paths of a line come first. False: there are no more. */
static bool read_line(FILE *file, char *line, int size)
{
	int c = 0;

	if (!fgets(line, size, file))
		return false;
	while (!strchr(line, '\n') && c != '\n' && c != EOF)
		c = fgetc(file);
	return true;
}

int nsfs_each_mount(void (*found)(void *arg, uint32_t inode, const char *path), void *arg)
{
	_cleanup_fclose_ FILE *mounts = fopen("/proc/self/mountinfo", "re");
	char buffer[BUFSIZ], line[PATH_MAX + 256], path[PATH_MAX]; /* on the stack, which workers do not have */

	if (!mounts)
		return -errno;
	setvbuf(mounts, buffer, _IOFBF, sizeof(buffer));
	while (read_line(mounts, line, sizeof(line))) {
		unsigned int inode;

		/* 36 35 0:4 net:[4026532250] /run/netns/c1 rw shared:1 - nsfs nsfs rw (proc(5)) */
		if (sscanf(line, "%*d %*d %*s net:[%u] %4095s", &inode, path) == 2) {
			unescape(path);
			found(arg, inode, path);
		}
	}
	return 0;
}

struct each {
	void (*found)(void *arg, uint32_t inode, pid_t tid);
	void *arg;
};

static void look_at(int tasks_fd, const char *task, const struct each *each)
{
	char path[300];
	struct stat st;

	snprintf(path, sizeof(path), "%s/ns/net", task);
	if (isdigit((unsigned char)task[0]) && fstatat(tasks_fd, path, &st, 0) == 0)
		each->found(each->arg, st.st_ino, atoi(task));
}

static void look_at_threads(int proc_fd, const char *process, const struct each *each)
{
	_cleanup_closedir_ DIR *threads = NULL;
	struct dirent *entry;
	char path[300];
	int fd;

	snprintf(path, sizeof(path), "%s/task", process);
	fd = openat(proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	threads = fd >= 0 ? fdopendir(fd) : NULL;
	if (!threads)
		close_fdp(&fd);
	while (threads && (entry = readdir(threads)))
		look_at(dirfd(threads), entry->d_name, each);
}

int nsfs_each_task(void (*found)(void *arg, uint32_t inode, pid_t tid), void *arg)
{
	const struct each each = { found, arg };
	_cleanup_closedir_ DIR *proc = opendir("/proc");
	struct dirent *entry;

	if (!proc)
		return -errno;
	while ((entry = readdir(proc)))
		if (isdigit((unsigned char)entry->d_name[0]))
			look_at_threads(dirfd(proc), entry->d_name, &each);
	return 0;
}
