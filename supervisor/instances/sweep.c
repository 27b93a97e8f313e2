// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/instances/sweep.h"

#include <string.h>
#include <syslog.h>

#include "ipc/cleanup.h"

static const uint64_t delays_ms[] = { 500, 200, 50 }; /* by sweeps still to come */

static void on_sweep(uv_timer_t *timer)
{
	struct instances *instances = timer->data;
	int err = bpf_sweep(&instances->kernel->host);

	if (err)
		instance_log(instances, NULL, LOG_ERR, "cannot look for unused namespaces: %s", strerror(-err));
	if (instances->sweeps_left && --instances->sweeps_left)
		uv_timer_start(&instances->sweep, on_sweep, delays_ms[instances->sweeps_left - 1], 0);
}

void instances_sweep_soon(struct instances *instances)
{
	if (instances->stopping || instances->sweeps_left == ARRAY_SIZE(delays_ms))
		return;
	instances->sweeps_left = ARRAY_SIZE(delays_ms);
	uv_timer_start(&instances->sweep, on_sweep, delays_ms[instances->sweeps_left - 1], 0);
}

static void say_full(struct instances *instances)
{
	if (instances->said_full || !bpf_unsighted(&instances->kernel->host))
		return;
	instances->said_full = true;
	instance_log(instances, NULL, LOG_WARNING, "cannot tune some namespaces: there are more than can be known at a time");
}

static void on_slow(uv_timer_t *timer)
{
	struct instances *instances = timer->data;

	say_full(instances);
	instances->on_slow(instances);
	if (HASH_CNT(by_id, instances->by_id) > 1)
		bpf_sweep(&instances->kernel->host);
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
