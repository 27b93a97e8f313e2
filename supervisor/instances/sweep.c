// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/instances/sweep.h"

#include <errno.h>
#include <string.h>
#include <syslog.h>
#include <utlist.h>

#include "supervisor/instances/mounts.h"

static const uint64_t delays_ms[SWEEPS] = { 500, 200, 50 }; /* by sweeps still to come */

static void on_sweep(uv_timer_t *timer);

/* False: the ring is to be emptied first. */
static bool look(struct instances *instances, uint64_t netns_cookie)
{
	int err = bpf_sweep(&instances->kernel->host, netns_cookie, instances->sweep_round);

	if (err < 0 && err != -EAGAIN)
		instance_log(instances, NULL, LOG_ERR, "cannot look for unused namespaces: %s", strerror(-err));
	return err != -EAGAIN;
}

static void arm(struct instances *instances)
{
	uint64_t now = uv_now(instances->loop), due = instances->sweeps_all ? now : UINT64_MAX;

	for (size_t i = 0; i < SWEEPS; i++)
		if (instances->leaving[i] && instances->leaving[i]->sweep_ms < due)
			due = instances->leaving[i]->sweep_ms;
	/* Not at once: libuv would go on with timers until none is due, and the ring would not be emptied. */
	if (due != UINT64_MAX)
		uv_timer_start(&instances->sweep, on_sweep, due > now ? due - now : 1, 0);
}

static void queue(struct instances *instances, struct instance *instance, unsigned int sweeps_left)
{
	struct instance **leaving = &instances->leaving[sweeps_left - 1];

	instance->sweeps_left = sweeps_left;
	instance->sweep_ms = uv_now(instances->loop) + delays_ms[sweeps_left - 1];
	DL_APPEND2(*leaving, instance, leaving_prev, leaving_next);
}

void sweep_drop(struct instances *instances, struct instance *instance)
{
	if (instance->sweeps_left)
		DL_DELETE2(instances->leaving[instance->sweeps_left - 1], instance, leaving_prev, leaving_next);
	instance->sweeps_left = 0;
}

/* False: none is due, or the ring is to be emptied first. */
static bool sweep_next(struct instances *instances)
{
	for (unsigned int then_left = 0; then_left < SWEEPS; then_left++) {
		struct instance *instance = instances->leaving[then_left];

		if (!instance || instance->sweep_ms > uv_now(instances->loop))
			continue;
		if (!instance->is_ending && !look(instances, instance->view.netns_cookie))
			return false;
		sweep_drop(instances, instance);
		if (then_left)
			queue(instances, instance, then_left);
		return true;
	}
	return false;
}

static void on_sweep(uv_timer_t *timer)
{
	struct instances *instances = timer->data;

	for (int i = 0; i < SWEEP_AT_ONCE && sweep_next(instances); i++)
		;
	if (instances->sweeps_all)
		instances->sweeps_all = !look(instances, 0);
	arm(instances);
}

void instances_sweep_soon(struct instances *instances, struct instance *instance)
{
	if (instances->stopping || instance->sweeps_left == SWEEPS)
		return;
	sweep_drop(instances, instance);
	queue(instances, instance, SWEEPS);
	if (instances->leaving[SWEEPS - 1] == instance)
		arm(instances);
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
	instances->sweep_round++;
	instances->sweeps_all = true;
	arm(instances);
	if (HASH_CNT(by_id, instances->by_id) == 1)
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
