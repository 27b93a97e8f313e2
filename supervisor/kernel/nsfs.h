/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Network namespaces as files: /proc/PID/ns/net, and the bind mounts that name them (/run/netns/NAME). */
#ifndef BPFTUNE_SUPERVISOR_KERNEL_NSFS_H
#define BPFTUNE_SUPERVISOR_KERNEL_NSFS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* O_CLOEXEC descriptor of the task's namespace if its inode is that one; -ESRCH, -ESTALE (another one). */
int nsfs_open_pid(pid_t pid, uint32_t inode);

/* The same for a path. */
int nsfs_open_path(const char *path, uint32_t inode);

/* Calls `found` for every nsfs mount of a network namespace, from one read of /proc/self/mountinfo. -errno. */
int nsfs_each_mount(void (*found)(void *arg, uint32_t inode, const char *path), void *arg);

/* Calls `found` for every thread and its namespace: all of /proc, so for start-up and last resorts. -errno. */
int nsfs_each_task(void (*found)(void *arg, uint32_t inode, pid_t tid), void *arg);

#endif
