// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/instances/sweep.h"

#include <string.h>
#include <syslog.h>
#include <utlist.h>

#include "supervisor/instances/mounts.h"

static const uint64_t delays_ms[SWEEPS] = { 500, 200, 50 }; /* by sweeps still to come */

static void look(struct instances *instances, uint64_t netns_cookie)
{
	int err = bpf_sweep(&instances->kernel->host, netns_cookie);

	if (err)
		instance_log(instances, NULL, LOG_ERR, "cannot look for unused namespaces: %s", strerror(-err));
}

static void on_sweep(uv_timer_t *timer)
{
	struct instances *instances = timer->data;
	bool all = instances->sweeps_of_all || instances->n_leaving > SWEEP_EACH_MAX;
	struct instance *instance, *next;

	if (all)
		look(instances, 0);
	instances->sweeps_of_all -= instances->sweeps_of_all > 0;
	for (instance = instances->leaving; instance; instance = next) {
		next = instance->leaving_next;
		if (!all)
			look(instances, instance->view.netns_cookie);
		if (!--instance->sweeps_left)
			sweep_drop(instances, instance);
	}
	instances->sweeps_left -= instances->sweeps_left > 1;
	if (instances->leaving || instances->sweeps_of_all)
		uv_timer_start(&instances->sweep, on_sweep, delays_ms[instances->sweeps_left - 1], 0);
}

void sweep_drop(struct instances *instances, struct instance *instance)
{
	if (!instance->is_leaving)
		return;
	instance->is_leaving = false;
	instance->sweeps_left = 0;
	instances->n_leaving--;
	DL_DELETE2(instances->leaving, instance, leaving_prev, leaving_next);
}

void instances_sweep_soon(struct instances *instances, struct instance *instance)
{
	if (instances->stopping)
		return;
	if (!instance) {
		instances->sweeps_of_all = SWEEPS;
	} else {
		if (!instance->is_leaving) {
			DL_APPEND2(instances->leaving, instance, leaving_prev, leaving_next);
			instances->n_leaving++;
		}
		instance->is_leaving = true;
		instance->sweeps_left = SWEEPS;
	}
	if (instances->sweeps_left == SWEEPS && uv_is_active((uv_handle_t *)&instances->sweep))
		return;
	instances->sweeps_left = SWEEPS;
	uv_timer_start(&instances->sweep, on_sweep, delays_ms[SWEEPS - 1], 0);
}

static void say_full(struct instances *instances)
{
	if (instances->said_full || !bpf_unsighted(&instances->kernel->host))
		return;
	instances->said_full = true;
	instance_log(instances, NULL, LOG_WARNING, "cannot tune some namespaces: there are more than can be known at a time");
}

/* Of what was lost, a sighting of a mounted namespace may never come again by itself. */
static void look_for_lost(struct instances *instances)
{
	uint64_t lost = bpf_lost(&instances->kernel->host);

	if (lost != instances->lost)
		mounts_read_soon(instances);
	instances->lost = lost;
}

static void on_slow(uv_timer_t *timer)
{
	struct instances *instances = timer->data;

	say_full(instances);
	look_for_lost(instances);
	instances->on_slow(instances);
	if (HASH_CNT(by_id, instances->by_id) > 1)
		look(instances, 0);
	else
		uv_timer_stop(timer); /* the host's own cannot end: nothing to wake up for */
}

void sweep_slowly(struct instances *instances)
{
	if (!uv_is_active((uv_handle_t *)&instances->slow))
		uv_timer_start(&instances->slow, on_slow, SWEEP_SLOW_MS, SWEEP_SLOW_MS);
}

void sweep_unused(struct instances *instances, const struct bpftune_event *event)
{
	struct instance *instance = instance_by_cookie(instances, event->netns_cookie);

	if (!instance)
		bpf_forget(&instances->kernel->host, event->netns_cookie);
	else if (instance->view.id != INSTANCE_HOST)
		instances->listener.unused(instances->arg, instance, event->pid != 0);
}

void sweep_start(struct instances *instances, void (*on_slow_sweep)(struct instances *instances))
{
	instances->on_slow = on_slow_sweep;
	uv_timer_init(instances->loop, &instances->sweep);
	uv_timer_init(instances->loop, &instances->slow);
	instances->sweep.data = instances->slow.data = instances;
}

void sweep_stop(struct instances *instances)
{
	if (!instances->sweep.data)
		return;
	uv_close((uv_handle_t *)&instances->sweep, NULL);
	uv_close((uv_handle_t *)&instances->slow, NULL);
}
