// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/instances/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "supervisor/kernel/nsfs.h"
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
static _Noreturn void scout(const struct scan *scan, const struct known_process *processes)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close_range(STDERR_FILENO + 1, ~0U, 0);
	for (const struct known_process *p = processes; p; p = p->hh.next)
		visit(nsfs_open_pid(p->pid, p->inode));
	for (size_t i = 0; i < scan->n_mounts; i++)
		visit(open(scan->mounts[i], O_RDONLY | O_CLOEXEC));
	_exit(EXIT_SUCCESS);
}

/* What existed at the start has been sighted, or as much of it as could be. */
static void start_is_over(struct supervisor *s)
{
	if (!s->watch.start_is_over)
		supervisor_open_control(s);
	s->watch.start_is_over = true;
}

/* A mount's path may hang, such as one below a dead file server's. */
static void on_scout_late(uv_timer_t *timer)
{
	struct supervisor *s = timer->data;

	supervisor_log(s, NULL, LOG_WARNING,
		       "cannot look into some namespaces: the path of a mount hangs for %d s (see nsfs in /proc/self/mountinfo)",
		       SCAN_SCOUT_MS / 1000);
	kill(s->watch.scout, SIGKILL);
	start_is_over(s);
}

static int send_scout(const struct scan *scan, const struct known_process *processes)
{
	struct watch *watch = &scan->s->watch;
	pid_t pid = child_fork();

	if (pid < 0)
		return -errno;
	if (!pid)
		scout(scan, processes);
	watch->scout = pid;
	uv_update_time(&scan->s->loop); /* at the start it is from before the BPF programs were loaded */
	return uv_timer_start(&watch->scout_late, on_scout_late, SCAN_SCOUT_MS, 0);
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
	if (!err)
		err = send_scout(&scan, s->watch.processes);
	scan_free(&scan);
	return err;
}

/* `ip netns add` unshares, mounts, and goes back without a task, an exec or a socket in between. */
void scan_mounts(struct supervisor *s)
{
	struct scan scan = { .s = s };

	s->watch.mounts_changed = s->watch.scout != 0; /* one at a time */
	if (!s->watch.scout && !s->stopping && nsfs_each_mount(found_mount, &scan) == 0 && scan.n_mounts)
		send_scout(&scan, NULL);
	scan_free(&scan);
}

void scan_ended(struct supervisor *s, pid_t pid)
{
	if (pid != s->watch.scout)
		return;
	s->watch.scout = 0;
	uv_timer_stop(&s->watch.scout_late);
	start_is_over(s);
	if (s->watch.mounts_changed)
		scan_mounts(s);
}
