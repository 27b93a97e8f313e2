// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/route.h"

#include <errno.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "ipc/cleanup.h"
#include "supervisor/supervisor.h"

static uint64_t realtime_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * 1000000ULL + now.tv_nsec / 1000;
}

static struct instance *instance_of(const struct supervisor *s, const struct bpftune_event *event)
{
	return event->instance ? instance_by_id(&s->registry, event->instance) :
				 instance_by_cookie(&s->registry, event->netns_cookie);
}

static void to_tuner(struct supervisor *s, const struct bpftune_event *event)
{
	struct instance *instance = instance_of(s, event);

	if (!instance || event->tuner >= s->plugins.n ||
	    event->scenario >= s->plugins.tuners[event->tuner]->n_scenarios) {
		s->counters.unroutable++;
		return;
	}
	if (instance->tuners[event->tuner].state != TUNER_ACTIVE)
		return; /* on its way when the gate closed */
	child_send(s, instance, event);
	if (instance->child.state == CHILD_NONE)
		child_step(s, instance, CHILD_WANTED);
}

void route_event(struct supervisor *s, const struct bpftune_event *event)
{
	s->counters.received++;
	if (event->tuner == BPFTUNE_FROM_WATCH)
		watch_event(s, event);
	else
		to_tuner(s, event);
}

/* --- reports ------------------------------------------------------------------------------------ */

static const char *tunable_name(const struct supervisor *s, const struct bpftune_report *report)
{
	return s->plugins.tuners[report->tuner]->tunables[report->tunable].name;
}

static void on_ready(struct supervisor *s, struct instance *instance, const struct bpftune_report *report)
{
	(void)report;
	if (child_step(s, instance, CHILD_IS_READY) == CHILD_READY)
		supervisor_log(s, instance, LOG_INFO, "worker %d is ready", instance->child.pid);
}

static void on_value(struct supervisor *s, struct instance *instance, const struct bpftune_report *report)
{
	const struct ledger_entry *entry = ledger_entry(&instance->ledger, report->tuner, report->tunable);

	if (!entry)
		return;
	if (report->error)
		supervisor_log(s, instance, LOG_WARNING, "cannot read %s: %s", tunable_name(s, report),
			       strerror(-report->error));
	else if (ledger_value(&instance->ledger, report))
		supervisor_log(s, instance, LOG_NOTICE, "%s was changed by somebody else to %s",
			       tunable_name(s, report), entry->current);
}

static void on_intent(struct supervisor *s, struct instance *instance, const struct bpftune_report *report)
{
	struct bpftune_event order = { .netns_cookie = instance->pub.netns_cookie, .tuner = BPFTUNE_FROM_SUPERVISOR };
	int err = s->stopping ? -ESHUTDOWN : ledger_intent(&instance->ledger, report, realtime_us());

	order.scenario = err ? BPFTUNE_REFUSE : BPFTUNE_GRANT;
	*(struct bpftune_verdict *)order.payload =
		(struct bpftune_verdict){ .tuner = report->tuner, .tunable = report->tunable };
	child_send(s, instance, &order);
}

static void on_change(struct supervisor *s, struct instance *instance, const struct bpftune_report *report)
{
	const struct ledger_entry *entry = ledger_entry(&instance->ledger, report->tuner, report->tunable);
	const struct bpftune_tuner *tuner;
	bool changed;

	if (!entry || !entry->intended)
		return;
	tuner = s->plugins.tuners[report->tuner];
	changed = ledger_outcome(&instance->ledger, report);
	if (changed)
		streams_log(&s->streams, &(struct log_record){
			.instance = instance->pub.id,
			.severity = LOG_NOTICE,
			.container = instance->pub.name,
			.tuner = tuner->name,
			.scenario = tuner->scenarios[entry->intent.scenario].name,
			.tunable = tunable_name(s, report),
			.from = entry->intent.from,
			.to = entry->current,
			.text = report->text,
		});
	else
		supervisor_log(s, instance, LOG_ERR, "cannot write %s: %s", tunable_name(s, report),
			       report->error == -ESTALE ? "somebody else changed it just now" : strerror(-report->error));
}

static void on_log(struct supervisor *s, struct instance *instance, const struct bpftune_report *report)
{
	const struct bpftune_tuner *tuner = report->tuner < s->plugins.n ? s->plugins.tuners[report->tuner] : NULL;

	streams_log(&s->streams, &(struct log_record){
		.instance = instance->pub.id,
		.severity = report->severity >= LOG_EMERG && report->severity <= LOG_DEBUG ? report->severity : LOG_NOTICE,
		.container = instance->pub.name,
		.tuner = tuner ? tuner->name : NULL,
		.text = report->text,
	});
}

static void (*const handlers[])(struct supervisor *s, struct instance *instance, const struct bpftune_report *report) = {
	[BPFTUNE_READY] = on_ready,   [BPFTUNE_VALUE] = on_value, [BPFTUNE_INTENT] = on_intent,
	[BPFTUNE_CHANGE] = on_change, [BPFTUNE_LOG] = on_log,
};

void route_report(struct supervisor *s, struct instance *instance, const struct bpftune_report *report)
{
	struct bpftune_report copy = *report;

	copy.from[sizeof(copy.from) - 1] = copy.to[sizeof(copy.to) - 1] = copy.text[sizeof(copy.text) - 1] = '\0';
	if (copy.kind >= ARRAY_SIZE(handlers) || !handlers[copy.kind])
		s->counters.unknown_reports++;
	else
		handlers[copy.kind](s, instance, &copy);
}
