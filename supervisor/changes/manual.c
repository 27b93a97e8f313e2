// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/changes/manual.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "ipc/cleanup.h"
#include "supervisor/changes/state.h"
#include "worker/sysctl.h"

#define LOG_AGAIN_MS 100

/* As the kernel will show it: single blanks, no newline. It may be any bytes, as nobody has checked it yet. */
static void normalise(const struct bpftune_tunable *tunable, const char *written, char ret_value[BPFTUNE_VALUE_BYTES])
{
	char line[sizeof(((struct bpftune_written *)0)->value) + 1];
	long long ints[BPFTUNE_INTS_MAX];

	snprintf(line, sizeof(line), "%.*s", (int)strcspn(written, "\n"), written);
	for (char *p = line; *p; p++)
		if (*p == '\t')
			*p = ' ';
	log_escape(line, ret_value, BPFTUNE_VALUE_BYTES);
	if (tunable->n_ints && sysctl_parse_ints(ret_value, tunable->n_ints, ints) == 0)
		sysctl_format_ints(ints, tunable->n_ints, ret_value);
}

/* A worker had read the value before the event came that tells who wrote it. */
static bool has_unknown_writer(const struct instance *instance, uint16_t tuner)
{
	return instance->state && instance->state->unknown_writer >> tuner & 1;
}

static void set_unknown_writer(struct instance *instance, uint16_t tuner, bool is_unknown)
{
	struct instance_state *state = instance_state_of(instance);

	if (!state)
		return;
	state->unknown_writer &= ~(1ULL << tuner);
	state->unknown_writer |= (uint64_t)is_unknown << tuner;
}

/* `by` NULL: nobody knows. */
static void take_over(struct changes *changes, struct instance *instance, const struct bpftune_owner *owner,
		      const char *value, const char *by)
{
	const struct bpftune_tuner *tuner = changes->kernel->plugins.tuners[owner->tuner];
	const char *tunable = tuner->tunables[owner->tunable].name;
	uint64_t cookie = instance->view.netns_cookie;
	const struct ledger_state *was = ledger_get_state(&changes->ledger, cookie, tuner->name);
	bool manual = was && was->state == TUNER_MANUAL;
	bool repeats = manual && !strncmp(was->why, tunable, strlen(tunable)) && !has_unknown_writer(instance, owner->tuner);
	struct instance_state *state = instance_state_of(instance);
	uint64_t now_ms = uv_now(changes->loop);
	char why[LEDGER_WHY_BYTES];

	snprintf(why, sizeof(why), "%s was set to %s by %s", tunable, value, by ? by : "somebody else");
	ledger_foreign(&changes->ledger, cookie, tunable, value);
	if (plugins_is_removed(&changes->kernel->plugins, owner->tuner))
		return; /* there is nobody to step aside */
	set_unknown_writer(instance, owner->tuner, !by);
	changes_set_tuner_state(changes, instance, owner->tuner, TUNER_MANUAL, why);
	/* Who writes one value after the other gets a line every now and then. */
	if (!state || (repeats && now_ms - state->manual_logged_ms < LOG_AGAIN_MS))
		return;
	state->manual_logged_ms = now_ms;
	changes_log(changes, &(struct log_record){
		.instance = instance->view.id,
		.severity = LOG_NOTICE,
		.container = instance->view.name,
		.tuner = tuner->name,
		.scenario = "manual",
		.text = why,
	});
	if (manual)
		return;
	instance_log(changes->instances, instance, LOG_NOTICE, "tuner %s steps aside here until 'bpftune resume %s %s'", tuner->name,
		       instance->view.name, tuner->name);
}

/* The same value in other blanks: the program that noticed could not tell. */
static bool is_no_news(const struct changes *changes, const struct instance *instance, uint16_t tuner, const char *tunable,
		       const char *value)
{
	const struct ledger_entry *entry = ledger_find(&changes->ledger, instance->view.netns_cookie, tunable);

	/* While a change of ours is under way, it may be what undoes it. */
	return entry && !strcmp(entry->current, value) && !entry->intended &&
	       !(entry->foreign && has_unknown_writer(instance, tuner));
}

static bool is_known(const struct changes *changes, const struct bpftune_owner *owner)
{
	return owner->tuner < changes->kernel->plugins.n && owner->tunable < changes->kernel->plugins.tuners[owner->tuner]->n_tunables;
}

void changes_written(struct changes *changes, const struct bpftune_event *event)
{
	const struct bpftune_written *written = (const struct bpftune_written *)event->payload;
	const struct bpftune_owner *owner = &written->owner;
	struct instance *instance = instance_by_cookie(changes->instances, event->netns_cookie);
	char text[sizeof(written->value) + 1] = "", value[BPFTUNE_VALUE_BYTES], by[64];
	const struct bpftune_tunable *tunable;

	if (!instance || !is_known(changes, owner)) {
		bpf_untake(&changes->kernel->host, event->netns_cookie, owner->tuner);
		changes->counters.unroutable++;
		return;
	}
	tunable = &changes->kernel->plugins.tuners[owner->tuner]->tunables[owner->tunable];
	memcpy(text, written->value, sizeof(written->value));
	normalise(tunable, text, value);
	if (!is_no_news(changes, instance, owner->tuner, tunable->name, value)) {
		if (worker_is_none(instance) &&
		    changes_recorded_state(changes, instance, owner->tuner) != TUNER_MANUAL)
			instance_name_now(changes->instances, instance); /* it may be too young to have its name */
		snprintf(by, sizeof(by), "%.*s (pid %u)", BPFTUNE_COMM_BYTES, written->comm, event->pid);
		take_over(changes, instance, owner, value, by);
	}
	/* What became of it, and of what was written right after it. */
	if (!worker_is_none(instance)) /* else its start will read it */
		workers_order(changes->workers, instance, BPFTUNE_READ, owner, sizeof(*owner));
}

void manual_found(struct changes *changes, struct instance *instance, const struct bpftune_owner *owner, const char *value)
{
	const char *tunable = changes->kernel->plugins.tuners[owner->tuner]->tunables[owner->tunable].name;

	if (changes_recorded_state(changes, instance, owner->tuner) != TUNER_MANUAL)
		take_over(changes, instance, owner, value, NULL);
	else
		ledger_foreign(&changes->ledger, instance->view.netns_cookie, tunable, value);
}

static void resume_one(struct changes *changes, struct instance *instance, uint16_t number)
{
	const struct bpftune_tuner *tuner = changes->kernel->plugins.tuners[number];

	if (changes_recorded_state(changes, instance, number) == TUNER_MANUAL)
		for (uint16_t i = 0; i < tuner->n_tunables; i++) {
			const struct bpftune_owner owner = { .tuner = number, .tunable = i };

			ledger_renew(&changes->ledger, instance->view.netns_cookie, tuner->tunables[i].name);
			if (!worker_is_none(instance)) /* else its start will read them */
				workers_order(changes->workers, instance, BPFTUNE_READ, &owner, sizeof(owner));
		}
	set_unknown_writer(instance, number, false);
	changes_set_tuner_state(changes, instance, number, TUNER_ACTIVE, NULL);
	instance_log(changes->instances, instance, LOG_NOTICE, "tuner %s is back in service", tuner->name);
}

int changes_resume(struct changes *changes, struct instance *instance, const char *tuner)
{
	bool found = !tuner;
	int resumed = 0;

	if (instance->view.shares_netns)
		return 0; /* the host's tuners step aside, not its own */
	for (size_t i = 0; i < changes->kernel->plugins.n; i++) {
		if (tuner && strcmp(tuner, changes->kernel->plugins.tuners[i]->name))
			continue;
		found = true;
		if (changes_recorded_state(changes, instance, i) == TUNER_ACTIVE || plugins_is_removed(&changes->kernel->plugins, i))
			continue;
		resume_one(changes, instance, i);
		resumed++;
	}
	return found ? resumed : -ENOENT;
}
