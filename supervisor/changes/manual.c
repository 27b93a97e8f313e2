// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/changes/manual.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "ipc/cleanup.h"
#include "ipc/unshared.h"
#include "supervisor/changes/state.h"
#include "worker/sysctl.h"

#define MANUAL_LOG_MS 1000 /* one line of a tuner in an instance, then only their number */

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

/* What is known of a tuner's stepping aside; NULL: nothing. */
static struct manual *manual_of(const struct instance *instance, uint16_t tuner)
{
	return instance->state && instance->state->manual ? &instance->state->manual[tuner] : NULL;
}

static struct manual *manual_get(struct instance *instance, uint16_t tuner)
{
	struct instance_state *state = instance_state_of(instance);

	if (state && !state->manual)
		state->manual = unshared_alloc(BPFTUNE_TUNERS_MAX * sizeof(*state->manual));
	return manual_of(instance, tuner);
}

static bool has_unknown_writer(const struct instance *instance, uint16_t tuner)
{
	const struct manual *manual = manual_of(instance, tuner);

	return manual && manual->has_unknown_writer;
}

static void log_step_aside(struct changes *changes, struct instance *instance, uint16_t number, struct manual *manual)
{
	const char *tuner = changes->kernel->plugins.tuners[number]->name,
		   *why = changes_tuner_why(changes, instance, number);
	char text[LEDGER_WHY_BYTES + 64];
	int n = snprintf(text, sizeof(text), "%s", why ? why : "");

	if (manual->more)
		snprintf(text + n, sizeof(text) - n, " (after %u more writes)", manual->more);
	changes_log(changes, &(struct log_record){
				     .instance = instance->view.id,
				     .severity = LOG_NOTICE,
				     .container = instance->view.name,
				     .tuner = tuner,
				     .scenario = "manual",
				     .text = text,
			     });
	manual->due_ms = uv_now(changes->loop) + MANUAL_LOG_MS;
	manual->more = 0;
	if (!manual->is_said)
		instance_log(changes->instances, instance, LOG_NOTICE,
			     "tuner %s steps aside here until 'bpftune resume %s %s'", tuner, instance->view.name,
			     tuner);
	manual->is_said = true;
}

/* `by` NULL: nobody knows. */
static void step_aside(struct changes *changes, struct instance *instance, const struct bpftune_owner *owner,
		       const char *value, const char *by, bool may_be_in_vain)
{
	const struct bpftune_tuner *tuner = changes->kernel->plugins.tuners[owner->tuner];
	bool was_manual = changes_recorded_state(changes, instance, owner->tuner) == TUNER_MANUAL;
	struct manual *manual = manual_get(instance, owner->tuner);
	bool is_due = manual && (uv_now(changes->loop) >= manual->due_ms || (was_manual && manual->has_unknown_writer));
	char why[LEDGER_WHY_BYTES];

	if (manual && !was_manual)
		*manual = (struct manual){ .due_ms = manual->due_ms,
					   .more = manual->more,
					   .is_in_doubt = may_be_in_vain };
	if (manual) {
		manual->has_unknown_writer = !by;
		manual->written_ns = uv_hrtime();
	}
	if (!was_manual || is_due) {
		snprintf(why, sizeof(why), "%s was set to %s by %s", tuner->tunables[owner->tunable].name, value,
			 by ? by : "somebody else");
		changes_set_tuner_state(changes, instance, owner->tuner, TUNER_MANUAL, why);
	}
	/* Who writes one value after the other gets a line every now and then. */
	if (is_due)
		log_step_aside(changes, instance, owner->tuner, manual);
	else if (manual && was_manual)
		manual->more++;
}

static void take_over(struct changes *changes, struct instance *instance, const struct bpftune_owner *owner,
		      const char *value, const char *by)
{
	const char *tunable = changes->kernel->plugins.tuners[owner->tuner]->tunables[owner->tunable].name;
	uint64_t cookie = instance->view.netns_cookie;

	ledger_foreign(&changes->ledger, cookie, tunable, value);
	if (!plugins_is_removed(&changes->kernel->plugins, owner->tuner)) /* else there is nobody to step aside */
		step_aside(changes, instance, owner, value, by, by && ledger_find(&changes->ledger, cookie, tunable));
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

static bool is_higher(const char *value, const char *than)
{
	long long ints[BPFTUNE_INTS_MAX], others[BPFTUNE_INTS_MAX];

	return !sysctl_parse_ints(value, 1, ints) && !sysctl_parse_ints(than, 1, others) && ints[0] > others[0];
}

bool manual_is_base(const struct changes *changes, const struct instance *instance, const struct bpftune_owner *owner,
		    const char *value)
{
	const struct bpftune_tunable *tunable =
		&changes->kernel->plugins.tuners[owner->tuner]->tunables[owner->tunable];
	const struct ledger_entry *entry = ledger_find(&changes->ledger, instance->view.netns_cookie, tunable->name);

	return tunable->higher_is_base && entry && entry->known && is_higher(value, entry->current) &&
	       (!entry->intended || is_higher(value, entry->history->intent.to)) &&
	       changes_recorded_state(changes, instance, owner->tuner) == TUNER_ACTIVE;
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
	if (manual_is_base(changes, instance, owner, value)) {
		bpf_untake(&changes->kernel->host, event->netns_cookie, owner->tuner);
	} else if (!is_no_news(changes, instance, owner->tuner, tunable->name, value)) {
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

/* The host's value at the namespace's creation is not known: the value now, or the one at first. */
static bool is_hosts(const struct changes *changes, const struct bpftune_tunable *tunable, const char *value)
{
	_cleanup_close_ int dir_fd = open("/proc/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
	const struct instance *host = instance_host(changes->instances);
	const struct ledger_entry *entry =
		host ? ledger_find(&changes->ledger, host->view.netns_cookie, tunable->name) : NULL;
	char now[BPFTUNE_VALUE_BYTES];

	if (entry && entry->known && !strcmp(entry->initial, value))
		return true;
	return dir_fd < 0 || sysctl_read(dir_fd, tunable->name, now) < 0 || !strcmp(now, value);
}

bool manual_is_explicit(const struct changes *changes, const struct instance *instance, const struct bpftune_owner *owner,
			const char *value)
{
	const struct bpftune_tuner *tuner = changes->kernel->plugins.tuners[owner->tuner];
	const struct bpftune_tunable *tunable = &tuner->tunables[owner->tunable];

	return tunable->is_inherited && instance->view.id != INSTANCE_HOST &&
	       !ledger_get_state(&changes->ledger, instance->view.netns_cookie, tuner->name) &&
	       !is_hosts(changes, tunable, value);
}

static bool has_foreign_value(const struct changes *changes, const struct instance *instance, uint16_t number)
{
	const struct bpftune_tuner *tuner = changes->kernel->plugins.tuners[number];

	for (size_t i = 0; i < tuner->n_tunables; i++) {
		const struct ledger_entry *entry =
			ledger_find(&changes->ledger, instance->view.netns_cookie, tuner->tunables[i].name);

		if (entry && entry->foreign)
			return true;
	}
	return false;
}

void manual_looked_again(struct changes *changes, struct instance *instance, uint16_t number, uint64_t asked_ns)
{
	struct manual *manual = manual_of(instance, number);

	if (!manual || asked_ns < manual->written_ns || changes_recorded_state(changes, instance, number) != TUNER_MANUAL)
		return;
	if (has_foreign_value(changes, instance, number)) {
		if (!manual->is_said)
			log_step_aside(changes, instance, number, manual);
		return;
	}
	if (!manual->is_in_doubt)
		return;
	changes_set_tuner_state(changes, instance, number, TUNER_ACTIVE, NULL);
	if (manual->is_said)
		instance_log(changes->instances, instance, LOG_NOTICE,
			     "tuner %s is back in service: what was written did not arrive here",
			     changes->kernel->plugins.tuners[number]->name);
	manual->is_in_doubt = manual->is_said = false;
}

static void resume_one(struct changes *changes, struct instance *instance, uint16_t number)
{
	const struct bpftune_tuner *tuner = changes->kernel->plugins.tuners[number];
	struct manual *manual = manual_of(instance, number);

	if (changes_recorded_state(changes, instance, number) == TUNER_MANUAL)
		for (uint16_t i = 0; i < tuner->n_tunables; i++) {
			const struct bpftune_owner owner = { .tuner = number, .tunable = i };

			ledger_renew(&changes->ledger, instance->view.netns_cookie, tuner->tunables[i].name);
			bpf_forget_write(&changes->kernel->host, instance->view.netns_cookie, &owner);
			if (!worker_is_none(instance)) /* else its start will read them */
				workers_order(changes->workers, instance, BPFTUNE_READ, &owner, sizeof(owner));
		}
	if (manual)
		*manual = (struct manual){ 0 };
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
