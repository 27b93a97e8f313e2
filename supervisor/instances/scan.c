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
#include "supervisor/instances/mounts.h"
#include "supervisor/instances/registry.h"
#include "supervisor/instances/watch.h"

struct scan {
	struct instances *instances;
	char **mounts; /* of namespaces that have no instance yet */
	size_t n_mounts;
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

/* Those that have no instance yet; false: there are none. */
static bool find_mounts(struct scan *scan)
{
	const struct mounted_netns *mounted = mounts_read(scan->instances);

	scan->mounts = calloc(HASH_COUNT(mounted) + 1, sizeof(*scan->mounts));
	for (; mounted && scan->mounts; mounted = mounted->hh.next)
		if (!registry_by_inode(scan->instances, mounted->inode))
			scan->mounts[scan->n_mounts++] = mounted->path;
	return scan->n_mounts > 0;
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
static _Noreturn void scout(const struct scan *scan, const struct known_netns *known)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (; known; known = known->hh.next)
		visit(nsfs_open_pid(known->tid, known->inode));
	for (size_t i = 0; i < scan->n_mounts; i++)
		visit(open(scan->mounts[i], O_RDONLY | O_CLOEXEC));
	_exit(EXIT_SUCCESS);
}

/* What existed at the start has been sighted, or as much of it as could be. */
static void start_is_over(struct instances *instances)
{
	if (instances->start_is_over)
		return;
	instances->start_is_over = true;
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
	instance_log(instances, NULL, LOG_WARNING,
		       "cannot look into some namespaces: the path of a mount hangs for %d s (see nsfs in /proc/self/mountinfo)",
		       SCAN_SCOUT_MS / 1000);
	kill(instances->scout, SIGKILL);
	instances->scout_is_late = true; /* it may not even be possible to kill it */
}

static int send_scout(const struct scan *scan, const struct known_netns *known)
{
	struct instances *instances = scan->instances;
	pid_t pid = task_fork(STDERR_FILENO + 1);

	if (pid < 0)
		return -errno;
	if (!pid)
		scout(scan, known);
	instances->scout = pid;
	uv_update_time(instances->loop); /* at the start it is from before the BPF programs were loaded */
	return uv_timer_start(&instances->scout_late, on_scout_late, SCAN_SCOUT_MS, 0);
}

int scan_start(struct instances *instances)
{
	struct scan scan = { .instances = instances };
	int err;

	uv_timer_init(instances->loop, &instances->scout_late);
	instances->scout_late.data = instances;
	err = nsfs_each_task(found_task, instances);
	if (err)
		return err;
	find_mounts(&scan);
	err = send_scout(&scan, instances->known);
	free(scan.mounts);
	return err;
}

void scan_stop(struct instances *instances)
{
	known_forget(instances);
	if (instances->scout_late.data)
		uv_close((uv_handle_t *)&instances->scout_late, NULL);
}

/* `ip netns add` unshares, mounts, and goes back without a task, an exec or a socket in between. */
void scan_mounts(struct instances *instances)
{
	struct scan scan = { .instances = instances };

	instances->mounts_changed = instances->scout != 0; /* one at a time */
	if (!instances->scout && !instances->stopping && find_mounts(&scan))
		send_scout(&scan, NULL);
	free(scan.mounts);
}

void instances_child_ended(struct instances *instances, pid_t pid)
{
	if (pid != instances->scout)
		return;
	instances->scout = 0;
	instances->scout_is_late = false;
	uv_timer_stop(&instances->scout_late);
	if (instances->mounts_changed)
		scan_mounts(instances);
}

void instances_ring_is_empty(struct instances *instances)
{
	if (!instances->scout || instances->scout_is_late)
		start_is_over(instances);
}
