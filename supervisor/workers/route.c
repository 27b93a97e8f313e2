// SPDX-License-Identifier: GPL-2.0-or-later
/* Events and orders to the worker of the instance they are about, and what is known of it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/workers/capacity.h"
#include "supervisor/workers/process.h"
#include "supervisor/workers/step.h"

/* A container's program sees all sockets of its cgroup, also those of a namespace made inside: not its own. */
static struct instance *instance_of(const struct workers *workers, const struct bpftune_event *event)
{
	struct instance *instance = event->instance ? instance_by_id(workers->instances, event->instance) : NULL;

	if ((event->instance && !instance) || (instance && instance->view.netns_cookie == event->netns_cookie))
		return instance;
	return instance_by_cookie(workers->instances, event->netns_cookie);
}

void workers_deliver(struct workers *workers, struct instance *instance, const struct bpftune_event *event)
{
	struct child *child = child_of(workers, instance);

	if (!child) {
		workers->counters.unserved++;
		return;
	}
	process_send(child, event);
	if (child->state == CHILD_NONE)
		child_step(child, CHILD_WANTED);
	if (capacity_is_lacking(child->unserved))
		workers->counters.unserved++;
}

void workers_event(struct workers *workers, const struct bpftune_event *event)
{
	const struct plugins *plugins = &workers->kernel->plugins;
	struct instance *instance = instance_of(workers, event);

	if (!instance || event->tuner >= plugins->n || event->scenario >= plugins->tuners[event->tuner]->n_scenarios) {
		workers->counters.unroutable++;
		return;
	}
	if (!instance_tuner_is_active(workers->instances, instance, event->tuner))
		return; /* it was on its way when the gate closed */
	workers_deliver(workers, instance, event);
	if (instance->child)
		instance->child->n_events++;
}

void workers_order(struct workers *workers, struct instance *instance, enum bpftune_order order, const void *payload,
		   size_t size)
{
	struct child *child = child_of(workers, instance);
	struct bpftune_event event = {
		.netns_cookie = instance->view.netns_cookie,
		.time_ns = uv_hrtime(),
		.tuner = BPFTUNE_FROM_SUPERVISOR,
		.scenario = order,
	};

	memcpy(event.payload, payload, size);
	if (child)
		process_send(child, &event);
}

unsigned int workers_n_containers(const struct workers *workers)
{
	const struct instance *host = instance_host(workers->instances);

	return workers->n_ready - (host && host->is_entered);
}

void workers_want(struct workers *workers, struct instance *instance)
{
	struct child *child = child_of(workers, instance);

	if (!child)
		return;
	child->is_wanted = true;
	if (!instance->is_off)
		child_step(child, CHILD_WANTED);
}

void workers_need(struct workers *workers, struct instance *instance)
{
	struct child *child = child_of(workers, instance);

	if (child)
		child_step(child, CHILD_WANTED);
}

void workers_off_changed(struct workers *workers, struct instance *instance)
{
	struct child *child = instance->child; /* NULL: it had no worker, and was not worth one */

	(void)workers;
	if (child && instance->is_off)
		child_step(child, CHILD_DISMISSED);
	else if (child && child->is_wanted)
		child_step(child, CHILD_WANTED);
}

void workers_unused(struct workers *workers, struct instance *instance, bool is_entered)
{
	struct child *child = child_of(workers, instance);

	/* Our worker was discounted, but has died: the reference that was left is somebody else's. */
	if (child && !(is_entered && !process_is_alive(child)))
		child_step(child, CHILD_UNUSED);
}

void workers_end_all(struct workers *workers)
{
	struct instance *instance, *next;

	workers->stopping = true;
	HASH_ITER(by_id, workers->instances->by_id, instance, next) {
		struct child *child = child_of(workers, instance);

		if (child)
			child_step(child, CHILD_STOP);
	}
}

int workers_reserve(struct workers *workers)
{
	return slots_reserve(&workers->slots);
}

int workers_start(struct workers *workers)
{
	int err = confine_prepare(&workers->confinement);

	confine_bounds();
	if (!err)
		capacity_start(workers, step_try_start);
	return err;
}

void workers_stop(struct workers *workers)
{
	if (!workers->retry.data)
		return;
	uv_close((uv_handle_t *)&workers->retry, NULL);
	uv_close((uv_handle_t *)&workers->pace, NULL);
}

void workers_close(struct workers *workers)
{
	slots_close(&workers->slots);
	confine_release(&workers->confinement);
	pool_close(&workers->children);
	pool_close(&workers->polls);
	pool_close(&workers->timers);
}

void workers_free(struct instance *instance)
{
	if (!instance->child)
		return;
	event_queue_clear(&instance->child->queue);
	pool_put(&instance->child->workers->children, instance->child);
	instance->child = NULL;
}

/* --- of one instance ---------------------------------------------------------------------------- */

static enum child_state state_of(const struct instance *instance)
{
	return instance->child ? instance->child->state : CHILD_NONE;
}

bool worker_is_none(const struct instance *instance)
{
	return state_of(instance) == CHILD_NONE && !(instance->child && instance->child->unserved == -EBUSY);
}

bool worker_is_starting(const struct instance *instance)
{
	return state_of(instance) == CHILD_STARTING;
}

bool worker_is_ready(const struct instance *instance)
{
	return state_of(instance) == CHILD_READY;
}

const char *worker_state(const struct instance *instance)
{
	return child_state_name(state_of(instance));
}

unsigned int worker_restarts(const struct instance *instance)
{
	return instance->child ? instance->child->restarts : 0;
}

uint64_t worker_events(const struct instance *instance)
{
	return instance->child ? instance->child->n_events : 0;
}
