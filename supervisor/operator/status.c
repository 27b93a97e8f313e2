// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/operator/status.h"

#include <sys/utsname.h>

#include "config.h"
#include "supervisor/kernel/bpf_maps.h"
#include "supervisor/instances/cgroup.h"
#include "supervisor/changes/learnt.h"
#include "supervisor/supervisor.h"

static json_t *optional(const char *text)
{
	return text ? json_string(text) : json_null();
}

static json_t *hooks_json(const struct supervisor *s, uint16_t tuner)
{
	json_t *hooks = json_array();

	for (size_t i = 0; i < s->host.n_hooks; i++) {
		const struct hook *hook = &s->host.hooks[i];

		if (hook->tuner == tuner)
			json_array_append_new(hooks, json_pack("{s:s s:s s:b s:o s:i}", "program", hook->program,
							       "attach", hook->attach, "attached", !hook->error, "error",
							       optional(bpf_hook_error(hook)), "refusals", (int)hook->refusals));
	}
	return hooks;
}

static json_t *tuners_json(const struct supervisor *s)
{
	json_t *tuners = json_array();

	for (size_t i = 0; i < s->plugins.n; i++)
		json_array_append_new(tuners, json_pack("{s:s s:s s:s s:o}", "name", s->plugins.tuners[i]->name,
							"summary", s->plugins.tuners[i]->summary, "path",
							s->plugins.paths[i], "hooks", hooks_json(s, i)));
	return tuners;
}

static json_t *why_json(const struct supervisor *s, const struct instance *instance, uint16_t tuner)
{
	const struct ledger_state *state =
		ledger_get_state(&s->ledger, instance->pub.netns_cookie, s->plugins.tuners[tuner]->name);

	return state && state->why[0] ? json_string(state->why) : json_null();
}

static json_t *scenarios_json(const struct ledger_entry *entry)
{
	json_t *scenarios = json_object();

	for (size_t i = 0; i < LEDGER_SCENARIOS_MAX && entry->scenarios[i].name[0]; i++)
		json_object_set_new(scenarios, entry->scenarios[i].name, json_integer(entry->scenarios[i].changes));
	return scenarios;
}

static json_t *instance_tuners_json(const struct supervisor *s, const struct instance *instance)
{
	json_t *tuners = json_array();

	for (size_t i = 0; i < s->plugins.n; i++)
		json_array_append_new(tuners, json_pack("{s:s s:s s:o}", "name", s->plugins.tuners[i]->name, "state",
							tuner_state_name(supervisor_tuner_state(s, instance, i)),
							"why", why_json(s, instance, i)));
	return tuners;
}

static json_t *tunables_json(const struct supervisor *s, const struct instance *instance)
{
	json_t *tunables = json_array();

	if (instance->pub.shares_netns)
		return tunables; /* they are the host's */
	for (size_t i = 0; i < s->plugins.n; i++) {
		const struct bpftune_tuner *tuner = s->plugins.tuners[i];

		for (size_t j = 0; j < tuner->n_tunables; j++) {
			const struct ledger_entry *entry =
				ledger_find(&s->ledger, instance->pub.netns_cookie, tuner->tunables[j].name);
			const struct ledger_row *last = entry ? ledger_last(entry) : NULL;

			if (!entry)
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

static json_t *learnt_json(const struct supervisor *s, const struct instance *instance)
{
	json_t *learnt = json_array();

	for (const struct learnt *row = instance->learnt; row; row = row->hh.next)
		json_array_append_new(learnt, json_pack("{s:s s:s s:s}", "tuner", s->plugins.tuners[row->key.tuner]->name,
							"about", row->key.about, "text", row->text));
	return learnt;
}

/* JSON is UTF-8; a cgroup's name may be any bytes. */
static json_t *path_json(const char *path)
{
	char escaped[4 * CGROUP_PATH_BYTES];

	log_escape(path, escaped, sizeof(escaped));
	return json_string(escaped);
}

static json_t *instance_json(const struct supervisor *s, const struct instance *instance)
{
	const struct child *child = &instance->child;

	return json_pack("{s:I s:s s:o s:o s:o s:o s:{s:I s:I s:b} s:{s:o s:I} s:{s:o s:s s:i} s:o s:o s:o}",
			 "id", (json_int_t)instance->pub.id, "name", instance->pub.name,
			 "container_id", optional(instance->container_id), "runtime", optional(instance->runtime),
			 "pod_uid", optional(instance->pod_uid), "pod_qos", optional(instance->pod_qos),
			 "netns", "cookie", (json_int_t)instance->pub.netns_cookie,
			 "inode", (json_int_t)instance->pub.netns_inode, "shared", instance->pub.shares_netns,
			 "cgroup", "path", path_json(instance->pub.cgroup_path), "id", (json_int_t)instance->pub.cgroup_id,
			 "worker", "pid", child->pid ? json_integer(child->pid) : json_null(),
			 "state", child_state_name(child->state), "restarts", (int)child->restarts,
			 "tuners", instance_tuners_json(s, instance), "tunables", tunables_json(s, instance),
			 "learnt", learnt_json(s, instance));
}

json_t *status_json(const struct supervisor *s, const struct instance *only)
{
	const struct counters *counters = &s->counters;
	json_t *instances = json_array();
	const struct instance *instance;
	struct utsname kernel;

	uname(&kernel);
	for (instance = s->registry.by_id; instance; instance = instance->by_id.next)
		if (only ? instance == only : !instance_is_claim(instance))
			json_array_append_new(instances, instance_json(s, instance));
	return json_pack("{s:s s:s s:f s:b s:i s:{s:I s:I s:I s:I s:I s:I s:I s:I} s:{s:s s:o} s:o s:o}",
			 "version", PACKAGE_VERSION, "kernel", kernel.release,
			 "uptime_s", (uv_now(&s->loop) - s->started_ms) / 1000.0, "dry_run", s->options.dry_run,
			 "pid", (int)getpid(), "events", "received", (json_int_t)counters->received,
			 "routed", (json_int_t)counters->routed, "coalesced", (json_int_t)counters->coalesced,
			 "lost", (json_int_t)counters->lost + (json_int_t)bpf_lost(&s->host),
			 "unroutable", (json_int_t)counters->unroutable,
			 "unserved", (json_int_t)counters->unserved,
			 "unsighted", (json_int_t)bpf_unsighted(&s->host),
			 "unknown_reports", (json_int_t)counters->unknown_reports,
			 "watch", "cgroup2", s->host.cgroup_path, "hooks", hooks_json(s, BPFTUNE_FROM_WATCH),
			 "tuners", tuners_json(s), "instances", instances);
}
