// SPDX-License-Identifier: GPL-2.0-or-later
/* The metrics of what a supervisor answers. */
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "ipc/cleanup.h"
#include "supervisor/cli/ask.h"
#include "supervisor/cli/figure.h"
#include "supervisor/cli/metrics.h"

#define HOST_ID 1
#define ROOT "root of the host" /* an owner who may have any number */

static double double_of(json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

static void count(json_t *counts, const char *key)
{
	json_object_set_new(counts, key, json_integer(number_of(counts, key) + 1));
}

/* --- the supervisor ----------------------------------------------------------------------------- */

static void add_events(struct metrics *metrics, json_t *events)
{
	static const struct {
		const char *key;
		enum metric metric;
	} counters[] = {
		{ "received", METRIC_EVENTS_RECEIVED },
		{ "routed", METRIC_EVENTS_ROUTED },
		{ "coalesced", METRIC_EVENTS_COALESCED },
		{ "lost", METRIC_EVENTS_LOST },
		{ "unroutable", METRIC_EVENTS_UNROUTABLE },
		{ "unserved", METRIC_EVENTS_UNSERVED },
		{ "unsighted", METRIC_UNSIGHTED },
		{ "unknown_reports", METRIC_UNKNOWN_REPORTS },
		{ "told", METRIC_LOG_RECORDS },
	};

	for (size_t i = 0; i < ARRAY_SIZE(counters); i++)
		metrics_put(metrics, counters[i].metric, number_of(events, counters[i].key), NULL);
}

static void add_hooks(struct metrics *metrics, const char *tuner, json_t *hooks)
{
	json_t *hook;
	size_t i;

	json_array_foreach (hooks, i, hook) {
		const char *program = text_of(hook, "program"), *attach = text_of(hook, "attach");

		metrics_put(metrics, METRIC_BPF_ATTACHED, json_is_true(json_object_get(hook, "attached")),
			    LABELS("tuner", tuner, "program", program, "attach", attach));
		if (json_object_get(hook, "runs")) /* an observer calls it */
			metrics_put(metrics, METRIC_BPF_RUNS, number_of(hook, "runs"),
				    LABELS("tuner", tuner, "program", program, "attach", attach));
		if (!json_object_get(hook, "timed"))
			continue; /* it is not attached */
		metrics_put(metrics, METRIC_BPF_TIMED_RUNS, number_of(hook, "timed"),
			    LABELS("tuner", tuner, "program", program, "attach", attach));
		metrics_put(metrics, METRIC_BPF_RUN_TIME, number_of(hook, "ns") / 1e9,
			    LABELS("tuner", tuner, "program", program, "attach", attach));
	}
}

static void add_tuners(struct metrics *metrics, json_t *tuners)
{
	json_t *states = json_object(), *tuner, *number;
	const char *state;
	size_t i;

	json_array_foreach (tuners, i, tuner) {
		count(states, text_of(tuner, "state"));
		if (!is_in_service(tuner))
			continue;
		add_hooks(metrics, text_of(tuner, "name"), json_object_get(tuner, "hooks"));
		json_object_set_new(metrics->tuner_states, text_of(tuner, "name"), json_object());
	}
	json_object_foreach (states, state, number)
		metrics_put(metrics, METRIC_TUNERS, json_integer_value(number), LABELS("state", state));
	json_decref(states);
}

void metrics_add_status(struct metrics *metrics, json_t *status)
{
	metrics_put(metrics, METRIC_UP, 1, NULL);
	metrics_put(metrics, METRIC_BUILD, 1,
		    LABELS("version", text_of(status, "version"), "kernel", text_of(status, "kernel")));
	metrics_put(metrics, METRIC_UPTIME, double_of(status, "uptime_s"), NULL);
	metrics_put(metrics, METRIC_DRY_RUN, json_is_true(json_object_get(status, "dry_run")), NULL);
	add_events(metrics, json_object_get(status, "events"));
	add_hooks(metrics, "watch", json_object_get(json_object_get(status, "watch"), "hooks"));
	add_tuners(metrics, json_object_get(status, "tuners"));
}

/* --- instances ---------------------------------------------------------------------------------- */

/* A name or an owner, and how many have it. */
struct seen {
	char *text;
	unsigned int n;
	UT_hash_handle hh;
};

/* How many have it, with this one; 0: no memory. */
static unsigned int see(struct seen **table, const char *text)
{
	struct seen *seen;

	HASH_FIND_STR(*table, text, seen);
	if (!seen) {
		seen = calloc(1, sizeof(*seen));
		if (!seen)
			return 0;
		seen->text = strdup(text);
		if (!seen->text) {
			free(seen);
			return 0;
		}
		HASH_ADD_KEYPTR(hh, *table, seen->text, strlen(seen->text), seen);
	}
	return ++seen->n;
}

static void forget(struct seen **table)
{
	struct seen *seen, *next;

	HASH_ITER (hh, *table, seen, next) {
		HASH_DEL(*table, seen);
		free(seen->text);
		free(seen);
	}
}

void metrics_forget_seen(struct metrics *metrics)
{
	forget(&metrics->names);
	forget(&metrics->owners);
}

/* A label's value is cut, so two names may be one there; and a name may go to another instance while they are listed.
 */
static bool is_shown(struct metrics *metrics, json_t *instance)
{
	const char *owner = text_of(instance, "owner");
	char name[METRICS_LABEL_BYTES - 4]; /* the rest of it may be cut */

	snprintf(name, sizeof(name), "%s", text_of(instance, "name"));
	if (see(&metrics->names, name) != 1)
		return false;
	if (number_of(instance, "id") == HOST_ID)
		return true;
	if (metrics->n_shown >= METRICS_CONTAINERS_MAX)
		return false;
	if (strcmp(owner, ROOT) != 0 && see(&metrics->owners, owner) - 1 >= METRICS_OWNER_MAX)
		return false;
	metrics->n_shown++;
	return true;
}

/* A brief answer has no tuner that is active with nothing to say. */
static void count_states(struct metrics *metrics, json_t *instance)
{
	json_t *tuner;
	size_t i;

	count(metrics->worker_states, text_of(json_object_get(instance, "worker"), "state"));
	json_array_foreach (json_object_get(instance, "tuners"), i, tuner)
		if (strcmp(text_of(tuner, "state"), "active") != 0)
			count(json_object_get(metrics->tuner_states, text_of(tuner, "name")), text_of(tuner, "state"));
}

static void add_states(struct metrics *metrics, const char *tuner, json_t *states)
{
	json_int_t active = metrics->n_instances;
	const char *state;
	json_t *number;

	json_object_foreach (states, state, number) {
		metrics_put(metrics, METRIC_TUNER_INSTANCES, json_integer_value(number),
			    LABELS("tuner", tuner, "state", state));
		active -= json_integer_value(number);
	}
	metrics_put(metrics, METRIC_TUNER_INSTANCES, active, LABELS("tuner", tuner, "state", "active"));
}

static void add_values(struct metrics *metrics, enum metric metric, const char *name, const char *tunable,
		       const char *value)
{
	char index[16];
	double number;

	for (unsigned int i = 0; i < 16 && figure_of_value(value, i, &number); i++) {
		snprintf(index, sizeof(index), "%u", i);
		metrics_put(metrics, metric, number, LABELS("container", name, "tunable", tunable, "index", index));
	}
}

static void add_tunables(struct metrics *metrics, const char *name, json_t *tunables)
{
	json_t *tunable, *changes;
	const char *scenario;
	size_t i;

	json_array_foreach (tunables, i, tunable) {
		const char *key = text_of(tunable, "name"), *tuner = text_of(tunable, "tuner");

		if (!number_of(tunable, "changes"))
			continue;
		json_object_foreach (json_object_get(tunable, "scenarios"), scenario, changes)
			metrics_put(metrics, METRIC_CHANGES, json_integer_value(changes),
				    LABELS("container", name, "tuner", tuner, "tunable", key, "scenario", scenario));
		add_values(metrics, METRIC_VALUE, name, key, text_of(tunable, "current"));
		add_values(metrics, METRIC_INITIAL_VALUE, name, key, text_of(tunable, "initial"));
	}
}

static void add_manual(struct metrics *metrics, const char *name, json_t *tuners)
{
	json_t *tuner;
	size_t i;

	json_array_foreach (tuners, i, tuner)
		if (!strcmp(text_of(tuner, "state"), "manual"))
			metrics_put(metrics, METRIC_MANUAL, 1,
				    LABELS("container", name, "tuner", text_of(tuner, "name")));
}

static void add_decisions(struct metrics *metrics, const char *name, json_t *learnt)
{
	json_t *by_tuner = json_object(), *item, *number;
	const char *tuner;
	size_t i;

	json_array_foreach (learnt, i, item)
		if (json_is_true(json_object_get(item, "in_effect")))
			count(by_tuner, text_of(item, "tuner"));
	json_object_foreach (by_tuner, tuner, number)
		metrics_put(metrics, METRIC_DECISIONS, json_integer_value(number),
			    LABELS("container", name, "tuner", tuner));
	json_decref(by_tuner);
}

bool metrics_add_instance(struct metrics *metrics, json_t *instance)
{
	const char *name = text_of(instance, "name");
	json_t *worker = json_object_get(instance, "worker");
	char id[32];

	metrics->n_instances++;
	count_states(metrics, instance);
	if (!is_shown(metrics, instance)) {
		metrics->n_left_out++;
		return false;
	}
	snprintf(id, sizeof(id), "%lld", (long long)number_of(instance, "id"));
	metrics_put(metrics, METRIC_CONTAINER, 1,
		    LABELS("container", name, "id", id, "container_id", text_of(instance, "container_id"), "runtime",
			   text_of(instance, "runtime"), "pod_uid", text_of(instance, "pod_uid")));
	metrics_put(metrics, METRIC_WORKER_READY, !strcmp(text_of(worker, "state"), "ready"),
		    LABELS("container", name));
	metrics_put(metrics, METRIC_WORKER_RESTARTS, number_of(worker, "restarts"), LABELS("container", name));
	add_tunables(metrics, name, json_object_get(instance, "tunables"));
	add_manual(metrics, name, json_object_get(instance, "tuners"));
	add_decisions(metrics, name, json_object_get(instance, "learnt"));
	return true;
}

void metrics_add_totals(struct metrics *metrics)
{
	json_t *states, *number;
	const char *state, *tuner;

	metrics_put(metrics, METRIC_INSTANCES, metrics->n_instances, NULL);
	metrics_put(metrics, METRIC_LEFT_OUT, metrics->n_left_out, NULL);
	json_object_foreach (metrics->worker_states, state, number)
		metrics_put(metrics, METRIC_WORKERS, json_integer_value(number), LABELS("state", state));
	json_object_foreach (metrics->tuner_states, tuner, states)
		add_states(metrics, tuner, states);
}

char *metrics_of_limits(json_t *instance)
{
	const char *name = text_of(instance, "name");
	char *text = NULL;
	size_t size = 0, i;
	FILE *out = open_memstream(&text, &size);
	json_t *limit;

	if (!out)
		return NULL;
	json_array_foreach (json_object_get(instance, "limits_met"), i, limit)
		if (number_of(limit, "count") && strcmp(text_of(limit, "since"), "now") != 0)
			metrics_print(out, METRIC_LIMITS_MET, number_of(limit, "count"),
				      LABELS("container", name, "limit", text_of(limit, "name"), "tuner",
					     text_of(limit, "tuner")));
	if (fclose(out) == EOF) {
		free(text);
		return NULL;
	}
	return text;
}
