// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/changes/off.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "supervisor/changes/account.h"
#include "supervisor/changes/learnt.h"
#include "supervisor/changes/state.h"

/* --- what is off, and why ----------------------------------------------------------------------- */

/* `only` NULL: all instances. */
static const char *scope_of(const struct instance *only, char ret_scope[OFF_SCOPE_BYTES])
{
	if (!only)
		return OFF_ALL;
	if (only->view.id == INSTANCE_HOST)
		return OFF_HOST;
	if (only->view.shares_netns)
		snprintf(ret_scope, OFF_SCOPE_BYTES, "cgroup %llu", (unsigned long long)only->view.cgroup_id);
	else
		snprintf(ret_scope, OFF_SCOPE_BYTES, "netns %llu", (unsigned long long)only->view.netns_cookie);
	return ret_scope;
}

static bool is_off_in(const struct changes *changes, const char *scope, const char *tuner)
{
	return off_rules_has(&changes->off, scope, OFF_EVERY_TUNER) || off_rules_has(&changes->off, scope, tuner);
}

/* NULL: it is on. */
static const char *why_off(const struct changes *changes, const struct instance *instance, uint16_t tuner)
{
	const char *name = changes->kernel->plugins.tuners[tuner]->name;
	char scope[OFF_SCOPE_BYTES];

	if (is_off_in(changes, OFF_ALL, name))
		return "turned off by the administrator: bpftune off --all";
	if (is_off_in(changes, scope_of(instance, scope), name))
		return "turned off by the administrator: bpftune off";
	if (instance->view.shares_netns && is_off_in(changes, OFF_HOST, name))
		return "turned off by the administrator: bpftune off host";
	return instance->opt_out;
}

static uint64_t find_off(const struct changes *changes, const struct instance *instance)
{
	uint64_t off = 0;

	if (instance->opt_out)
		return UINT64_MAX;
	for (size_t i = 0; i < changes->kernel->plugins.n && !off_rules_are_empty(&changes->off); i++)
		if (why_off(changes, instance, i))
			off |= 1ULL << i;
	return off;
}

const char *changes_tuner_why(const struct changes *changes, const struct instance *instance, uint16_t tuner)
{
	if (instance->switched_off >> tuner & 1)
		return why_off(changes, instance, tuner);
	return changes_recorded_why(changes, instance, tuner);
}

static bool is_all_off(const struct plugins *plugins, uint64_t off)
{
	bool has_tuner = false;

	for (size_t i = 0; i < plugins->n; i++) {
		if (plugins_is_removed(plugins, i))
			continue;
		has_tuner = true;
		if (!(off >> i & 1))
			return false;
	}
	return has_tuner;
}

void off_refresh(struct changes *changes, struct instance *instance)
{
	uint64_t before = instance->switched_off, off = find_off(changes, instance), gate_before = instance->tuners_off;
	bool was_off = instance->is_off;

	instance->switched_off = off;
	instance->is_off = is_all_off(&changes->kernel->plugins, off);
	instance->tuners_off = 0;
	for (size_t i = 0; i < changes->kernel->plugins.n; i++)
		if (changes_tuner_state(changes, instance, i) != TUNER_ACTIVE)
			instance->tuners_off |= 1ULL << i;
	learnt_take_back(changes, instance, off & ~before);
	learnt_tell_again(changes, instance, before & ~off);
	if (instance->tuners_off != gate_before) /* of most namespaces nothing is ever turned off */
		instance_set_gate(changes->instances, instance);
	if (was_off != instance->is_off)
		workers_off_changed(changes->workers, instance);
}

/* --- bpftune off, bpftune on -------------------------------------------------------------------- */

/* Also one that was removed, if it was turned off before. */
static bool is_tuner(const struct changes *changes, const char *scope, const char *tuner)
{
	for (size_t i = 0; i < changes->kernel->plugins.n; i++)
		if (!strcmp(changes->kernel->plugins.tuners[i]->name, tuner))
			return true;
	return off_rules_has(&changes->off, scope, tuner);
}

/* In the place of "all tuners" come the others, one by one. */
static void spare(struct changes *changes, const char *scope, const char *tuner)
{
	const struct plugins *plugins = &changes->kernel->plugins;

	if (off_rules_has(&changes->off, scope, OFF_EVERY_TUNER)) {
		off_rules_remove(&changes->off, scope, OFF_EVERY_TUNER);
		for (size_t i = 0; i < plugins->n; i++)
			if (!plugins_is_removed(plugins, i))
				off_rules_add(&changes->off, scope, plugins->tuners[i]->name);
	}
	off_rules_remove(&changes->off, scope, tuner);
}

static void turn_off(struct changes *changes, const char *scope, const char *tuner)
{
	if (!tuner)
		off_rules_remove_scope(&changes->off, scope);
	off_rules_add(&changes->off, scope, tuner ? tuner : OFF_EVERY_TUNER);
}

static void turn_on(struct changes *changes, const char *scope, const char *tuner)
{
	if (tuner)
		spare(changes, scope, tuner);
	else
		off_rules_remove_scope(&changes->off, scope);
}

/* `bpftune on --all` also takes back what was turned off in one. */
static void turn_on_everywhere(struct changes *changes, const char *tuner)
{
	json_t *scopes = off_rules_scopes(&changes->off), *scope;
	size_t i;

	json_array_foreach(scopes, i, scope)
		turn_on(changes, json_string_value(scope), tuner);
	json_decref(scopes);
}

static unsigned int refresh_each(struct changes *changes, struct instance *only)
{
	struct instance *instance;
	unsigned int switched = 0;

	for (instance = changes->instances->by_id; instance; instance = instance->by_id.next) {
		uint64_t before = instance->switched_off;

		/* A container in the host's namespace has the host's tuners. */
		if (only && instance != only && !(only->view.id == INSTANCE_HOST && instance->view.shares_netns))
			continue;
		off_refresh(changes, instance);
		for (size_t i = 0; i < changes->kernel->plugins.n; i++)
			switched += !plugins_is_removed(&changes->kernel->plugins, i) &&
				    ((before ^ instance->switched_off) >> i & 1);
	}
	return switched;
}

static void log_switch(struct changes *changes, const struct instance *only, const char *tuner, bool off)
{
	const char *what = tuner ? tuner : "every tuner", *container = only ? only->view.name : "--all";

	if (off)
		instance_log(changes->instances, only, LOG_NOTICE, "the administrator turned %s off %s, until 'bpftune on %s%s%s'",
			     what, only ? "here" : "everywhere", container, tuner ? " " : "", tuner ? tuner : "");
	else
		instance_log(changes->instances, only, LOG_NOTICE, "the administrator turned %s on again %s", what,
			     only ? "here" : "everywhere");
}

int changes_switch(struct changes *changes, struct instance *only, const char *tuner, bool off, unsigned int *ret_switched,
		   const char **ret_path)
{
	char text[OFF_SCOPE_BYTES];
	const char *scope = scope_of(only, text);

	if (tuner && !is_tuner(changes, scope, tuner))
		return -ENOENT;
	if (off)
		turn_off(changes, scope, tuner);
	else if (only)
		turn_on(changes, scope, tuner);
	else
		turn_on_everywhere(changes, tuner);
	if (only && !off)
		instance_read_opt_out(changes->instances, only); /* the owner may have another mind by now */
	*ret_switched = refresh_each(changes, only);
	if (*ret_switched)
		log_switch(changes, only, tuner, off);
	return off_rules_save(&changes->off, ret_path);
}

/* --- what the rooms below tell ------------------------------------------------------------------ */

void changes_paired(struct changes *changes, struct instance *instance)
{
	uint64_t before = instance->switched_off;

	account_count(changes, instance);
	off_refresh(changes, instance);
	if (instance->opt_out && before != instance->switched_off)
		instance_log(changes->instances, instance, LOG_NOTICE, "%s", instance->opt_out);
}

void off_forget(struct changes *changes, const struct instance *instance)
{
	const char *path;
	char scope[OFF_SCOPE_BYTES];
	int err;

	if (instance->view.id == INSTANCE_HOST || !off_rules_remove_scope(&changes->off, scope_of(instance, scope)))
		return;
	err = off_rules_save(&changes->off, &path);
	if (err)
		instance_log(changes->instances, instance, LOG_WARNING, "cannot write %s: %s", path, strerror(-err));
}
