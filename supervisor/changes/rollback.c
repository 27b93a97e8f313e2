// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/changes/rollback.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <utlist.h>

#include "supervisor/changes/state.h"

struct step {
	uint64_t instance;
	struct bpftune_owner owner;
	uint64_t changed_us;
	bool is_sent, is_repeated, is_done;
};

struct rollback {
	struct changes *changes;
	struct step *steps;
	size_t n_steps, n_open;
	json_t *restored, *left;
	rollback_done *done;
	void *arg;
	uv_timer_t deadline;
	struct rollback *prev, *next;
};

/* --- which values ------------------------------------------------------------------------------- */

static int last_first(const void *a, const void *b)
{
	const struct step *x = a, *y = b;

	return x->changed_us < y->changed_us ? 1 : x->changed_us > y->changed_us ? -1 : 0;
}

static const struct bpftune_tunable *tunable_of(const struct changes *changes, const struct step *step)
{
	return &changes->kernel->plugins.tuners[step->owner.tuner]->tunables[step->owner.tunable];
}

static struct ledger_entry *entry_of(const struct changes *changes, const struct instance *instance, const struct step *step)
{
	return ledger_find(&changes->ledger, instance->view.netns_cookie, tunable_of(changes, step)->name);
}

static int add_instance(const struct changes *changes, const struct instance *instance, struct step **steps, size_t *n)
{
	if (instance->view.shares_netns)
		return 0; /* the values are the host's */
	for (size_t i = 0; i < changes->kernel->plugins.n; i++)
		for (size_t j = 0; j < changes->kernel->plugins.tuners[i]->n_tunables; j++) {
			struct step step = { .instance = instance->view.id, .owner = { .tuner = i, .tunable = j } };
			const struct ledger_entry *entry = entry_of(changes, instance, &step);
			struct step *grown;

			if (!plugins_is_owner(&changes->kernel->plugins, i, j))
				continue;
			if (!entry || (!entry->intended && !strcmp(entry->initial, entry->current)))
				continue;
			grown = realloc(*steps, (*n + 1) * sizeof(**steps));
			if (!grown)
				return -ENOMEM;
			if (ledger_last(entry))
				step.changed_us = ledger_last(entry)->time_us;
			*steps = grown;
			grown[(*n)++] = step;
		}
	return 0;
}

static int find_steps(const struct changes *changes, const struct instance *only, struct step **ret_steps, size_t *ret_n)
{
	const struct instance *instance;
	int err = 0;

	*ret_steps = NULL;
	*ret_n = 0;
	for (instance = changes->instances->by_id; instance && !err; instance = instance->by_id.next)
		if (!only || instance == only)
			err = add_instance(changes, instance, ret_steps, ret_n);
	if (*ret_n)
		qsort(*ret_steps, *ret_n, sizeof(**ret_steps), last_first);
	return err;
}

static json_t *row(const struct instance *instance, const char *tunable, const char *from, const char *to, const char *why)
{
	return json_pack("{s:I s:s s:s s:s s:s s:o}", "instance", (json_int_t)instance->view.id, "container",
			 instance->view.name, "tunable", tunable, "from", from, "to", to, "why",
			 why ? json_string(why) : json_null());
}

static const char *why_left(const struct changes *changes, const struct instance *instance, const struct step *step)
{
	return entry_of(changes, instance, step)->foreign ? ROLLBACK_SET_SINCE : NULL;
}

json_t *rollback_plan(struct changes *changes, const struct instance *only)
{
	json_t *plan = json_array();
	struct step *steps;
	size_t n;

	find_steps(changes, only, &steps, &n);
	for (size_t i = 0; i < n; i++) {
		const struct instance *instance = instance_by_id(changes->instances, steps[i].instance);
		const struct bpftune_tunable *tunable = tunable_of(changes, &steps[i]);
		const struct ledger_entry *entry = entry_of(changes, instance, &steps[i]);
		json_t *item = row(instance, tunable->name, entry->current, entry->initial, why_left(changes, instance, &steps[i]));
		char enter[64] = "", command[512];

		if (instance->view.id != INSTANCE_HOST && instance->worker_pid)
			snprintf(enter, sizeof(enter), "nsenter -t %d -n ", instance->worker_pid);
		snprintf(command, sizeof(command), "%ssysctl -w %s='%s'", enter, tunable->name, entry->initial);
		/* Without a process in the namespace the command would be the host's. */
		bool reachable = instance->view.id == INSTANCE_HOST || instance->worker_pid;

		json_object_set_new(item, "command", reachable ? json_string(command) : json_null());
		json_array_append_new(plan, item);
	}
	free(steps);
	return plan;
}

/* --- putting them back -------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *handle)
{
	struct rollback *rollback = handle->data;

	free(rollback->steps);
	json_decref(rollback->restored);
	json_decref(rollback->left);
	free(rollback);
}

static bool has_step_in(const struct rollback *rollback, const struct instance *instance)
{
	for (size_t i = 0; i < rollback->n_steps; i++)
		if (!rollback->steps[i].is_done && rollback->steps[i].instance == instance->view.id)
			return true;
	return false;
}

/* Where all tuners are off, a worker was forked for the rollback only. */
static void dismiss_workers(const struct rollback *rollback)
{
	const struct changes *changes = rollback->changes;

	for (size_t i = 0; i < rollback->n_steps; i++) {
		struct instance *instance = instance_by_id(changes->instances, rollback->steps[i].instance);
		const struct rollback *other = NULL;

		if (instance && instance->is_off)
			DL_FOREACH(changes->rollbacks, other)
				if (has_step_in(other, instance))
					break;
		if (instance && instance->is_off && !other)
			workers_off_changed(changes->workers, instance);
	}
}

static void finish(struct rollback *rollback)
{
	json_t *result = json_pack("{s:O s:O}", "restored", rollback->restored, "left", rollback->left);

	DL_DELETE(rollback->changes->rollbacks, rollback);
	dismiss_workers(rollback);
	uv_close((uv_handle_t *)&rollback->deadline, on_closed);
	rollback->done(rollback->arg, result);
	json_decref(result);
}

static void end_step(struct rollback *rollback, struct step *step, json_t *list, json_t *item)
{
	const struct instance *instance = instance_by_id(rollback->changes->instances, step->instance);

	if (step->is_sent && instance && changes_recorded_state(rollback->changes, instance, step->owner.tuner) == TUNER_MANUAL)
		bpf_take(&rollback->changes->kernel->host, instance->view.netns_cookie, step->owner.tuner);
	step->is_done = true;
	rollback->n_open--;
	json_array_append_new(list, item);
}

static void leave(struct rollback *rollback, struct step *step, const char *why)
{
	const struct instance *instance = instance_by_id(rollback->changes->instances, step->instance);
	const struct ledger_entry *entry = instance ? entry_of(rollback->changes, instance, step) : NULL;

	if (entry)
		instance_log(rollback->changes->instances, instance, LOG_NOTICE, "rollback leaves %s at %s: %s",
			       tunable_of(rollback->changes, step)->name, entry->current, why);
	if (entry)
		end_step(rollback, step, rollback->left,
			 row(instance, tunable_of(rollback->changes, step)->name, entry->current, entry->initial, why));
	else
		end_step(rollback, step, rollback->left, json_object());
}

static void send_step(struct rollback *rollback, struct step *step)
{
	struct changes *changes = rollback->changes;
	struct instance *instance = instance_by_id(changes->instances, step->instance);
	const struct ledger_entry *entry = entry_of(changes, instance, step);
	struct bpftune_restore restore = { .owner = step->owner };
	int err;

	/* What the kernel may not have taken of somebody else's is read first, by the worker that is to come. */
	if (why_left(changes, instance, step) && (worker_is_ready(instance) || !*entry->ours)) {
		leave(rollback, step, why_left(changes, instance, step));
		return;
	}
	if (!worker_is_ready(instance)) { /* it reads the values first: rollback_ready() goes on then */
		workers_need(changes->workers, instance);
		return;
	}
	if (!entry->intended && !strcmp(entry->current, entry->initial)) {
		end_step(rollback, step, rollback->restored,
			 row(instance, tunable_of(changes, step)->name, entry->current, entry->initial, NULL));
		return;
	}
	err = ledger_intent(&changes->ledger, &(struct ledger_change){
		.netns_cookie = instance->view.netns_cookie,
		.container = instance->view.name,
		.container_id = instance->container_id,
		.tuner = changes->kernel->plugins.tuners[step->owner.tuner]->name,
		.tunable = tunable_of(changes, step)->name,
		.scenario = LEDGER_ROLLBACK,
		.from = entry->current,
		.to = entry->initial,
		.reason = "the initial value is put back",
	});
	if (err == -EBUSY)
		return; /* a change is under way: its outcome comes first, and sends this */
	if (err) {
		leave(rollback, step, strerror(-err));
		return;
	}
	step->is_sent = true;
	/* Of a tuner that was taken over, the other values are still ours to put back. */
	bpf_untake(&changes->kernel->host, instance->view.netns_cookie, step->owner.tuner);
	memcpy(restore.value, entry->initial, sizeof(restore.value));
	workers_order(changes->workers, instance, BPFTUNE_RESTORE, &restore, sizeof(restore));
}

static void on_deadline(uv_timer_t *timer)
{
	struct rollback *rollback = timer->data;

	for (size_t i = 0; i < rollback->n_steps; i++) {
		struct step *step = &rollback->steps[i];
		const struct instance *instance = instance_by_id(rollback->changes->instances, step->instance);
		const char *theirs = instance ? why_left(rollback->changes, instance, step) : NULL;

		if (!step->is_done)
			leave(rollback, step, theirs ? theirs : "its worker did not answer");
	}
	finish(rollback);
}

static void pause_tuners(struct changes *changes, const struct instance *only)
{
	struct instance *instance;

	for (instance = changes->instances->by_id; instance; instance = instance->by_id.next)
		for (size_t i = 0; i < changes->kernel->plugins.n && (!only || instance == only) && !instance->view.shares_netns; i++)
			if (changes_tuner_state(changes, instance, i) == TUNER_ACTIVE)
				changes_set_tuner_state(changes, instance, i, TUNER_PAUSED, "rolled back");
}

struct rollback *rollback_start(struct changes *changes, struct instance *only, bool pause, rollback_done *done, void *arg)
{
	struct rollback *rollback = calloc(1, sizeof(*rollback));

	if (!rollback) {
		done(arg, NULL);
		return NULL;
	}
	*rollback = (struct rollback){ .changes = changes, .done = done, .arg = arg };
	rollback->restored = json_array();
	rollback->left = json_array();
	if (pause)
		pause_tuners(changes, only);
	find_steps(changes, only, &rollback->steps, &rollback->n_steps);
	rollback->n_open = rollback->n_steps;
	uv_timer_init(changes->loop, &rollback->deadline);
	rollback->deadline.data = rollback;
	DL_APPEND(changes->rollbacks, rollback);
	for (size_t i = 0; i < rollback->n_steps; i++)
		send_step(rollback, &rollback->steps[i]);
	if (!rollback->n_open) {
		finish(rollback);
		return NULL;
	}
	uv_timer_start(&rollback->deadline, on_deadline, ROLLBACK_DEADLINE_MS, 0);
	return rollback;
}

static struct step *find_step(struct rollback *rollback, const struct instance *instance,
			      const struct bpftune_report *report)
{
	for (size_t i = 0; i < rollback->n_steps; i++) {
		struct step *step = &rollback->steps[i];

		if (!step->is_done && step->instance == instance->view.id && step->owner.tuner == report->tuner &&
		    step->owner.tunable == report->tunable)
			return step;
	}
	return NULL;
}

/* Another value of the same tuner was found to be somebody else's in between: that took the tuner, not this value. */
static bool may_try_again(const struct rollback *rollback, struct step *step, const struct instance *instance,
			  const struct bpftune_report *report)
{
	if (report->error != -EPERM || step->is_repeated || entry_of(rollback->changes, instance, step)->foreign)
		return false;
	step->is_repeated = true;
	return true;
}

void rollback_outcome(struct changes *changes, struct instance *instance, const struct bpftune_report *report)
{
	struct rollback *rollback, *next;

	DL_FOREACH_SAFE(changes->rollbacks, rollback, next) {
		struct step *step = find_step(rollback, instance, report);
		const char *theirs;

		if (!step)
			continue;
		theirs = why_left(changes, instance, step);
		if (!step->is_sent || may_try_again(rollback, step, instance, report))
			send_step(rollback, step);
		else if (theirs || report->error)
			leave(rollback, step, theirs || report->error == -ESTALE ? ROLLBACK_SET_SINCE : strerror(-report->error));
		else
			end_step(rollback, step, rollback->restored,
				 row(instance, tunable_of(changes, step)->name, report->from, report->to, NULL));
		if (!rollback->n_open)
			finish(rollback);
	}
}

void rollback_ready(struct changes *changes, struct instance *instance)
{
	struct rollback *rollback, *next;

	DL_FOREACH_SAFE(changes->rollbacks, rollback, next) {
		for (size_t i = 0; i < rollback->n_steps; i++)
			if (rollback->steps[i].instance == instance->view.id && !rollback->steps[i].is_done)
				send_step(rollback, &rollback->steps[i]);
		if (!rollback->n_open)
			finish(rollback);
	}
}

void rollback_detach(struct rollback *rollback)
{
	rollback->arg = NULL;
}

void rollback_drop(struct changes *changes, uint64_t instance)
{
	struct rollback *rollback, *next;

	DL_FOREACH_SAFE(changes->rollbacks, rollback, next) {
		for (size_t i = 0; i < rollback->n_steps; i++)
			if (rollback->steps[i].instance == instance && !rollback->steps[i].is_done)
				leave(rollback, &rollback->steps[i], "its namespace is gone");
		if (!rollback->n_open)
			finish(rollback);
	}
}
