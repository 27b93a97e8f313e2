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
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "supervisor/instances/known.h"
#include "supervisor/instances/lookup.h"
#include "supervisor/instances/mounts.h"
#include "supervisor/instances/registry.h"
#include "supervisor/instances/sweep.h"
#include "supervisor/instances/watch.h"

/* The ways into namespaces: by a task, or by a path (tid 0). */
struct scan {
	struct way {
		pid_t tid;
		uint32_t inode;
		const char *path;
	} ways[SCAN_AT_ONCE];
	size_t n;
};

static void found_task(void *arg, uint32_t inode, pid_t tid)
{
	struct instances *instances = arg;
	const struct instance *instance = registry_by_inode(instances, inode);
	struct known_netns *known = instance ? NULL : known_add(instances, inode, tid);
	enum cgroup_hierarchy hierarchy;
	char path[CGROUP_PATH_BYTES];

	if ((!known && !instance) || !place_find_task(instances, tid, path, &hierarchy))
		return;
	if (known)
		place_add(&known->places, path, hierarchy, tid, uv_now(instances->loop));
	else if (instance->view.id == INSTANCE_HOST)
		watch_host_task(instances, path);
}

static bool is_full(const struct scan *scan)
{
	return scan->n == SCAN_AT_ONCE;
}

static void find_known(struct instances *instances, struct scan *scan)
{
	struct known_netns *known;

	for (known = instances->known; known && !is_full(scan); known = known->hh.next) {
		if (!known->is_visited)
			scan->ways[scan->n++] = (struct way){ .tid = known->tid, .inode = known->inode };
		known->is_visited = true;
	}
}

/* Those that have no instance yet. An instance that was looked at before its namespace was mounted is named now. */
static void find_mounts(struct instances *instances, struct scan *scan)
{
	struct mounted_netns *mounted;

	for (mounted = instances->mounted; mounted && !is_full(scan); mounted = mounted->hh.next) {
		struct instance *instance = registry_by_inode(instances, mounted->inode);

		if (mounted->is_visited)
			continue;
		mounted->is_visited = true;
		if (!instance)
			scan->ways[scan->n++] = (struct way){ .inode = mounted->inode, .path = mounted->path };
		else if (!instance->is_mounted)
			watch_mounted(instances, instance);
	}
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
static _Noreturn void scout(const struct scan *scan)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (const struct way *way = scan->ways; way < scan->ways + scan->n; way++)
		visit(way->tid ? nsfs_open_pid(way->tid, way->inode) : nsfs_open_path(way->path, way->inode));
	_exit(EXIT_SUCCESS);
}

/* What existed at the start has been sighted, or as much of it as could be. */
static void start_is_over(struct instances *instances)
{
	if (instances->start_is_over)
		return;
	instances->start_is_over = true;
	mounts_read_soon(instances); /* the loop has waited by then: mounts_start() */
	instances->listener.started(instances->arg);
	known_forget(instances); /* an inode may be another namespace's from now on */
}

/* A mount's path may hang, such as one below a dead file server's. */
static void on_scout_late(uv_timer_t *timer)
{
	struct instances *instances = timer->data;
	siginfo_t info = { .si_pid = 0 };

	if (waitid(P_PID, instances->scout, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid)
		return; /* it has ended, which is yet to be handled */
	instance_log(
		instances, NULL, LOG_WARNING,
		"cannot look into some namespaces: the path of a mount hangs for %d s (see nsfs in /proc/self/mountinfo)",
		SCAN_SCOUT_MS / 1000);
	kill(instances->scout, SIGKILL);
	instances->scout_is_late = true; /* it may not even be possible to kill it */
}

/* They will be visited when there is memory or a process to be had; some a second time. */
static void visit_again(struct instances *instances)
{
	for (struct known_netns *known = instances->known; known; known = known->hh.next)
		known->is_visited = false;
	instances->scan_is_due = true;
	mounts_read_soon(instances);
}

/* A scout does not have the paths that mounts.c keeps, nor is a worker that is forked later to find these here. */
static pid_t fork_scout(struct scan *scan)
{
	size_t size = 1, at = 0;
	char *paths;
	pid_t pid;

	for (size_t i = 0; i < scan->n; i++)
		size += scan->ways[i].path ? strlen(scan->ways[i].path) + 1 : 0;
	paths = malloc(size);
	if (!paths)
		return -1;
	for (size_t i = 0; i < scan->n; i++)
		if (scan->ways[i].path) {
			size_t bytes = strlen(scan->ways[i].path) + 1;

			scan->ways[i].path = memcpy(paths + at, scan->ways[i].path, bytes);
			at += bytes;
		}
	pid = task_fork(STDERR_FILENO + 1);
	if (!pid)
		scout(scan);
	explicit_bzero(paths, size);
	free(paths);
	return pid;
}

static void send_scout(struct instances *instances, struct scan *scan)
{
	pid_t pid = fork_scout(scan);

	if (pid < 0) {
		instance_log(instances, NULL, LOG_ERR, "cannot look into %zu namespaces: %s", scan->n, strerror(errno));
		visit_again(instances);
		return;
	}
	instances->scout = pid;
	uv_timer_start(&instances->scout_late, on_scout_late, SCAN_SCOUT_MS, 0);
	sweep_slowly(instances); /* looks again, in case sightings are lost */
}

/* False: there is nothing to visit. */
static bool go_on(struct instances *instances)
{
	struct scan scan = { .n = 0 };

	if (!instances->scan_is_due || instances->stopping)
		return false;
	find_known(instances, &scan);
	find_mounts(instances, &scan);
	instances->scan_is_due = is_full(&scan);
	if (scan.n)
		send_scout(instances, &scan);
	return scan.n > 0;
}

int scan_start(struct instances *instances)
{
	uv_timer_init(instances->loop, &instances->scout_late);
	instances->scout_late.data = instances;
	return nsfs_each_task(found_task, instances);
}

void scan_stop(struct instances *instances)
{
	known_forget(instances);
	if (instances->scout_late.data)
		uv_close((uv_handle_t *)&instances->scout_late, NULL);
}

void instances_child_ended(struct instances *instances, pid_t pid)
{
	if (lookup_child_ended(instances, pid) || pid != instances->scout)
		return;
	instances->scout = 0;
	instances->scout_is_late = false;
	uv_timer_stop(&instances->scout_late);
}

/* `ip netns add` unshares, mounts, and goes back without a task, an exec or a socket in between. */
void instances_ring_is_empty(struct instances *instances)
{
	if (instances->scout ? instances->scout_is_late : !go_on(instances))
		start_is_over(instances);
}
