// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/instances/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>

#include "ipc/cleanup.h"
#include "supervisor/kernel/bpf_maps.h"
#include "supervisor/instances/cgroup.h"
#include "supervisor/changes/manual.h"
#include "supervisor/kernel/nsfs.h"
#include "supervisor/instances/pair.h"
#include "supervisor/workers/capacity.h"
#include "supervisor/instances/scan.h"
#include "supervisor/supervisor.h"
#include "supervisor/kernel/task.h"

static const uint64_t sweep_delays_ms[] = { 500, 200, 50 }; /* by sweeps still to come */

/* --- from sighting to worker -------------------------------------------------------------------- */

static void on_due(uv_timer_t *timer);
static void on_slow(uv_timer_t *timer);
static void on_moves_due(uv_timer_t *timer);

static void rearm_due(struct supervisor *s)
{
	uint64_t now = uv_now(&s->loop), due;

	if (!s->watch.due_first)
		return;
	due = s->watch.due_first->sighted_ms + WATCH_YOUNG_MS;
	uv_timer_start(&s->watch.due, on_due, due > now ? due - now : 0, 0);
}

static void arm_moves(struct supervisor *s)
{
	if (!uv_is_active((uv_handle_t *)&s->watch.moves_due))
		uv_timer_start(&s->watch.moves_due, on_moves_due, WATCH_MOVES_MS, 0);
}

/* What only looked in has ended by now; what follows it in the same cgroup may not have been told of. */
static void settle_stray(struct supervisor *s, struct instance *instance)
{
	instance->misplaced |= pair_is_astray(instance, instance->stray) ||
			       pair_is_astray(instance, bpf_last_pid(&s->host, instance->pub.netns_cookie));
	if (!watch_was_just_told(s, instance))
		instance->stray = 0;
}

static void on_moves_due(uv_timer_t *timer)
{
	struct supervisor *s = timer->data;
	struct instance *instance;

	for (instance = s->registry.by_id; instance; instance = instance->by_id.next)
		if (instance->stray && !watch_is_young(s, instance))
			settle_stray(s, instance);
	pair_again(s);
	for (instance = s->registry.by_id; instance; instance = instance->by_id.next)
		if ((instance->misplaced || instance->stray) && !watch_is_young(s, instance))
			arm_moves(s);
}

bool watch_was_just_told(const struct supervisor *s, const struct instance *instance)
{
	return uv_now(&s->loop) - instance->told_ms < WATCH_TOLD_MS;
}

/* A young one is looked at when it is due, anyway. */
static void moved(struct supervisor *s, struct instance *instance)
{
	instance->misplaced = true;
	instance->told_ms = uv_now(&s->loop);
	if (!watch_is_young(s, instance))
		arm_moves(s);
}

bool watch_is_young(const struct supervisor *s, const struct instance *instance)
{
	return instance->due_next || s->watch.due_last == instance;
}

void watch_slowly(struct supervisor *s)
{
	if (!uv_is_active((uv_handle_t *)&s->watch.slow))
		uv_timer_start(&s->watch.slow, on_slow, WATCH_SLOW_MS, WATCH_SLOW_MS);
}

/* A young one: what it is shows when it has lived WATCH_YOUNG_MS. */
static void enqueue(struct supervisor *s, struct instance *instance)
{
	instance->pub.ring_fd = s->host.shared_fds[SHARED_EVENTS];
	instance->sighted_ms = uv_now(&s->loop);
	if (s->watch.due_last)
		s->watch.due_last->due_next = instance;
	else
		s->watch.due_first = instance;
	s->watch.due_last = instance;
	if (s->watch.due_first == instance)
		rearm_due(s);
	watch_slowly(s);
}

/* Who executes there later may yet share the namespace. */
static void drop_claim(struct supervisor *s, struct instance *instance)
{
	struct stat st;

	if (fstatat(s->host.cgroup_fd, instance->pub.cgroup_path + 1, &st, 0) == 0)
		bpf_forget_cgroup(&s->host, st.st_ino);
	child_step(s, instance, CHILD_UNUSED);
}

/*
 * A container's first tasks are in the host's namespace for a moment, whatever it shares in the end. While there are
 * tasks of both kinds, that moment may last, on a busy machine.
 */
static void settle_shared(struct supervisor *s, struct instance *instance)
{
	bool others;
	pid_t pid = task_find_in(s, instance->pub.cgroup_path, instance->pub.netns_inode, &others);

	if (pid && others && instance->doubts++ < WATCH_DOUBTS_MAX) {
		enqueue(s, instance);
		return;
	}
	instance->pid = pid; /* the one sighted was maybe but a helper */
	if (pid && pair_instance(s, instance, pid) && instance->pub.cgroup_id)
		child_step(s, instance, CHILD_WANTED);
	else
		drop_claim(s, instance);
}

/* A container whose set-up took long was taken for one that shares the host's namespace. */
static void settle_claim(struct supervisor *s, pid_t pid)
{
	struct instance *claim = pair_sharer_of(s, pid);
	bool others;

	if (!claim || !claim->pub.cgroup_id)
		return; /* there is none, or it is yet to be settled */
	pid = task_find_in(s, claim->pub.cgroup_path, claim->pub.netns_inode, &others);
	if (pid && uv_now(&s->loop) - claim->sighted_ms >= WATCH_SETTLED_MS)
		return; /* a namespace made inside, later */
	drop_claim(s, claim);
	if (pid)
		watch_sight_shared(s, pid); /* in doubt */
}

static bool same_cgroup(pid_t a, pid_t b)
{
	char path_a[CGROUP_PATH_BYTES], path_b[CGROUP_PATH_BYTES];

	return a == b || !task_find_cgroup(a, path_a, sizeof(path_a)) || !task_find_cgroup(b, path_b, sizeof(path_b)) ||
	       !strcmp(path_a, path_b);
}

static void settle_in(struct supervisor *s, struct instance *instance)
{
	uint32_t last_pid = bpf_last_pid(&s->host, instance->pub.netns_cookie);
	_cleanup_close_ int netns_fd = -1;

	if (instance->pub.shares_netns) {
		settle_shared(s, instance);
		return;
	}
	netns_fd = nsfs_open_pid(instance->pid, instance->pub.netns_inode);
	if (netns_fd < 0 && last_pid) {
		instance->pid = last_pid;
		netns_fd = nsfs_open_pid(last_pid, instance->pub.netns_inode);
	}
	if (netns_fd >= 0)
		settle_claim(s, instance->pid);
	/* Who was seen in it may have looked in only, and its cgroup is another. */
	if (pair_instance(s, instance, netns_fd < 0 ? 0 : instance->pid))
		child_step(s, instance, CHILD_WANTED);
	else
		moved(s, instance); /* these two may be gone, or only look in: what of its other tasks? */
	if (instance->misplaced || (netns_fd >= 0 && !same_cgroup(instance->pid, last_pid)))
		moved(s, instance);
}

static void on_due(uv_timer_t *timer)
{
	struct supervisor *s = timer->data;
	uint64_t now = uv_now(&s->loop);

	while (s->watch.due_first && s->watch.due_first->sighted_ms + WATCH_YOUNG_MS <= now) {
		struct instance *instance = s->watch.due_first;

		watch_drop(s, instance);
		settle_in(s, instance);
	}
	rearm_due(s);
}

void watch_drop(struct supervisor *s, struct instance *instance)
{
	struct instance **at = &s->watch.due_first, *before = NULL;

	while (*at && *at != instance) {
		before = *at;
		at = &before->due_next;
	}
	if (!*at)
		return;
	*at = instance->due_next;
	instance->due_next = NULL;
	if (s->watch.due_last == instance)
		s->watch.due_last = before;
}

static void sighted(struct supervisor *s, const struct bpftune_event *event)
{
	const struct bpftune_sighting *sighting = (const struct bpftune_sighting *)event->payload;
	struct known_process *process;
	struct instance *instance;

	if (s->stopping || instance_by_cookie(&s->registry, event->netns_cookie))
		return;
	instance = instance_new(&s->registry, event->netns_cookie, sighting->inode);
	if (!instance) {
		supervisor_log(s, NULL, LOG_ERR, "no memory for the instance of netns %u", sighting->inode);
		bpf_forget(&s->host, event->netns_cookie);
		return;
	}
	HASH_FIND_INT(s->watch.processes, &sighting->inode, process);
	instance->pid = process ? process->pid : (pid_t)event->pid;
	enqueue(s, instance);
	if (process)
		moved(s, instance); /* it existed at the start: its tasks may be in several cgroups by now */
}

/* --- cgroups ------------------------------------------------------------------------------------ */

void watch_sight_shared(struct supervisor *s, pid_t pid)
{
	const struct instance *host = instance_by_id(&s->registry, INSTANCE_HOST);
	char path[CGROUP_PATH_BYTES];
	struct instance *instance;

	if (s->stopping || !task_find_cgroup(pid, path, sizeof(path)) || !pair_cut_to_container(path) ||
	    pair_sharer(s, path))
		return;
	instance = instance_new_shared(&s->registry, host);
	if (!instance)
		return;
	free(instance->pub.cgroup_path);
	instance->pub.cgroup_path = strdup(path); /* the claim: its other tasks are no new sighting */
	instance->pid = pid;
	enqueue(s, instance);
}

static void joined(struct supervisor *s, const struct bpftune_event *event)
{
	const struct bpftune_cgroup *cgroup = (const struct bpftune_cgroup *)event->payload;
	struct instance *instance = instance_by_cookie(&s->registry, event->netns_cookie);

	if (instance && instance->pub.id == INSTANCE_HOST)
		watch_sight_shared(s, event->pid);
	else if (instance && instance->pub.cgroup_id != cgroup->id && !pair_is_inside(instance, event->pid))
		moved(s, instance);
}

static void lose_cgroup(struct supervisor *s, struct instance *instance)
{
	if (instance->pub.shares_netns) {
		child_step(s, instance, CHILD_UNUSED);
	} else {
		pair_dissolve(s, instance);
		moved(s, instance);
	}
}

static void cgroup_gone(struct supervisor *s, const struct bpftune_event *event)
{
	const struct bpftune_cgroup *cgroup = (const struct bpftune_cgroup *)event->payload;
	struct instance *instance, *next;

	HASH_ITER(by_id, s->registry.by_id, instance, next)
		if (instance->pub.cgroup_id == cgroup->id && instance->pub.id != INSTANCE_HOST)
			lose_cgroup(s, instance);
}

static void strayed(struct supervisor *s, const struct bpftune_event *event)
{
	struct instance *instance = instance_by_cookie(&s->registry, event->netns_cookie);

	_cleanup_close_ int netns_fd = instance ? nsfs_open_pid(instance->pid, instance->pub.netns_inode) : -1;

	if (!instance)
		return;
	if (!watch_is_young(s, instance)) {
		settle_claim(s, event->pid);
		instance->stray = (pid_t)event->pid;
		instance->told_ms = uv_now(&s->loop);
		arm_moves(s);
	} else if (netns_fd < 0) {
		instance->pid = event->pid; /* who made it has gone */
	} else if (!same_cgroup(instance->pid, event->pid)) {
		moved(s, instance);
	}
}

/* --- the end of namespaces ---------------------------------------------------------------------- */

static void on_sweep(uv_timer_t *timer)
{
	struct supervisor *s = timer->data;
	int err;

	child_reap(s); /* a dead worker's reference is not there to be discounted */
	err = bpf_sweep(&s->host);

	if (err)
		supervisor_log(s, NULL, LOG_ERR, "cannot look for unused namespaces: %s", strerror(-err));
	if (s->watch.sweeps_left && --s->watch.sweeps_left)
		uv_timer_start(&s->watch.sweep, on_sweep, sweep_delays_ms[s->watch.sweeps_left - 1], 0);
}

void watch_sweep_soon(struct supervisor *s)
{
	if (s->stopping || s->watch.sweeps_left == ARRAY_SIZE(sweep_delays_ms))
		return;
	s->watch.sweeps_left = ARRAY_SIZE(sweep_delays_ms);
	uv_timer_start(&s->watch.sweep, on_sweep, sweep_delays_ms[s->watch.sweeps_left - 1], 0);
}

/* The event of a cgroup's end may have been lost, or it ended before it was known to be paired. */
static void sweep_cgroups(struct supervisor *s)
{
	struct instance *instance, *next;

	HASH_ITER(by_id, s->registry.by_id, instance, next)
		if (instance->pub.cgroup_id && instance->pub.id != INSTANCE_HOST && !pair_is_there(s, instance))
			lose_cgroup(s, instance);
}

static void say_full(struct supervisor *s)
{
	if (s->watch.said_full || !bpf_unsighted(&s->host))
		return;
	s->watch.said_full = true;
	supervisor_log(s, NULL, LOG_WARNING, "cannot tune some namespaces: there are more than can be known at a time");
}

static void on_slow(uv_timer_t *timer)
{
	struct supervisor *s = timer->data;

	child_reap(s);
	say_full(s);
	sweep_cgroups(s);
	room_serve_short(s);
	if (HASH_CNT(by_id, s->registry.by_id) > 1)
		bpf_sweep(&s->host);
	else if (!room_next_unserved(&s->registry, NULL, NULL, false))
		uv_timer_stop(timer); /* the host's own cannot end: nothing to wake up for */
}

static void unused(struct supervisor *s, const struct bpftune_event *event)
{
	struct instance *instance = instance_by_cookie(&s->registry, event->netns_cookie);

	if (!instance) {
		bpf_forget(&s->host, event->netns_cookie);
		return;
	}
	/* Our worker was discounted, but has died: the reference that was left is somebody else's. */
	if (event->pid && !child_is_alive(&instance->child))
		return;
	if (instance->pub.id != INSTANCE_HOST)
		child_step(s, instance, CHILD_UNUSED);
}

void watch_event(struct supervisor *s, const struct bpftune_event *event)
{
	switch (event->scenario) {
	case BPFTUNE_NETNS_SIGHTED:
		sighted(s, event);
		break;
	case BPFTUNE_NETNS_LEFT:
		watch_sweep_soon(s);
		break;
	case BPFTUNE_NETNS_UNUSED:
		unused(s, event);
		break;
	case BPFTUNE_NETNS_STRAYED:
		strayed(s, event);
		break;
	case BPFTUNE_CGROUP_JOINED:
		joined(s, event);
		break;
	case BPFTUNE_CGROUP_GONE:
		cgroup_gone(s, event);
		break;
	case BPFTUNE_SYSCTL_WRITTEN:
		manual_written(s, event);
		break;
	default:
		s->counters.unroutable++;
	}
}

/* --- names that come and go --------------------------------------------------------------------- */

static void on_mounts_due(uv_timer_t *timer)
{
	scan_mounts(timer->data);
}

/* poll(2) of mountinfo tells of each change (proc(5)): a name may have come or gone. */
static void on_mounts(uv_poll_t *poll, int status, int events)
{
	struct supervisor *s = poll->data;

	(void)status, (void)events;
	watch_sweep_soon(s);
	if (!uv_is_active((uv_handle_t *)&s->watch.mounts_due))
		uv_timer_start(&s->watch.mounts_due, on_mounts_due, WATCH_MOUNTS_MS, 0);
}

/* --- the way into a namespace ------------------------------------------------------------------- */

struct wanted_process {
	uint32_t inode;
	pid_t pid;
};

static void match_process(void *arg, uint32_t inode, pid_t pid)
{
	struct wanted_process *wanted = arg;

	if (inode == wanted->inode && !wanted->pid)
		wanted->pid = pid;
}

int watch_open_netns(struct supervisor *s, struct instance *instance)
{
	struct wanted_process wanted = { .inode = instance->pub.netns_inode };
	char path[4096];
	int fd, err;

	fd = nsfs_open_pid(instance->pid, wanted.inode);
	if (fd < 0)
		fd = nsfs_open_pid(bpf_last_pid(&s->host, instance->pub.netns_cookie), wanted.inode);
	if (fd < 0 && nsfs_find_mount(wanted.inode, path, sizeof(path)) == 0)
		fd = nsfs_open_path(path, wanted.inode);
	if (fd >= 0 || room_is_lacking(fd) || uv_now(&s->loop) - s->watch.scanned_ms < 1000)
		return fd;
	s->watch.scanned_ms = uv_now(&s->loop);
	err = nsfs_each_process(match_process, &wanted);
	if (!wanted.pid)
		return err ? err : -ENOENT;
	instance->pid = wanted.pid;
	return nsfs_open_pid(wanted.pid, wanted.inode);
}

/* --- start and stop ----------------------------------------------------------------------------- */

int watch_start(struct supervisor *s)
{
	struct watch *watch = &s->watch;
	uv_timer_t *timers[] = { &watch->due,	     &watch->sweep,	&watch->slow,
				 &watch->mounts_due, &watch->moves_due, &watch->scout_late };
	int err;

	for (size_t i = 0; i < ARRAY_SIZE(timers); i++) {
		uv_timer_init(&s->loop, timers[i]);
		timers[i]->data = s;
	}
	watch->mounts_fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	if (watch->mounts_fd < 0)
		return -errno;
	err = uv_poll_init(&s->loop, &watch->mounts, watch->mounts_fd);
	if (err)
		return err;
	watch->mounts.data = s;
	err = uv_poll_start(&watch->mounts, UV_PRIORITIZED, on_mounts);
	if (err)
		return err;
	return scan_existing(s);
}

void watch_stop(struct supervisor *s)
{
	struct known_process *process, *next;

	HASH_ITER(hh, s->watch.processes, process, next) {
		HASH_DEL(s->watch.processes, process);
		free(process);
	}
	if (!s->watch.due.data)
		return;
	uv_close((uv_handle_t *)&s->watch.due, NULL);
	uv_close((uv_handle_t *)&s->watch.sweep, NULL);
	uv_close((uv_handle_t *)&s->watch.slow, NULL);
	uv_close((uv_handle_t *)&s->watch.mounts_due, NULL);
	uv_close((uv_handle_t *)&s->watch.moves_due, NULL);
	uv_close((uv_handle_t *)&s->watch.scout_late, NULL);
	if (s->watch.mounts.data)
		uv_close((uv_handle_t *)&s->watch.mounts, NULL);
	close_fdp(&s->watch.mounts_fd);
}
