// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/workers/route.h"

#include <errno.h>
#include <string.h>
#include <syslog.h>

#include "ipc/cleanup.h"
#include "supervisor/kernel/bpf_maps.h"
#include "supervisor/changes/learnt.h"
#include "supervisor/changes/manual.h"
#include "supervisor/changes/rollback.h"
#include "supervisor/supervisor.h"

/* A container's program sees all sockets of its cgroup, also those of a namespace made inside: not its own. */
static struct instance *instance_of(const struct supervisor *s, const struct bpftune_event *event)
{
	struct instance *instance = event->instance ? instance_by_id(&s->registry, event->instance) : NULL;

	if ((event->instance && !instance) || (instance && instance->pub.netns_cookie == event->netns_cookie))
		return instance;
	return instance_by_cookie(&s->registry, event->netns_cookie);
}

/* A worker is forked for it if there is none. */
static void deliver(struct supervisor *s, struct instance *instance, const struct bpftune_event *event)
{
	child_send(s, instance, event);
	if (instance->child.state == CHILD_NONE)
		child_step(s, instance, CHILD_WANTED);
	if (instance->unserved)
		s->counters.unserved++;
}

static void to_tuner(struct supervisor *s, const struct bpftune_event *event)
{
	struct instance *instance = instance_of(s, event);

	if (!instance || event->tuner >= s->plugins.n ||
	    event->scenario >= s->plugins.tuners[event->tuner]->n_scenarios) {
		s->counters.unroutable++;
		return;
	}
	if (supervisor_tuner_state(s, instance, event->tuner) == TUNER_ACTIVE) /* else on its way when the gate closed */
		deliver(s, instance, event);
}

bool route_event(struct supervisor *s, const struct bpftune_event *event)
{
	s->counters.received++;
	if (event->tuner == BPFTUNE_FROM_WATCH) {
		watch_event(s, event);
		return false;
	}
	to_tuner(s, event);
	return true;
}

/* --- reports ------------------------------------------------------------------------------------ */

/* The tunable that the report is about; NULL: none that exists. */
static const struct bpftune_tunable *tunable_of(const struct supervisor *s, const struct bpftune_report *report)
{
	if (report->tuner >= s->plugins.n || report->tunable >= s->plugins.tuners[report->tuner]->n_tunables)
		return NULL;
	return &s->plugins.tuners[report->tuner]->tunables[report->tunable];
}

static const char *scenario_of(const struct supervisor *s, const struct bpftune_report *report)
{
	const struct bpftune_tuner *tuner = s->plugins.tuners[report->tuner];

	return report->scenario < tuner->n_scenarios ? tuner->scenarios[report->scenario].name : "";
}

static void on_ready(struct supervisor *s, struct instance *instance, const struct bpftune_report *report)
{
	(void)report;
	if (child_step(s, instance, CHILD_IS_READY) == CHILD_READY)
		supervisor_log(s, instance, LOG_INFO, "worker %d is ready", instance->child.pid);
	rollback_ready(s, instance);
}

static bool is_foreign(struct supervisor *s, struct instance *instance, const struct bpftune_report *report,
		       const char *tunable)
{
	uint64_t cookie = instance->pub.netns_cookie;

	if (bpf_is_untold(&s->host, cookie, report->tuner))
		ledger_doubt(&s->ledger, cookie, tunable);
	return ledger_value(&s->ledger, cookie, tunable, report->to) == LEDGER_FOREIGN;
}

static void on_value(struct supervisor *s, struct instance *instance, const struct bpftune_report *report)
{
	const struct bpftune_owner owner = { .tuner = report->tuner, .tunable = report->tunable };
	const struct bpftune_tunable *tunable = tunable_of(s, report);
	const struct ledger_entry *entry;

	if (!tunable || instance->pub.shares_netns)
		return;
	entry = ledger_find(&s->ledger, instance->pub.netns_cookie, tunable->name);
	if (entry && entry->intended && instance->child.state != CHILD_STARTING)
		return; /* its outcome is what comes next */
	if (report->error) {
		ledger_outcome(&s->ledger, instance->pub.netns_cookie, tunable->name, report->error, NULL);
		supervisor_log(s, instance, LOG_WARNING, "cannot read %s: %s", tunable->name, strerror(-report->error));
	}
	else if (is_foreign(s, instance, report, tunable->name))
		manual_found(s, instance, &owner, report->to);
	else if (supervisor_tuner_state(s, instance, report->tuner) != TUNER_MANUAL)
		bpf_untake(&s->host, instance->pub.netns_cookie, report->tuner);
}

static void send_answer(struct supervisor *s, struct instance *instance, const struct bpftune_report *report, bool granted)
{
	const struct bpftune_owner owner = { .tuner = report->tuner, .tunable = report->tunable };

	supervisor_order(s, instance, granted ? BPFTUNE_GRANT : BPFTUNE_REFUSE, &owner, sizeof(owner));
}

static void on_intent(struct supervisor *s, struct instance *instance, const struct bpftune_report *report)
{
	const struct bpftune_owner owner = { .tuner = report->tuner, .tunable = report->tunable };
	const struct bpftune_tunable *tunable = tunable_of(s, report);
	bool its_own = tunable && !instance->pub.shares_netns &&
		       (tunable->scope == BPFTUNE_SCOPE_NETNS || instance->pub.id == INSTANCE_HOST);
	uint64_t cookie = instance->pub.netns_cookie;
	const struct ledger_entry *entry = its_own ? ledger_find(&s->ledger, cookie, tunable->name) : NULL;
	/* What is resumed begins with what is there: that is read first. */
	bool allowed = its_own && !s->stopping && *scenario_of(s, report) && !(entry && entry->renew) &&
		       supervisor_tuner_state(s, instance, report->tuner) == TUNER_ACTIVE;

	if (entry && entry->renew)
		supervisor_order(s, instance, BPFTUNE_READ, &owner, sizeof(owner)); /* it may have failed */
	send_answer(s, instance, report, allowed && !ledger_intent(&s->ledger, &(struct ledger_change){
		.netns_cookie = cookie,
		.container = instance->pub.name,
		.tuner = s->plugins.tuners[report->tuner]->name,
		.tunable = tunable->name,
		.scenario = scenario_of(s, report),
		.from = report->from,
		.to = report->to,
		.reason = report->text,
	}));
}

/* In the instance's stream, and in the stream of the one that asked for it. */
static void log_change(struct supervisor *s, const struct instance *instance, const struct bpftune_report *report,
		       const char *tunable, const char *scenario, const char *prefix)
{
	const struct instance *asker = report->asker ? instance_by_id(&s->registry, report->asker) : NULL;
	char text[BPFTUNE_TEXT_BYTES + 300];
	struct log_record record = {
		.instance = instance->pub.id,
		.severity = LOG_NOTICE,
		.container = instance->pub.name,
		.tuner = s->plugins.tuners[report->tuner]->name,
		.scenario = scenario,
		.tunable = tunable,
		.from = report->from,
		.to = report->to,
		.text = text,
	};

	snprintf(text, sizeof(text), "%s%s%s%.256s", prefix, report->text, asker ? "; asked for by " : "",
		 asker ? asker->pub.name : "");
	streams_log(&s->streams, &record);
	if (asker) {
		record.instance = asker->pub.id;
		streams_log(&s->streams, &record);
	}
}

static void on_would(struct supervisor *s, struct instance *instance, const struct bpftune_report *report)
{
	const struct bpftune_tunable *tunable = tunable_of(s, report);

	if (tunable)
		log_change(s, instance, report, tunable->name, scenario_of(s, report), "would change: ");
}

static void say_failed(struct supervisor *s, const struct instance *instance, const struct bpftune_report *report,
		       const char *tunable)
{
	switch (-report->error) {
	case EROFS:
		supervisor_log(s, instance, LOG_ERR, "cannot write %s: /proc/sys is read-only here (mount it read-write)", tunable);
		break;
	case ENOENT:
		supervisor_log(s, instance, LOG_ERR, "cannot write %s: this namespace has no such tunable", tunable);
		break;
	case EINVAL:
		supervisor_log(s, instance, LOG_ERR, "cannot write %s: the kernel does not take %s", tunable, report->to);
		break;
	default:
		supervisor_log(s, instance, LOG_ERR, "cannot write %s: %s", tunable, strerror(-report->error));
	}
}

static void on_change(struct supervisor *s, struct instance *instance, const struct bpftune_report *report)
{
	const struct bpftune_owner owner = { .tuner = report->tuner, .tunable = report->tunable };
	const struct bpftune_tunable *tunable = tunable_of(s, report);
	uint64_t cookie = instance->pub.netns_cookie;
	const struct ledger_entry *entry = tunable ? ledger_find(&s->ledger, cookie, tunable->name) : NULL;
	struct bpftune_report change = *report;
	bool taken = report->error == -EPERM && bpf_is_taken(&s->host, cookie, report->tuner);

	if (!entry || !entry->intended)
		return;
	memcpy(change.text, entry->intent.reason, sizeof(change.text)); /* as granted: a rollback's has none */
	ledger_outcome(&s->ledger, cookie, tunable->name, report->error, report->to);
	snprintf(change.to, sizeof(change.to), "%s", entry->intent.to); /* also if somebody has written over it */
	if (!report->error)
		log_change(s, instance, &change, tunable->name, entry->intent.scenario, "");
	else if (report->error == -ESTALE && is_foreign(s, instance, report, tunable->name))
		manual_found(s, instance, &owner, report->to);
	else if (report->error != -ESTALE && !taken)
		say_failed(s, instance, report, tunable->name);
	rollback_outcome(s, instance, report);
	/*
	 * The event that tells who took it was lost, or is on its way: then the value tells. Asked for after what a
	 * rollback may have ordered again, as a value that comes before its outcome is not heeded.
	 */
	if (taken)
		supervisor_order(s, instance, BPFTUNE_READ, &owner, sizeof(owner));
}

static void on_request(struct supervisor *s, struct instance *instance, const struct bpftune_report *report)
{
	struct instance *host = instance_by_id(&s->registry, INSTANCE_HOST);
	struct bpftune_event event = {
		.netns_cookie = host ? host->pub.netns_cookie : 0,
		.time_ns = report->event_ns,
		.tuner = report->tuner,
		.scenario = report->scenario,
		.asker = instance->pub.id,
	};

	memcpy(event.payload, report->text, sizeof(event.payload));
	if (report->tuner >= s->plugins.n || !*scenario_of(s, report))
		s->counters.unroutable++;
	else if (host && supervisor_tuner_state(s, host, report->tuner) == TUNER_ACTIVE) /* it may be the first to end */
		deliver(s, host, &event);
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

static void on_learnt(struct supervisor *s, struct instance *instance, const struct bpftune_report *report)
{
	struct learnt_key key = { .tuner = report->tuner };
	struct bpftune_verdict verdict;
	char text[sizeof(report->from) + sizeof(report->text) + 16];

	if (report->tuner >= s->plugins.n || !report->from[0]) {
		s->counters.unknown_reports++;
		return;
	}
	if (supervisor_tuner_state(s, instance, report->tuner) != TUNER_ACTIVE)
		return;
	log_escape(report->from, key.about, sizeof(key.about));
	memcpy(&verdict, report->to, sizeof(verdict));
	if (!learnt_put(s->options.dry_run ? NULL : &s->host, instance, &key, report->text,
			report->kind == BPFTUNE_VERDICT ? &verdict : NULL))
		return;
	snprintf(text, sizeof(text), "%s%s: %s", s->options.dry_run ? "would decide: " : "", key.about, report->text);
	streams_log(&s->streams, &(struct log_record){
		.instance = instance->pub.id,
		.severity = LOG_NOTICE,
		.container = instance->pub.name,
		.tuner = s->plugins.tuners[report->tuner]->name,
		.text = text,
	});
}

static void (*const handlers[])(struct supervisor *s, struct instance *instance, const struct bpftune_report *report) = {
	[BPFTUNE_READY] = on_ready,   [BPFTUNE_VALUE] = on_value, [BPFTUNE_INTENT] = on_intent,
	[BPFTUNE_CHANGE] = on_change, [BPFTUNE_WOULD] = on_would, [BPFTUNE_REQUEST] = on_request,
	[BPFTUNE_LOG] = on_log,	      [BPFTUNE_LEARNT] = on_learnt, [BPFTUNE_VERDICT] = on_learnt,
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
