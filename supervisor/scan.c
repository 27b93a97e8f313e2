// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "ipc/cleanup.h"
#include "supervisor/nsfs.h"
#include "supervisor/supervisor.h"

struct scan {
	struct supervisor *s;
	char **mounts; /* of namespaces that have no instance yet */
	size_t n_mounts;
};

static struct instance *instance_by_inode(const struct supervisor *s, uint32_t inode)
{
	struct instance *instance = s->registry.by_id;

	while (instance && instance->pub.netns_inode != inode)
		instance = instance->by_id.next;
	return instance;
}

static void found_process(void *arg, uint32_t inode, pid_t pid)
{
	struct scan *scan = arg;
	struct watch *watch = &scan->s->watch;
	struct known_process *process;

	if (inode == instance_by_id(&scan->s->registry, INSTANCE_HOST)->pub.netns_inode)
		watch_sight_shared(scan->s, pid);
	HASH_FIND_INT(watch->processes, &inode, process);
	if (process || instance_by_inode(scan->s, inode))
		return;
	process = calloc(1, sizeof(*process));
	if (!process)
		return;
	process->inode = inode;
	process->pid = pid;
	HASH_ADD_INT(watch->processes, inode, process);
}

static void found_mount(void *arg, uint32_t inode, const char *path)
{
	struct scan *scan = arg;
	char **mounts;

	if (instance_by_inode(scan->s, inode))
		return;
	mounts = realloc(scan->mounts, (scan->n_mounts + 1) * sizeof(*mounts));
	if (!mounts)
		return;
	scan->mounts = mounts;
	mounts[scan->n_mounts] = strdup(path);
	if (mounts[scan->n_mounts])
		scan->n_mounts++;
}

static void visit(int netns_fd)
{
	if (netns_fd >= 0 && setns(netns_fd, CLONE_NEWNET) == 0)
		close(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	close_fdp(&netns_fd);
}

/*
 * A child that enters each namespace, opens a socket there, and never comes back: to watch.bpf.c that is
 * a sighting like any other, with the cookie that no file shows.
 */
static pid_t send_scout(const struct scan *scan, const struct known_process *processes)
{
	pid_t pid = child_fork();

	if (pid)
		return pid < 0 ? -errno : pid;
	for (const struct known_process *p = processes; p; p = p->hh.next)
		visit(nsfs_open_pid(p->pid, p->inode));
	for (size_t i = 0; i < scan->n_mounts; i++)
		visit(open(scan->mounts[i], O_RDONLY | O_CLOEXEC));
	_exit(EXIT_SUCCESS);
}

static void scan_free(struct scan *scan)
{
	for (size_t i = 0; i < scan->n_mounts; i++)
		free(scan->mounts[i]);
	free(scan->mounts);
}

int scan_existing(struct supervisor *s)
{
	struct scan scan = { .s = s };
	int err = nsfs_each_process(found_process, &scan);

	if (!err)
		err = nsfs_each_mount(found_mount, &scan);
	if (!err) {
		s->watch.scout = send_scout(&scan, s->watch.processes);
		err = s->watch.scout < 0 ? s->watch.scout : 0;
	}
	scan_free(&scan);
	return err;
}

bool scan_ended(struct supervisor *s, pid_t pid)
{
	bool of_the_start = pid == s->watch.scout;

	if (of_the_start)
		s->watch.scout = 0;
	return of_the_start;
}

/* `ip netns add` unshares, mounts, and goes back without a task, an exec or a socket in between. */
void scan_mounts(struct supervisor *s)
{
	struct scan scan = { .s = s };

	if (!s->stopping && nsfs_each_mount(found_mount, &scan) == 0 && scan.n_mounts)
		send_scout(&scan, NULL);
	scan_free(&scan);
}
