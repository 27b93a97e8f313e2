// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/instances/watch.h"

#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <utlist.h>

#include "supervisor/instances/known.h"
#include "supervisor/instances/name.h"
#include "supervisor/instances/owner.h"
#include "supervisor/instances/pair.h"
#include "supervisor/instances/place.h"
#include "supervisor/instances/registry.h"
#include "supervisor/instances/sharer.h"
#include "supervisor/instances/sweep.h"

#define YOUNG_AT_ONCE_NS (10 * 1000 * 1000)

/* --- the two queues: young instances, and those in which something has moved -------------------- */

static void on_young(uv_timer_t *timer);
static void on_moved(uv_timer_t *timer);

static void arm_young(struct instances *instances)
{
	uint64_t now = uv_now(instances->loop), due;

	if (!instances->young)
		return;
	due = instances->young->sighted_ms + WATCH_YOUNG_MS;
	/* Not at once: libuv would go on with timers until none is due. */
	uv_timer_start(&instances->young_due, on_young, due > now ? due - now : 1, 0);
}

static void add_young(struct instances *instances, struct instance *instance)
{
	instance->sighted_ms = uv_now(instances->loop);
	instance->queue = QUEUE_YOUNG;
	DL_APPEND2(instances->young, instance, queue_prev, queue_next);
	if (instances->young == instance)
		arm_young(instances);
	sweep_slowly(instances);
}

/* A young one is looked at when it is old enough, anyway. */
static void add_moved(struct instances *instances, struct instance *instance)
{
	if (instance->queue != QUEUE_NONE)
		return;
	instance->queue = QUEUE_MOVED;
	DL_APPEND2(instances->moved, instance, queue_prev, queue_next);
	if (!uv_is_active((uv_handle_t *)&instances->moved_due))
		uv_timer_start(&instances->moved_due, on_moved, WATCH_MOVED_MS, 0);
}

void watch_mounted(struct instances *instances, struct instance *instance)
{
	if (!instance->is_ending)
		add_moved(instances, instance);
}

void watch_drop(struct instances *instances, struct instance *instance)
{
	if (instance->queue == QUEUE_YOUNG)
		DL_DELETE2(instances->young, instance, queue_prev, queue_next);
	else if (instance->queue == QUEUE_MOVED)
		DL_DELETE2(instances->moved, instance, queue_prev, queue_next);
	instance->queue = QUEUE_NONE;
}

/* --- looking ------------------------------------------------------------------------------------ */

/* Pairs it anew. True: it is a container's. */
static bool look(struct instances *instances, struct instance *instance)
{
	bool once_more = place_was_just_reported(instances, instance), is_container;

	place_forget_left(instances, instance);
	is_container = pair_by_places(instances, instance);
	if (once_more)
		add_moved(instances, instance);
	return is_container;
}

/* A worker; lookup.c asks for it once it is known whether the container's owner wants one. */
static void want(struct instances *instances, struct instance *instance)
{
	if (!instance->is_unread)
		instances->listener.wanted(instances->arg, instance);
}

static void settle_sharer(struct instances *instances, struct instance *instance)
{
	switch (sharer_settle(instances, instance)) {
	case SHARER_WAITS:
		add_young(instances, instance);
		break;
	case SHARER_IS_ONE:
		want(instances, instance);
		break;
	case SHARER_IS_NONE:
		break;
	}
}

/* A container whose set-up took long was taken for one that shares the host's namespace. */
static void refute_sharer(struct instances *instances, const char *path)
{
	bool may_be;

	if (sharer_refute(instances, path, &may_be) && may_be)
		watch_host_task(instances, path);
}

/* Its owner has too many: others' are to find room. A later task or socket in the namespace may find some, too. */
static bool turn_away(struct instances *instances, struct instance *instance)
{
	if (!owner_is_over(instance))
		return false;
	if (name_by_mount(instances, instance)) { /* root's, after all */
		owner_count(instances, instance);
		return false;
	}
	owner_say_over(instances, instance);
	if (!instance->view.shares_netns)
		bpf_turn_away(&instances->kernel->host, instance->view.netns_cookie);
	return true;
}

static void settle(struct instances *instances, struct instance *instance)
{
	const struct place *place;
	bool is_container;

	if (instance->view.shares_netns) {
		settle_sharer(instances, instance);
		return;
	}
	DL_FOREACH(instance->places, place)
		refute_sharer(instances, place->path);
	is_container = look(instances, instance);
	instance_find_owner(instances, instance);
	if (turn_away(instances, instance))
		instances->listener.unused(instances->arg, instance, false);
	else if (is_container)
		want(instances, instance);
}

static void on_young(uv_timer_t *timer)
{
	struct instances *instances = timer->data;
	uint64_t now = uv_now(instances->loop), start_ns = uv_hrtime();

	/* Each may be worth a fork: then events, reports and clients get their turn. */
	while (uv_hrtime() - start_ns < YOUNG_AT_ONCE_NS) {
		struct instance *instance = instances->young;

		if (!instance || instance->sighted_ms + WATCH_YOUNG_MS > now)
			break;
		watch_drop(instances, instance);
		settle(instances, instance);
	}
	arm_young(instances);
}

static void look_again(struct instances *instances, struct instance *instance)
{
	char before[CGROUP_PATH_BYTES];
	uint64_t id = instance->view.cgroup_id;

	snprintf(before, sizeof(before), "%s", instance->view.cgroup_path);
	if (!look(instances, instance))
		return;
	if (instance->view.cgroup_id != id || strcmp(instance->view.cgroup_path, before))
		instance_log(instances, instance, LOG_INFO, "is in cgroup %s now", instance->view.cgroup_path);
	want(instances, instance);
}

static void on_moved(uv_timer_t *timer)
{
	struct instances *instances = timer->data;
	struct instance *last = instances->moved ? instances->moved->queue_prev : NULL;

	/* Those that are to be looked at once more come after the last. */
	for (bool is_last = !last; !is_last;) {
		struct instance *instance = instances->moved;

		is_last = instance == last;
		watch_drop(instances, instance);
		look_again(instances, instance);
	}
	if (instances->moved)
		uv_timer_start(timer, on_moved, WATCH_MOVED_MS, 0);
}

/* --- what is told ------------------------------------------------------------------------------- */

static void sighted(struct instances *instances, const struct bpftune_event *event)
{
	const struct bpftune_place *seen = (const struct bpftune_place *)event->payload;
	enum cgroup_hierarchy hierarchy;
	char path[CGROUP_PATH_BYTES];
	struct instance *instance;

	if (instances->stopping || instance_by_cookie(instances, event->netns_cookie))
		return;
	instance = registry_add(instances, event->netns_cookie, seen->netns_inode);
	if (!instance) {
		instance_log(instances, NULL, LOG_ERR, "no memory for the instance of netns %u", seen->netns_inode);
		bpf_forget(&instances->kernel->host, event->netns_cookie);
		return;
	}
	instance->tid = seen->tid;
	if (!known_take(instances, instance) && place_find(instances, seen, path, &hierarchy))
		place_add(&instance->places, path, hierarchy, seen->tid, uv_now(instances->loop));
	if (instance->places)
		name_owner(instance, instance->places->path); /* who made it may be gone soon */
	owner_count(instances, instance);
	if (turn_away(instances, instance)) {
		instances_end(instances, instance);
		return;
	}
	instance_set_gate(instances, instance);
	instances->listener.begun(instances->arg, instance);
	add_young(instances, instance);
}

void watch_host_task(struct instances *instances, const char *path)
{
	struct instance *instance = sharer_claim(instances, path);

	if (!instance)
		return;
	name_owner(instance, path);
	owner_count(instances, instance);
	if (turn_away(instances, instance)) {
		instances_end(instances, instance);
		return;
	}
	instances->listener.begun(instances->arg, instance);
	add_young(instances, instance);
}

static void placed(struct instances *instances, const struct bpftune_event *event)
{
	const struct bpftune_place *seen = (const struct bpftune_place *)event->payload;
	struct instance *instance = instance_by_cookie(instances, event->netns_cookie);
	enum cgroup_hierarchy hierarchy;
	char path[CGROUP_PATH_BYTES];

	if (!instance || instance->is_ending)
		return;
	instance->tid = seen->tid;
	if (!place_find(instances, seen, path, &hierarchy))
		return;
	if (instance->view.id == INSTANCE_HOST) {
		watch_host_task(instances, path);
		return;
	}
	if (pair_is_inside(instance, path))
		return;
	place_add(&instance->places, path, hierarchy, seen->tid, uv_now(instances->loop));
	if (instance->queue == QUEUE_YOUNG)
		return;
	refute_sharer(instances, path);
	add_moved(instances, instance);
}

static void left(struct instances *instances, const struct bpftune_event *event)
{
	struct instance *instance = instance_by_cookie(instances, event->netns_cookie);

	if (instance)
		instances_sweep_soon(instances, instance);
	else
		sweep_slowly(instances);
}

static void lose_cgroup(struct instances *instances, struct instance *instance)
{
	if (instance->view.shares_netns) {
		instances->listener.unused(instances->arg, instance, false);
		return;
	}
	pair_dissolve(instances, instance);
	add_moved(instances, instance);
}

void watch_look_at_cgroups(struct instances *instances)
{
	struct instance *instance, *next;

	HASH_ITER(by_id, instances->by_id, instance, next)
		if (instance->cgroup && !pair_is_there(instances, instance))
			lose_cgroup(instances, instance);
}

bool instances_event(struct instances *instances, const struct bpftune_event *event)
{
	switch (event->scenario) {
	case BPFTUNE_NETNS_SIGHTED:
		sighted(instances, event);
		return true;
	case BPFTUNE_NETNS_PLACED:
		placed(instances, event);
		return true;
	case BPFTUNE_NETNS_LEFT:
		left(instances, event);
		return true;
	case BPFTUNE_NETNS_UNUSED:
		sweep_unused(instances, event);
		return true;
	case BPFTUNE_CGROUP_GONE:
		pair_each_of_cgroup(instances, ((const struct bpftune_place *)event->payload)->cgroup_id, lose_cgroup);
		return true;
	default:
		return false;
	}
}

void instance_name_now(struct instances *instances, struct instance *instance)
{
	place_forget_left(instances, instance);
	pair_by_places(instances, instance);
}

void watch_start(struct instances *instances)
{
	uv_timer_init(instances->loop, &instances->young_due);
	uv_timer_init(instances->loop, &instances->moved_due);
	instances->young_due.data = instances->moved_due.data = instances;
}

void watch_stop(struct instances *instances)
{
	if (!instances->young_due.data)
		return;
	uv_close((uv_handle_t *)&instances->young_due, NULL);
	uv_close((uv_handle_t *)&instances->moved_due, NULL);
}
