/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cgroups by id: what a BPF program reads as cgroup->kn->id, and stat(2) shows as the inode of the directory. */
#ifndef BPFTUNE_SUPERVISOR_KERNEL_CGROUPFS_H
#define BPFTUNE_SUPERVISOR_KERNEL_CGROUPFS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* An id belongs to one cgroup of its hierarchy, and is not used again. */
enum cgroup_hierarchy {
	CGROUP2,
	CGROUP1_MEMORY, /* the one of cgroup1 that has the memory controller */
	N_CGROUP_HIERARCHIES,
};

struct cgroupfs {
	int fd;        /* the root of cgroup2 */
	char *mount;   /* where it is mounted, or "(private mount)" */
	int memory_fd; /* the root of cgroup1's memory hierarchy; -1: memory belongs to cgroup2, or is not mounted */
	uint64_t root_ids[N_CGROUP_HIERARCHIES]; /* of the two roots; 0: not known */
	uint64_t own_ids[N_CGROUP_HIERARCHIES];  /* of the cgroups that we were in at cgroupfs_open(); 0: not known */
};

/*
 * Finds both hierarchies among the mounts, and mounts cgroup2 privately where nobody has. 0; -EPERM: mounting needs
 * CAP_SYS_ADMIN; -EXDEV: `mount` shows a part of cgroup2 only, and no other mount shows all of it; or another -errno:
 * there is no cgroup2.
 */
int cgroupfs_open(struct cgroupfs *fs);

/* For what cgroupfs_open() was given, also after it failed or after another cgroupfs_close(). */
void cgroupfs_close(struct cgroupfs *fs);

/*
 * The ids of a task's cgroups, from its /proc/PID/cgroup; BPF programs tell those of a task that does something. An id of 0
 * is not known. 0 or -errno.
 */
int cgroupfs_ids_of_task(const struct cgroupfs *fs, pid_t tid, uint64_t ret_ids[N_CGROUP_HIERARCHIES]);

/*
 * O_RDONLY and O_CLOEXEC descriptor of the cgroup's directory. -ESTALE: the cgroup was removed. -EPERM:
 * open_by_handle_at(2) needs CAP_DAC_READ_SEARCH, or a filter of system calls forbids it. -EBADF: there is no such
 * hierarchy.
 */
int cgroupfs_open_id(const struct cgroupfs *fs, enum cgroup_hierarchy hierarchy, uint64_t id);

/*
 * The cgroup's path from the root of its hierarchy, as /proc/PID/cgroup shows it; "/" is the root. 0; an error of
 * cgroupfs_open_id(); -ENAMETOOLONG; -EXDEV: the cgroup is outside of what is mounted.
 */
int cgroupfs_path_of_id(const struct cgroupfs *fs, enum cgroup_hierarchy hierarchy, uint64_t id, char *ret_path,
			size_t size);

/*
 * Where a task is: the path of its cgroup in cgroup2, unless that cgroup is the root or ours; else the path of its
 * cgroup in cgroup1's memory hierarchy, unless that one is. An id of 0 is not known, and counts as the root. 0;
 * -ENOENT: the task is in the same places as we are, or in roots; or an error of cgroupfs_path_of_id(). Not every path
 * of CGROUP1_MEMORY is a container's: logins and services have theirs there, too.
 */
int cgroupfs_path_of_task(const struct cgroupfs *fs, uint64_t cgroup_id, uint64_t memory_cgroup_id, char *ret_path,
			  size_t size, enum cgroup_hierarchy *ret_hierarchy);

/* The same by its path from the root of its hierarchy. -ENOENT: the cgroup is gone, or it is the root. */
int cgroupfs_open_path(const struct cgroupfs *fs, enum cgroup_hierarchy hierarchy, const char *path);

/*
 * The least memory.max of this cgroup of cgroup2 and of those above, in pages. UINT64_MAX: none has a limit, or memory
 * belongs to cgroup1, where TCP's is on no account. 0: the path is the root, or there is no such cgroup.
 */
uint64_t cgroupfs_memory_pages(const struct cgroupfs *fs, const char *path);

#endif
