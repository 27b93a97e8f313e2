// SPDX-License-Identifier: GPL-2.0-or-later
/* What a worker reports: to the ledger, to the log, to whoever waits for it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "ipc/cleanup.h"
#include "supervisor/changes/account.h"
#include "supervisor/changes/learnt.h"
#include "supervisor/changes/manual.h"
#include "supervisor/changes/memory.h"
#include "supervisor/changes/rollback.h"
#include "supervisor/changes/state.h"

/* The tunable that the report is about; NULL: none that exists, or one that a later tuner owns. */
static const struct bpftune_tunable *tunable_of(const struct changes *changes, const struct bpftune_report *report)
{
	if (report->tuner >= changes->kernel->plugins.n || report->tunable >= changes->kernel->plugins.tuners[report->tuner]->n_tunables)
		return NULL;
	if (!plugins_is_owner(&changes->kernel->plugins, report->tuner, report->tunable))
		return NULL;
	return &changes->kernel->plugins.tuners[report->tuner]->tunables[report->tunable];
}

static const char *scenario_of(const struct changes *changes, const struct bpftune_report *report)
{
	const struct bpftune_tuner *tuner = changes->kernel->plugins.tuners[report->tuner];

	return report->scenario < tuner->n_scenarios ? tuner->scenarios[report->scenario].name : "";
}

static bool is_foreign(struct changes *changes, struct instance *instance, const struct bpftune_report *report,
		       const char *tunable)
{
	const struct bpftune_owner owner = { .tuner = report->tuner, .tunable = report->tunable };
	uint64_t cookie = instance->view.netns_cookie;

	if (manual_is_base(changes, instance, &owner, report->to)) {
		ledger_renew(&changes->ledger, cookie, tunable);
		instance_log(changes->instances, instance, LOG_NOTICE,
			     "somebody else set %s to %s, which is higher than it was: tuner %s goes on from there", tunable,
			     report->to, changes->kernel->plugins.tuners[report->tuner]->name);
	}
	if (bpf_is_unreported(&changes->kernel->host, cookie, report->tuner))
		ledger_doubt(&changes->ledger, cookie, tunable);
	return ledger_value(&changes->ledger, cookie, tunable, report->to) == LEDGER_FOREIGN;
}

static void on_value(struct changes *changes, struct instance *instance, const struct bpftune_report *report)
{
	const struct bpftune_owner owner = { .tuner = report->tuner, .tunable = report->tunable };
	const struct bpftune_tunable *tunable = tunable_of(changes, report);
	const struct ledger_entry *entry;
	bool is_first;

	if (!tunable || instance->view.shares_netns)
		return;
	entry = ledger_find(&changes->ledger, instance->view.netns_cookie, tunable->name);
	is_first = !entry || !entry->known;
	if (entry && entry->intended && !worker_is_starting(instance))
		return; /* its outcome is what comes next */
	if (report->error) {
		ledger_outcome(&changes->ledger, instance->view.netns_cookie, tunable->name, report->error, NULL);
		if (report->error != -ENOENT || !tunable->may_be_absent)
			instance_log(changes->instances, instance, LOG_WARNING, "cannot read %s: %s", tunable->name, strerror(-report->error));
	}
	else if (is_foreign(changes, instance, report, tunable->name) ||
		 (is_first && manual_is_explicit(changes, instance, &owner, report->to)))
		manual_found(changes, instance, &owner, report->to);
	else if (changes_recorded_state(changes, instance, report->tuner) != TUNER_MANUAL)
		bpf_untake(&changes->kernel->host, instance->view.netns_cookie, report->tuner);
	if (!report->error && report->scenario == BPFTUNE_LOOK_AGAIN)
		manual_looked_again(changes, instance, report->tuner, report->event_ns);
}

static void send_answer(struct changes *changes, struct instance *instance, const struct bpftune_report *report, bool granted)
{
	const struct bpftune_owner owner = { .tuner = report->tuner, .tunable = report->tunable };

	workers_order(changes->workers, instance, granted ? BPFTUNE_GRANT : BPFTUNE_REFUSE, &owner, sizeof(owner));
}

static void on_intent(struct changes *changes, struct instance *instance, const struct bpftune_report *report)
{
	const struct bpftune_owner owner = { .tuner = report->tuner, .tunable = report->tunable };
	const struct bpftune_tunable *tunable = tunable_of(changes, report);
	bool its_own = tunable && !instance->view.shares_netns &&
		       (tunable->scope == BPFTUNE_SCOPE_NETNS || instance->view.id == INSTANCE_HOST);
	uint64_t cookie = instance->view.netns_cookie;
	const struct ledger_entry *entry = its_own ? ledger_find(&changes->ledger, cookie, tunable->name) : NULL;
	/* What is resumed begins with what is there: that is read first. */
	bool allowed = its_own && !changes->stopping && *scenario_of(changes, report) && !(entry && entry->renew) &&
		       changes_tuner_state(changes, instance, report->tuner) == TUNER_ACTIVE && account_change(changes, instance);

	if (entry && entry->renew)
		workers_order(changes->workers, instance, BPFTUNE_READ, &owner, sizeof(owner)); /* it may have failed */
	send_answer(changes, instance, report, allowed && !ledger_intent(&changes->ledger, &(struct ledger_change){
		.netns_cookie = cookie,
		.container = instance->view.name,
		.container_id = instance->container_id,
		.tuner = changes->kernel->plugins.tuners[report->tuner]->name,
		.tunable = tunable->name,
		.scenario = scenario_of(changes, report),
		.from = report->from,
		.to = report->to,
		.reason = report->text,
	}));
}

/* In the instance's stream; and in the stream of the one that asked for it, whose name the text then ends with. */
static void log_for_both(struct changes *changes, const struct bpftune_report *report, const struct log_record *about,
			 const char *prefix)
{
	struct log_record record = *about;
	const struct instance *asker = report->asker ? instance_by_id(changes->instances, report->asker) : NULL;
	char text[BPFTUNE_TEXT_BYTES + 300];

	snprintf(text, sizeof(text), "%s%s%s%.256s", prefix, report->text, asker ? "; asked for by " : "",
		 asker ? asker->view.name : "");
	record.text = text;
	record.caused_by = asker ? asker->view.id : 0;
	changes_log(changes, &record);
	if (!asker)
		return;
	record.instance = asker->view.id;
	record.is_copy = true;
	changes_log(changes, &record);
}

static void log_change(struct changes *changes, const struct instance *instance, const struct bpftune_report *report,
		       const char *tunable, const char *scenario, const char *prefix)
{
	struct log_record record = {
		.instance = instance->view.id,
		.severity = LOG_NOTICE,
		.container = instance->view.name,
		.tuner = changes->kernel->plugins.tuners[report->tuner]->name,
		.scenario = scenario,
		.tunable = tunable,
		.from = report->from,
		.to = report->to,
	};

	log_for_both(changes, report, &record, prefix);
}

static void on_would(struct changes *changes, struct instance *instance, const struct bpftune_report *report)
{
	const struct bpftune_tunable *tunable = tunable_of(changes, report);

	if (tunable)
		log_change(changes, instance, report, tunable->name, scenario_of(changes, report), "would change: ");
}

static void say_failed(struct changes *changes, const struct instance *instance, const struct bpftune_report *report,
		       const char *tunable)
{
	switch (-report->error) {
	case EROFS:
		instance_log(changes->instances, instance, LOG_ERR, "cannot write %s: /proc/sys is read-only here (mount it read-write)", tunable);
		break;
	case ENOENT:
		instance_log(changes->instances, instance, LOG_ERR, "cannot write %s: this namespace has no such tunable", tunable);
		break;
	case EINVAL:
		instance_log(changes->instances, instance, LOG_ERR, "cannot write %s: the kernel does not take %s", tunable, report->to);
		break;
	default:
		instance_log(changes->instances, instance, LOG_ERR, "cannot write %s: %s", tunable, strerror(-report->error));
	}
}

static void on_change(struct changes *changes, struct instance *instance, const struct bpftune_report *report)
{
	const struct bpftune_owner owner = { .tuner = report->tuner, .tunable = report->tunable };
	const struct bpftune_tunable *tunable = tunable_of(changes, report);
	uint64_t cookie = instance->view.netns_cookie;
	const struct ledger_entry *entry = tunable ? ledger_find(&changes->ledger, cookie, tunable->name) : NULL;
	struct bpftune_report change = *report;
	bool taken = report->error == -EPERM && bpf_is_taken(&changes->kernel->host, cookie, report->tuner);

	if (!entry || !entry->intended)
		return;
	memcpy(change.text, entry->history->intent.reason, sizeof(change.text)); /* as granted: a rollback's has none */
	ledger_outcome(&changes->ledger, cookie, tunable->name, report->error, report->to);
	snprintf(change.to, sizeof(change.to), "%s", entry->history->intent.to); /* also if somebody has written over it */
	if (!report->error)
		log_change(changes, instance, &change, tunable->name, entry->history->intent.scenario, "");
	else if (report->error == -ESTALE && is_foreign(changes, instance, report, tunable->name))
		manual_found(changes, instance, &owner, report->to);
	else if (report->error != -ESTALE && !taken)
		say_failed(changes, instance, report, tunable->name);
	rollback_outcome(changes, instance, report);
	/*
	 * The event that tells who took it was lost, or is on its way: then the value tells. Asked for after what a
	 * rollback may have ordered again, as a value that comes before its outcome is not heeded.
	 */
	if (taken)
		workers_order(changes->workers, instance, BPFTUNE_READ, &owner, sizeof(owner));
}

/* Limits of a namespace are the host's for the containers that share it, and for no others. */
static unsigned int n_askers_of(const struct changes *changes, uint16_t number)
{
	const struct bpftune_tuner *tuner = changes->kernel->plugins.tuners[number];

	for (size_t i = 0; i < tuner->n_tunables; i++)
		if (tuner->tunables[i].scope == BPFTUNE_SCOPE_HOST)
			return workers_n_containers(changes->workers);
	return changes->kernel->host.n_sharers;
}

static void on_request(struct changes *changes, struct instance *instance, const struct bpftune_report *report)
{
	struct instance *host = instance_host(changes->instances);
	struct bpftune_event event = {
		.netns_cookie = host ? host->view.netns_cookie : 0,
		.time_ns = report->event_ns,
		.tuner = report->tuner,
		.scenario = report->scenario,
		.asker = instance->view.id,
	};
	struct instance_state *state = instance_state_of(instance);

	if (report->tuner < changes->kernel->plugins.n && changes_tuner_state(changes, instance, report->tuner) == TUNER_OFF)
		return;
	memcpy(event.payload, report->text, sizeof(event.payload));
	if (report->tuner >= changes->kernel->plugins.n || !*scenario_of(changes, report))
		changes->counters.unroutable++;
	else if (host && state && changes_tuner_state(changes, host, report->tuner) == TUNER_ACTIVE) { /* it may be the first to end */
		state->has_asked = true;
		event.n_askers = n_askers_of(changes, report->tuner);
		workers_deliver(changes->workers, host, &event);
	}
}

static void on_log(struct changes *changes, struct instance *instance, const struct bpftune_report *report)
{
	const struct bpftune_tuner *tuner = report->tuner < changes->kernel->plugins.n ? changes->kernel->plugins.tuners[report->tuner] : NULL;

	log_for_both(changes, report, &(struct log_record){
		.instance = instance->view.id,
		.severity = report->severity >= LOG_EMERG && report->severity <= LOG_DEBUG ? report->severity : LOG_NOTICE,
		.container = instance->view.name,
		.tuner = tuner ? tuner->name : NULL,
	}, "");
}

static void on_learnt(struct changes *changes, struct instance *instance, const struct bpftune_report *report)
{
	struct learnt_key key = { .tuner = report->tuner };
	struct bpftune_verdict verdict;
	char text[sizeof(report->from) + sizeof(report->text) + 16];

	if (report->tuner >= changes->kernel->plugins.n || !report->from[0]) {
		changes->counters.unknown_reports++;
		return;
	}
	if (changes_tuner_state(changes, instance, report->tuner) != TUNER_ACTIVE)
		return;
	log_escape(report->from, key.about, sizeof(key.about));
	if (!report->text[0]) {
		learnt_drop(changes, instance, &key);
		return;
	}
	memcpy(&verdict, report->to, sizeof(verdict));
	if (!learnt_put(changes, instance, &key, report->text, report->kind == BPFTUNE_VERDICT ? &verdict : NULL))
		return;
	snprintf(text, sizeof(text), "%s%s: %s", changes->dry_run ? "would decide: " : "", key.about, report->text);
	changes_log(changes, &(struct log_record){
		.instance = instance->view.id,
		.severity = LOG_NOTICE,
		.container = instance->view.name,
		.tuner = changes->kernel->plugins.tuners[report->tuner]->name,
		.text = text,
	});
}

static void on_memory(struct changes *changes, struct instance *instance, const struct bpftune_report *report)
{
	int err = memory_take_part(changes, instance, report);

	if (err == -EINVAL)
		changes->counters.unknown_reports++;
	else if (err)
		instance_log(changes->instances, instance, LOG_WARNING, "cannot keep what %s knows for its next worker: %s",
			     changes->kernel->plugins.tuners[report->tuner]->name, strerror(-err));
}

static void (*const handlers[])(struct changes *changes, struct instance *instance, const struct bpftune_report *report) = {
	[BPFTUNE_VALUE] = on_value,   [BPFTUNE_INTENT] = on_intent,
	[BPFTUNE_CHANGE] = on_change, [BPFTUNE_WOULD] = on_would, [BPFTUNE_REQUEST] = on_request,
	[BPFTUNE_LOG] = on_log,	      [BPFTUNE_LEARNT] = on_learnt, [BPFTUNE_VERDICT] = on_learnt,
	[BPFTUNE_MEMORY] = on_memory,
};

static bool is_utf8(const char *text)
{
	json_t *json = json_string(text);

	json_decref(json);
	return json != NULL;
}

/*
 * The ledger's file and `status` are JSON: a value that is no text could be in neither. And it stands between quotes in
 * the commands that administrators are shown: one with a quote, or a line's end, could be a command of its own. The
 * kernel's values are text without either.
 */
static bool is_value(const char *text)
{
	return is_utf8(text) && !strpbrk(text, "'\n\r");
}

static bool has_odd_value(const struct bpftune_report *report)
{
	bool has_values = report->kind == BPFTUNE_VALUE || report->kind == BPFTUNE_INTENT ||
			  report->kind == BPFTUNE_CHANGE || report->kind == BPFTUNE_WOULD;

	return has_values && !(is_value(report->from) && is_value(report->to));
}

static void refuse(struct changes *changes, struct instance *instance, const struct bpftune_report *report)
{
	changes->counters.unknown_reports++;
	if (report->kind == BPFTUNE_INTENT)
		send_answer(changes, instance, report, false);
}

void changes_report(struct changes *changes, struct instance *instance, const struct bpftune_report *report)
{
	struct bpftune_report copy = *report;

	copy.from[sizeof(copy.from) - 1] = copy.to[sizeof(copy.to) - 1] = copy.text[sizeof(copy.text) - 1] = '\0';
	if (copy.kind >= ARRAY_SIZE(handlers) || !handlers[copy.kind])
		changes->counters.unknown_reports++;
	else if (has_odd_value(&copy))
		refuse(changes, instance, &copy);
	else
		handlers[copy.kind](changes, instance, &copy);
}
