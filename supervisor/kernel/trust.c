// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/kernel/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "ipc/log.h"

#define LINKS_MAX 40 /* as many as the kernel follows: include/linux/namei.h, MAXSYMLINKS */

struct walk {
	int at;		     /* where the walk is; -1: nowhere yet */
	char rest[PATH_MAX]; /* the path from there */
	unsigned int links;  /* that were followed */
	bool goes_on;	     /* past the end of `rest` */
	char *why;
	size_t why_size;
};

/* The path of what is open, as the kernel has it, to be shown: a path may be any bytes. */
static void path_of(int fd, char *ret_text, size_t size)
{
	char link[32], real[PATH_MAX];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, real, sizeof(real) - 1);
	real[n < 0 ? 0 : n] = '\0';
	log_escape(real, ret_text, size);
}

static bool may_others_write(const struct stat *st, bool is_on_the_way)
{
	if (S_ISLNK(st->st_mode) || (is_on_the_way && S_ISDIR(st->st_mode) && st->st_mode & S_ISVTX))
		return false;
	return st->st_mode & (S_IWGRP | S_IWOTH);
}

static bool is_roots(const struct walk *walk, int fd, const struct stat *st)
{
	bool others = may_others_write(st, walk->goes_on || *walk->rest);
	char path[PATH_MAX];

	if (st->st_uid == 0 && !others)
		return true;
	path_of(fd, path, sizeof(path));
	if (st->st_uid != 0)
		snprintf(walk->why, walk->why_size, "%s belongs to user %u, not to root (chown root)", path,
			 st->st_uid);
	else if (st->st_mode & S_IWOTH)
		snprintf(walk->why, walk->why_size, "others may write %s (chmod o-w)", path);
	else
		snprintf(walk->why, walk->why_size,
			 "group %u, or who is in an access control list, may write %s (chmod g-w)", st->st_gid, path);
	return false;
}

/* Takes the descriptor if that is root's. */
static int arrive(struct walk *walk, int *fd)
{
	struct stat st;

	if (*fd < 0 || fstat(*fd, &st) < 0)
		return -errno;
	if (!is_roots(walk, *fd, &st))
		return -EPERM;
	if (S_ISLNK(st.st_mode))
		return 0;
	close_fdp(&walk->at);
	walk->at = take_fd(fd);
	return 0;
}

/* Another path, from the root directory, or from where the walk is. */
static int go_on_with(struct walk *walk, const char *path)
{
	_cleanup_close_ int root = *path == '/' ? open("/", O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;

	if (strlen(path) >= sizeof(walk->rest))
		return -ENAMETOOLONG;
	snprintf(walk->rest, sizeof(walk->rest), "%s", path + strspn(path, "/"));
	return *path == '/' ? arrive(walk, &root) : 0;
}

static int follow(struct walk *walk, int link)
{
	char path[2 * PATH_MAX];
	ssize_t n = readlinkat(link, "", path, PATH_MAX);

	if (n < 0)
		return -errno;
	if (n == PATH_MAX)
		return -ENAMETOOLONG;
	if (++walk->links > LINKS_MAX)
		return -ELOOP;
	snprintf(path + n, sizeof(path) - n, "/%s", walk->rest);
	return go_on_with(walk, path);
}

static int take_step(struct walk *walk)
{
	size_t n = strcspn(walk->rest, "/");
	const char *after = walk->rest + n + strspn(walk->rest + n, "/");
	_cleanup_close_ int fd = -1;
	char name[NAME_MAX + 1] = "";
	int err;

	if (n >= sizeof(name))
		return -ENAMETOOLONG;
	memcpy(name, walk->rest, n);
	memmove(walk->rest, after, strlen(after) + 1);
	fd = openat(walk->at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	err = arrive(walk, &fd);
	return err || fd < 0 ? err : follow(walk, fd);
}

static int begin(struct walk *walk, const char *path)
{
	char from_here[2 * PATH_MAX];
	size_t n;

	if (*path == '/')
		return go_on_with(walk, path);
	if (!getcwd(from_here, PATH_MAX))
		return -errno;
	n = strlen(from_here);
	snprintf(from_here + n, sizeof(from_here) - n, "/%s", path);
	return go_on_with(walk, from_here);
}

static int open_walked(struct walk *walk, const char *path)
{
	int err;

	walk->at = -1;
	walk->why[0] = '\0';
	err = begin(walk, path);
	while (!err && *walk->rest)
		err = take_step(walk);
	if (!err)
		return walk->at;
	close_fdp(&walk->at);
	if (!*walk->why)
		snprintf(walk->why, walk->why_size, "%s", strerror(-err));
	return err;
}

int trust_open(const char *path, char *ret_why, size_t size)
{
	struct walk walk = { .why = ret_why, .why_size = size };

	return open_walked(&walk, path);
}

int trust_open_way(const char *path, char *ret_why, size_t size)
{
	struct walk walk = { .goes_on = true, .why = ret_why, .why_size = size };

	return open_walked(&walk, path);
}
