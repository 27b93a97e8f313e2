// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/kernel/cgroupfs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/magic.h>
#include <mntent.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "supervisor/kernel/mount.h"

#define FILEID_KERNFS 0xfe /* include/linux/exportfs.h */
#define ROOT_INODE 1	   /* fs/kernfs/dir.c: kernfs_create_root() takes the first id */

/* fs/kernfs/mount.c: kernfs_encode_fh() */
struct kernfs_handle {
	struct file_handle head;
	uint64_t id;
};

_Static_assert(offsetof(struct kernfs_handle, id) == offsetof(struct file_handle, f_handle), "its f_handle");

static int root_fd(const struct cgroupfs *fs, enum cgroup_hierarchy hierarchy)
{
	return hierarchy == CGROUP2 ? fs->fd : fs->memory_fd;
}

/* --- mounts ------------------------------------------------------------------------------------- */

/* All of it, as we are in the initial cgroup namespace (kernel/cgroup/cgroup.c: cgroup_do_get_tree()). */
static int mount_cgroup2_privately(void)
{
	_cleanup_close_ int mount = mount_privately("cgroup2", NULL, NULL, 0);
	int fd;

	if (mount < 0)
		return mount;
	/* fsmount(2)'s own descriptor is O_PATH, which open_by_handle_at(2) does not take. */
	fd = openat(mount, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Whether it is the hierarchy's root. Of a mount made in a cgroup namespace mountinfo shows "/" for a part, too. */
static bool is_root(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_ino == ROOT_INODE;
}

/* -ENOENT: it cannot be opened, or another file system is mounted over it. -EXDEV: it is a part of the hierarchy. */
static int open_mount(const char *path, unsigned long magic)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct statfs st;

	if (fd < 0 || fstatfs(fd, &st) < 0 || (unsigned long)st.f_type != magic)
		return -ENOENT;
	return is_root(fd) ? take_fd(&fd) : -EXDEV;
}

/* What is read is on the stack, which workers do not have. */
static void find_mounts(struct cgroupfs *fs)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	char buffer[BUFSIZ], line[3 * PATH_MAX];
	struct mntent mount;

	if (mounts)
		setvbuf(mounts, buffer, _IOFBF, sizeof(buffer));
	while (mounts && getmntent_r(mounts, &mount, line, sizeof(line))) {
		if (fs->fd < 0 && !strcmp(mount.mnt_type, "cgroup2")) {
			int fd = open_mount(mount.mnt_dir, CGROUP2_SUPER_MAGIC);

			if (fd == -ENOENT)
				continue;
			free(fs->mount);
			fs->fd = fd;
			fs->mount = strdup(mount.mnt_dir);
		} else if (fs->memory_fd < 0 && !strcmp(mount.mnt_type, "cgroup") && hasmntopt(&mount, "memory")) {
			fs->memory_fd = open_mount(mount.mnt_dir, CGROUP_SUPER_MAGIC);
		}
	}
	if (mounts)
		endmntent(mounts);
}

/* --- ids ---------------------------------------------------------------------------------------- */

/* Takes a path of /proc/PID/cgroup. Not by stat(2): where ino_t has 32 bits, st_ino is half of the id. */
static int id_of_path(int fd, const char *path, uint64_t *ret_id)
{
	struct kernfs_handle handle = { .head.handle_bytes = sizeof(handle.id) };
	int mount_id;

	if (name_to_handle_at(fd, path[1] ? path + 1 : ".", &handle.head, &mount_id, 0) < 0)
		return -errno;
	*ret_id = handle.id;
	return 0;
}

/* Cuts a line of /proc/PID/cgroup in pieces: "0::PATH", "4:cpu,memory:PATH". NULL: it is of neither hierarchy. */
static const char *path_of_line(char *line, enum cgroup_hierarchy *ret_hierarchy)
{
	char *path = line, *controllers, *controller;

	line[strcspn(line, "\n")] = '\0';
	strsep(&path, ":");
	controllers = strsep(&path, ":");
	while (path && *path == '/' && (controller = strsep(&controllers, ",")))
		if (!*controller || !strcmp(controller, "memory")) {
			*ret_hierarchy = *controller ? CGROUP1_MEMORY : CGROUP2;
			return path;
		}
	return NULL;
}

int cgroupfs_ids_of_task(const struct cgroupfs *fs, pid_t tid, uint64_t ret_ids[N_CGROUP_HIERARCHIES])
{
	char name[64], buffer[BUFSIZ], line[PATH_MAX + 256]; /* on the stack, which workers do not have */
	_cleanup_fclose_ FILE *cgroups = NULL;

	snprintf(name, sizeof(name), "/proc/%d/cgroup", tid);
	cgroups = fopen(name, "re");
	if (!cgroups)
		return -errno;
	setvbuf(cgroups, buffer, _IOFBF, sizeof(buffer));
	memset(ret_ids, 0, N_CGROUP_HIERARCHIES * sizeof(*ret_ids));
	while (fgets(line, sizeof(line), cgroups)) {
		enum cgroup_hierarchy hierarchy;
		const char *path = path_of_line(line, &hierarchy);

		if (path)
			id_of_path(root_fd(fs, hierarchy), path, &ret_ids[hierarchy]);
	}
	return 0;
}

static int read_ids(struct cgroupfs *fs)
{
	for (int i = 0; i < N_CGROUP_HIERARCHIES; i++)
		id_of_path(root_fd(fs, i), "/", &fs->root_ids[i]);
	return cgroupfs_ids_of_task(fs, getpid(), fs->own_ids);
}

int cgroupfs_open(struct cgroupfs *fs)
{
	int err;

	*fs = (struct cgroupfs){ .fd = -1, .memory_fd = -1 };
	find_mounts(fs);
	if (fs->fd < 0 && fs->fd != -EXDEV) {
		fs->fd = mount_cgroup2_privately();
		fs->mount = strdup("(private mount)");
	}
	err = fs->fd < 0 ? fs->fd : !fs->mount ? -ENOMEM : read_ids(fs);
	if (err == -EXDEV)
		fs->fd = -1; /* the mount is to be named */
	else if (err)
		cgroupfs_close(fs);
	return err;
}

void cgroupfs_close(struct cgroupfs *fs)
{
	close_fdp(&fs->fd);
	close_fdp(&fs->memory_fd);
	free(fs->mount);
	fs->mount = NULL;
}

/* --- paths -------------------------------------------------------------------------------------- */

int cgroupfs_open_id(const struct cgroupfs *fs, enum cgroup_hierarchy hierarchy, uint64_t id)
{
	struct kernfs_handle handle = {
		.head = { .handle_bytes = sizeof(handle.id), .handle_type = FILEID_KERNFS },
		.id = id,
	};
	int fd = open_by_handle_at(root_fd(fs, hierarchy), &handle.head, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int read_link(int fd, char *ret_target, size_t size)
{
	char name[64];
	ssize_t n;

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	n = readlink(name, ret_target, size);
	if (n < 0)
		return -errno;
	if ((size_t)n >= size)
		return -ENAMETOOLONG;
	ret_target[n] = '\0';
	return 0;
}

/* The part of a path below its mount, which is called "/" if it is in no tree. NULL: the path is elsewhere. */
static const char *path_below(const char *path, const char *mount)
{
	size_t n = mount[1] ? strlen(mount) : 0;

	if (strncmp(path, mount, n) || (path[n] && path[n] != '/'))
		return NULL;
	return path[n] ? path + n : "/";
}

int cgroupfs_path_of_id(const struct cgroupfs *fs, enum cgroup_hierarchy hierarchy, uint64_t id, char *ret_path,
			size_t size)
{
	_cleanup_close_ int fd = cgroupfs_open_id(fs, hierarchy, id);
	char mount[PATH_MAX], path[PATH_MAX];
	const char *below;
	int err;

	if (fd < 0)
		return fd;
	err = read_link(root_fd(fs, hierarchy), mount, sizeof(mount));
	if (!err)
		err = read_link(fd, path, sizeof(path));
	/* Removed since (fs/d_path.c: d_path()), or called so. st_nlink does not tell: kernfs never clears it. */
	if (!err && strstr(path, " (deleted)")) {
		_cleanup_close_ int living = cgroupfs_open_id(fs, hierarchy, id);

		if (living < 0)
			return living;
	}
	if (err)
		return err;
	below = path_below(path, mount);
	if (!below)
		return -EXDEV;
	if (strlen(below) >= size)
		return -ENAMETOOLONG;
	memcpy(ret_path, below, strlen(below) + 1);
	return 0;
}

int cgroupfs_path_of_task(const struct cgroupfs *fs, uint64_t cgroup_id, uint64_t memory_cgroup_id, char *ret_path,
			  size_t size, enum cgroup_hierarchy *ret_hierarchy)
{
	const uint64_t ids[N_CGROUP_HIERARCHIES] = { [CGROUP2] = cgroup_id, [CGROUP1_MEMORY] = memory_cgroup_id };

	for (int i = 0; i < N_CGROUP_HIERARCHIES; i++) {
		int err;

		if (root_fd(fs, i) < 0 || !ids[i] || ids[i] == fs->root_ids[i] || ids[i] == fs->own_ids[i])
			continue;
		err = cgroupfs_path_of_id(fs, i, ids[i], ret_path, size);
		if (!err)
			*ret_hierarchy = i;
		return err;
	}
	return -ENOENT;
}

int cgroupfs_open_path(const struct cgroupfs *fs, enum cgroup_hierarchy hierarchy, const char *path)
{
	int fd = path[1] ? openat(root_fd(fs, hierarchy), path + 1, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	return fd < 0 ? -ENOENT : fd;
}

/* UINT64_MAX: it has no limit, as it says or as it has no such file. */
static uint64_t memory_max(const struct cgroupfs *fs, const char *path, int length)
{
	char file[PATH_MAX], text[32] = "";
	_cleanup_close_ int fd = -1;
	uint64_t bytes;

	if (snprintf(file, sizeof(file), "%.*s/memory.max", length, path) >= (int)sizeof(file))
		return UINT64_MAX;
	fd = openat(fs->fd, file, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0 || sscanf(text, "%" SCNu64, &bytes) != 1)
		return UINT64_MAX;
	return bytes / sysconf(_SC_PAGESIZE);
}

uint64_t cgroupfs_memory_pages(const struct cgroupfs *fs, const char *path)
{
	_cleanup_close_ int fd = -1;
	uint64_t least = UINT64_MAX, pages;

	if (fs->memory_fd >= 0)
		return UINT64_MAX;
	fd = path ? cgroupfs_open_path(fs, CGROUP2, path) : -ENOENT;
	if (fd < 0)
		return 0;
	for (int length = strlen(path); length > 1; length--) {
		if (path[length] && path[length] != '/')
			continue;
		pages = memory_max(fs, path + 1, length - 1);
		if (pages < least)
			least = pages;
	}
	return least;
}
