// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/operator/run_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "supervisor/kernel/kernel.h"

static pid_t read_pid(int fd)
{
	char text[32] = "";

	return pread(fd, text, sizeof(text) - 1, 0) > 0 ? atoi(text) : 0;
}

/* The directory above is looked at before anything is made in there. */
static int open_run_dir(const char *run_dir, char *ret_why, size_t size)
{
	_cleanup_close_ int parent = -1;
	char copy[PATH_MAX];
	struct stat st;

	if ((size_t)snprintf(copy, sizeof(copy), "%s", run_dir) >= sizeof(copy))
		return -ENAMETOOLONG;
	if (lstat(run_dir, &st) < 0) {
		parent = trust_open_way(dirname(copy), ret_why, size);
		if (parent < 0)
			return parent;
		if (mkdir(run_dir, 0755) < 0 && errno != EEXIST)
			return -errno;
	}
	return trust_open(run_dir, ret_why, size);
}

static int open_lock(int dir_fd, char *ret_why, size_t size)
{
	_cleanup_close_ int fd = openat(dir_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	struct stat st;

	if (fd < 0 && errno != ELOOP)
		return -errno;
	if (fd >= 0 && fstat(fd, &st) < 0)
		return -errno;
	if (fd >= 0 && S_ISREG(st.st_mode) && st.st_nlink == 1 && st.st_uid == 0)
		return take_fd(&fd);
	snprintf(ret_why, size, "its file lock is a link, or not root's (remove it)");
	return -EPERM;
}

/* Takes the lock that is open. */
static int take_lock(int fd, pid_t *ret_pid)
{
	char pid[32];

	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return -errno;
		*ret_pid = read_pid(fd);
		return -EALREADY;
	}
	snprintf(pid, sizeof(pid), "%d\n", getpid());
	return ftruncate(fd, 0) < 0 || pwrite(fd, pid, strlen(pid), 0) < 0 ? -errno : 0;
}

int run_dir_lock(const char *run_dir, int *ret_fd, pid_t *ret_pid, char *ret_why, size_t size)
{
	_cleanup_close_ int dir_fd = -1, fd = -1;
	int err;

	ret_why[0] = '\0';
	dir_fd = open_run_dir(run_dir, ret_why, size);
	fd = dir_fd < 0 ? dir_fd : open_lock(dir_fd, ret_why, size);
	err = fd < 0 ? fd : take_lock(fd, ret_pid);
	if (!err)
		*ret_fd = take_fd(&fd);
	else if (!*ret_why)
		snprintf(ret_why, size, "%s", strerror(-err));
	return err;
}
