// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/operator/status.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "config.h"
#include "ipc/log.h"

static json_t *optional(const char *text)
{
	return text ? json_string(text) : json_null();
}

/* JSON is UTF-8; a path may be any bytes. */
static json_t *path_json(const char *path)
{
	char escaped[4 * PATH_MAX];

	log_escape(path, escaped, sizeof(escaped));
	return json_string(escaped);
}

/* All runs are known of a program that an observer calls; of one with a link those that were timed. */
static json_t *hook_json(const struct operator *operator, const struct hook *hook)
{
	double up_s = (uv_now(operator->loop) - operator->started_ms) / 1000.0;
	json_t *json = json_pack("{s:s s:s s:b s:o s:i}", "program", hook->program, "attach", hook->attach, "attached",
				 !hook->error, "error", optional(bpf_hook_error(hook)), "refusals", 0);
	struct bpftune_runs runs;

	if (!json || hook->error)
		return json;
	if (hook->chain >= 0) {
		bpf_runs(&operator->kernel->host, hook->chain, hook->tuner, &runs);
		json_object_set_new(json, "runs", json_integer(runs.runs));
		json_object_set_new(json, "runs_per_s", json_real(up_s > 0 ? runs.runs / up_s : 0));
	} else {
		bpf_linked_runs(hook, &runs);
	}
	json_object_set_new(json, "timed", json_integer(runs.timed));
	json_object_set_new(json, "ns", json_integer(runs.ns));
	return json;
}

static json_t *hooks_json(const struct operator *operator, uint16_t tuner)
{
	json_t *hooks = json_array();

	for (size_t i = 0; i < operator->kernel->host.n_hooks; i++) {
		const struct hook *hook = &operator->kernel->host.hooks[i];

		if (hook->tuner == tuner || (tuner == BPFTUNE_FROM_WATCH && hook->tuner == BPFTUNE_FROM_OBSERVE))
			json_array_append_new(hooks, hook_json(operator, hook));
	}
	return hooks;
}

/* The name of what was refused is not known for sure: its file's is shown. A path may be any bytes. */
static json_t *tuner_json(const char *name, const char *summary, const char *path, enum plugin_state state, const char *why,
			  json_t *hooks)
{
	const char *file = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	char escaped[4 * NAME_MAX];

	if (!name) {
		log_escape(file, escaped, sizeof(escaped));
		name = escaped;
	}
	return json_pack("{s:s s:s s:o s:s s:o s:o}", "name", name, "summary", summary, "path", path_json(path), "state",
			 plugin_state_name(state), "why", optional(why), "hooks", hooks);
}

static json_t *tuners_json(const struct operator *operator)
{
	const struct plugins *plugins = &operator->kernel->plugins;
	json_t *tuners = json_array();

	for (size_t i = 0; i < plugins->n; i++)
		json_array_append_new(tuners, tuner_json(plugins->tuners[i]->name, plugins->tuners[i]->summary, plugins->paths[i],
							 plugins->states[i], plugins->whys[i], hooks_json(operator, i)));
	for (size_t i = 0; i < plugins->n_refused; i++)
		json_array_append_new(tuners, tuner_json(NULL, "", plugins->refused[i].path, PLUGIN_REFUSED,
							 plugins->refused[i].why, json_array()));
	return tuners;
}

static json_t *scenarios_json(const struct ledger_entry *entry)
{
	json_t *scenarios = json_object();

	for (size_t i = 0; i < LEDGER_SCENARIOS_MAX && entry->history->scenarios[i].name[0]; i++)
		json_object_set_new(scenarios, entry->history->scenarios[i].name, json_integer(entry->history->scenarios[i].changes));
	return scenarios;
}

static json_t *instance_tuners_json(const struct operator *operator, const struct instance *instance, bool brief)
{
	const struct plugins *plugins = &operator->kernel->plugins;
	json_t *tuners = json_array();

	for (size_t i = 0; i < plugins->n; i++) {
		enum tuner_state state = changes_tuner_state(operator->changes, instance, i);
		const char *why = changes_tuner_why(operator->changes, instance, i);

		if (!plugins_is_removed(plugins, i) && !(brief && state == TUNER_ACTIVE && !why))
			json_array_append_new(tuners, json_pack("{s:s s:s s:o}", "name", plugins->tuners[i]->name, "state",
								tuner_state_name(state), "why", optional(why)));
	}
	return tuners;
}

static json_t *tunables_json(const struct operator *operator, const struct instance *instance, bool brief)
{
	json_t *tunables = json_array();

	if (instance->view.shares_netns)
		return tunables; /* they are the host's */
	if (brief && !ledger_has_changes(&operator->changes->ledger, instance->view.netns_cookie))
		return tunables;
	for (size_t i = 0; i < operator->kernel->plugins.n; i++) {
		const struct bpftune_tuner *tuner = operator->kernel->plugins.tuners[i];

		for (size_t j = 0; j < tuner->n_tunables; j++) {
			const struct ledger_entry *entry =
				ledger_find(&operator->changes->ledger, instance->view.netns_cookie, tuner->tunables[j].name);
			const struct ledger_row *last = entry ? ledger_last(entry) : NULL;

			if (!entry || !plugins_is_owner(&operator->kernel->plugins, i, j) || (brief && !ledger_changes(entry)))
				continue;
			json_array_append_new(tunables,
				json_pack("{s:s s:s s:s s:s s:I s:o s:o}", "name", tuner->tunables[j].name, "tuner",
					  tuner->name, "initial", entry->initial, "current", entry->current,
					  "changes", (json_int_t)ledger_changes(entry), "last_scenario",
					  optional(last ? last->scenario : NULL), "scenarios", scenarios_json(entry)));
		}
	}
	return tunables;
}

json_t *status_instance_json(const struct operator *operator, const struct instance *instance, bool brief)
{
	return json_pack("{s:I s:s s:o s:o s:o s:o s:o s:o s:{s:I s:I s:b} s:{s:o s:I} s:{s:o s:s s:i s:I} s:o s:o s:o}",
			 "id", (json_int_t)instance->view.id, "name", instance->view.name,
			 "container_id", optional(instance->container_id), "runtime", optional(instance->runtime),
			 "uid", instance->uid ? json_integer(strtoll(instance->uid, NULL, 10)) : json_null(),
			 "owner", *owner_name(instance) ? path_json(owner_name(instance)) : json_null(),
			 "pod_uid", optional(instance->pod_uid), "pod_qos", optional(instance->pod_qos),
			 "netns", "cookie", (json_int_t)instance->view.netns_cookie,
			 "inode", (json_int_t)instance->view.netns_inode, "shared", instance->view.shares_netns,
			 "cgroup", "path", path_json(instance->view.cgroup_path), "id", (json_int_t)instance->view.cgroup_id,
			 "worker", "pid", instance->worker_pid ? json_integer(instance->worker_pid) : json_null(),
			 "state", worker_state(instance), "restarts", (int)worker_restarts(instance), "events",
			 (json_int_t)worker_events(instance),
			 "tuners", instance_tuners_json(operator, instance, brief), "tunables",
			 tunables_json(operator, instance, brief),
			 "learnt", changes_learnt(operator->changes, instance));
}

json_t *status_tuners_json(const struct operator *operator)
{
	return json_pack("{s:{s:s s:o} s:o}", "watch", "cgroup2", operator->kernel->cgroupfs.mount, "hooks",
			 hooks_json(operator, BPFTUNE_FROM_WATCH), "tuners", tuners_json(operator));
}

static json_t *events_json(const struct operator *operator)
{
	const struct workers_counters *workers = &operator->workers->counters;
	const struct changes_counters *changes = &operator->changes->counters;
	const struct bpftune_host *host = &operator->kernel->host;

	return json_pack("{s:I s:I s:I s:I s:I s:I s:I s:I s:I}", "received", (json_int_t)operator->events_received, "routed",
			 (json_int_t)workers->routed, "coalesced", (json_int_t)workers->coalesced, "lost",
			 (json_int_t)workers->lost + (json_int_t)bpf_lost(host), "unroutable",
			 (json_int_t)workers->unroutable + (json_int_t)changes->unroutable, "unserved",
			 (json_int_t)workers->unserved, "unsighted", (json_int_t)bpf_unsighted(host), "unknown_reports",
			 (json_int_t)changes->unknown_reports,
			 "told", (json_int_t)operator->streams.told);
}

json_t *status_json(const struct operator *operator)
{
	json_t *status = status_tuners_json(operator);
	struct utsname kernel;

	uname(&kernel);
	json_object_update_new(status,
			       json_pack("{s:s s:s s:f s:b s:i s:o}", "version", PACKAGE_VERSION, "kernel", kernel.release,
					 "uptime_s", (uv_now(operator->loop) - operator->started_ms) / 1000.0, "dry_run",
					 operator->dry_run, "pid", (int)getpid(), "events", events_json(operator)));
	return status;
}
