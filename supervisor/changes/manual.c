// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/changes/manual.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "ipc/cleanup.h"
#include "supervisor/kernel/bpf_maps.h"
#include "supervisor/kernel/nsfs.h"
#include "supervisor/instances/pair.h"
#include "supervisor/supervisor.h"
#include "worker/sysctl.h"

#define SAY_AGAIN_MS 100

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
static bool is_unnamed(const struct instance *instance, uint16_t tuner)
{
	return instance->unnamed & 1ULL << tuner;
}

static void set_unnamed(struct instance *instance, uint16_t tuner, bool unnamed)
{
	instance->unnamed &= ~(1ULL << tuner);
	instance->unnamed |= (uint64_t)unnamed << tuner;
}

/* `by` NULL: nobody knows. */
static void take_over(struct supervisor *s, struct instance *instance, const struct bpftune_owner *owner,
		      const char *value, const char *by)
{
	const struct bpftune_tuner *tuner = s->plugins.tuners[owner->tuner];
	const char *tunable = tuner->tunables[owner->tunable].name;
	uint64_t cookie = instance->pub.netns_cookie;
	const struct ledger_state *was = ledger_get_state(&s->ledger, cookie, tuner->name);
	bool manual = was && was->state == TUNER_MANUAL;
	/* Who writes one value after the other gets a line every now and then. */
	bool said = manual && !strncmp(was->why, tunable, strlen(tunable)) && !is_unnamed(instance, owner->tuner) &&
		    uv_now(&s->loop) - instance->manual_said_ms < SAY_AGAIN_MS;
	char why[LEDGER_WHY_BYTES];

	snprintf(why, sizeof(why), "%s was set to %s by %s", tunable, value, by ? by : "somebody else");
	ledger_foreign(&s->ledger, cookie, tunable, value);
	set_unnamed(instance, owner->tuner, !by);
	supervisor_set_tuner_state(s, instance, owner->tuner, TUNER_MANUAL, why);
	if (said)
		return;
	instance->manual_said_ms = uv_now(&s->loop);
	streams_log(&s->streams, &(struct log_record){
		.instance = instance->pub.id,
		.severity = LOG_NOTICE,
		.container = instance->pub.name,
		.tuner = tuner->name,
		.scenario = "manual",
		.text = why,
	});
	if (manual)
		return;
	supervisor_log(s, instance, LOG_NOTICE, "tuner %s steps aside here until 'bpftune resume %s %s'", tuner->name,
		       instance->pub.name, tuner->name);
}

/* The same value in other blanks: the program that noticed could not tell. */
static bool is_no_news(const struct supervisor *s, const struct instance *instance, uint16_t tuner, const char *tunable,
		       const char *value)
{
	const struct ledger_entry *entry = ledger_find(&s->ledger, instance->pub.netns_cookie, tunable);

	/* While a change of ours is under way, it may be what undoes it. */
	return entry && !strcmp(entry->current, value) && !entry->intended &&
	       !(entry->foreign && is_unnamed(instance, tuner));
}

static bool is_known(const struct supervisor *s, const struct bpftune_owner *owner)
{
	return owner->tuner < s->plugins.n && owner->tunable < s->plugins.tuners[owner->tuner]->n_tunables;
}

/* Maybe too young to have its name yet. */
static void name_it(struct supervisor *s, struct instance *instance)
{
	int fd = nsfs_open_pid(instance->pid, instance->pub.netns_inode);

	pair_instance(s, instance, fd < 0 ? 0 : instance->pid); /* that pid may be another's by now */
	close_fdp(&fd);
}

void manual_written(struct supervisor *s, const struct bpftune_event *event)
{
	const struct bpftune_written *written = (const struct bpftune_written *)event->payload;
	const struct bpftune_owner *owner = &written->owner;
	struct instance *instance = instance_by_cookie(&s->registry, event->netns_cookie);
	char text[sizeof(written->value) + 1] = "", value[BPFTUNE_VALUE_BYTES], by[64];
	const struct bpftune_tunable *tunable;

	if (!instance || !is_known(s, owner)) {
		bpf_untake(&s->host, event->netns_cookie, owner->tuner);
		s->counters.unroutable++;
		return;
	}
	tunable = &s->plugins.tuners[owner->tuner]->tunables[owner->tunable];
	memcpy(text, written->value, sizeof(written->value));
	normalise(tunable, text, value);
	if (!is_no_news(s, instance, owner->tuner, tunable->name, value)) {
		if (instance->child.state == CHILD_NONE &&
		    supervisor_tuner_state(s, instance, owner->tuner) != TUNER_MANUAL)
			name_it(s, instance);
		snprintf(by, sizeof(by), "%.*s (pid %u)", BPFTUNE_COMM_BYTES, written->comm, event->pid);
		take_over(s, instance, owner, value, by);
	}
	/* What became of it, and of what was written right after it. */
	if (instance->child.state != CHILD_NONE) /* else its start will read it */
		supervisor_order(s, instance, BPFTUNE_READ, owner, sizeof(*owner));
}

void manual_found(struct supervisor *s, struct instance *instance, const struct bpftune_owner *owner, const char *value)
{
	const char *tunable = s->plugins.tuners[owner->tuner]->tunables[owner->tunable].name;

	if (supervisor_tuner_state(s, instance, owner->tuner) != TUNER_MANUAL)
		take_over(s, instance, owner, value, NULL);
	else
		ledger_foreign(&s->ledger, instance->pub.netns_cookie, tunable, value);
}

static void resume_one(struct supervisor *s, struct instance *instance, uint16_t number)
{
	const struct bpftune_tuner *tuner = s->plugins.tuners[number];

	if (supervisor_tuner_state(s, instance, number) == TUNER_MANUAL)
		for (uint16_t i = 0; i < tuner->n_tunables; i++) {
			const struct bpftune_owner owner = { .tuner = number, .tunable = i };

			ledger_renew(&s->ledger, instance->pub.netns_cookie, tuner->tunables[i].name);
			if (instance->child.state != CHILD_NONE) /* else its start will read them */
				supervisor_order(s, instance, BPFTUNE_READ, &owner, sizeof(owner));
		}
	set_unnamed(instance, number, false);
	supervisor_set_tuner_state(s, instance, number, TUNER_ACTIVE, NULL);
	supervisor_log(s, instance, LOG_NOTICE, "tuner %s is back in service", tuner->name);
}

int manual_resume(struct supervisor *s, struct instance *instance, const char *tuner)
{
	bool found = !tuner;
	int resumed = 0;

	if (instance->pub.shares_netns)
		return 0; /* the host's tuners step aside, not its own */
	for (size_t i = 0; i < s->plugins.n; i++) {
		if (tuner && strcmp(tuner, s->plugins.tuners[i]->name))
			continue;
		found = true;
		if (supervisor_tuner_state(s, instance, i) == TUNER_ACTIVE)
			continue;
		resume_one(s, instance, i);
		resumed++;
	}
	return found ? resumed : -ENOENT;
}
