// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/cli/quiet.h"

#include <stdio.h>
#include <string.h>

#include "ipc/cleanup.h"
#include "supervisor/cli/ask.h"

#define HOST_ID 1

static bool has_refused_hook(json_t *owner)
{
	json_t *hook;
	size_t i;

	json_array_foreach (json_object_get(owner, "hooks"), i, hook)
		if (json_is_string(json_object_get(hook, "error")))
			return true;
	return false;
}

static bool are_active(json_t *tuners)
{
	json_t *tuner;
	size_t i;

	json_array_foreach (tuners, i, tuner)
		if (strcmp(text_of(tuner, "state"), "active") != 0 || has_refused_hook(tuner))
			return false;
	return true;
}

static bool is_quiet_instance(json_t *instance)
{
	json_t *item;
	size_t i;

	if (!are_active(json_object_get(instance, "tuners")) ||
	    !strcmp(text_of(json_object_get(instance, "worker"), "state"), "backoff"))
		return false;
	json_array_foreach (json_object_get(instance, "tunables"), i, item)
		if (number_of(item, "changes"))
			return false;
	json_array_foreach (json_object_get(instance, "learnt"), i, item)
		if (json_is_true(json_object_get(item, "in_effect")))
			return false;
	return true;
}

bool is_quiet(json_t *status, json_t *instances)
{
	json_t *events = json_object_get(status, "events"), *instance;
	size_t i;

	if (!json_is_integer(json_object_get(events, "told"))) /* an older supervisor: what tuners did is not known */
		return false;
	if (number_of(events, "lost") || number_of(events, "unserved") || number_of(events, "unsighted") ||
	    has_refused_hook(json_object_get(status, "watch")) || !are_active(json_object_get(status, "tuners")))
		return false;
	json_array_foreach (instances, i, instance)
		if (!is_quiet_instance(instance))
			return false;
	return true;
}

void print_quiet(json_t *status, json_t *instances)
{
	static const struct {
		double least_s, of_s;
		const char *name;
	} units[] = { { 2 * 86400, 86400, "days" }, { 2 * 3600, 3600, "h" }, { 2 * 60, 60, "min" }, { 0, 1, "s" } };
	double up_s = json_number_value(json_object_get(status, "uptime_s"));
	json_int_t told = number_of(json_object_get(status, "events"), "told");
	size_t containers = 0, i;
	json_t *instance;

	json_array_foreach (instances, i, instance)
		containers += number_of(instance, "id") != HOST_ID;
	for (i = 0; i + 1 < ARRAY_SIZE(units) && up_s < units[i].least_s;)
		i++;
	printf("%s: %zu container%s, ", told ? "nothing changed" : "nothing to do", containers,
	       containers == 1 ? "" : "s");
	if (told)
		printf("%lld record%s of tuners", (long long)told, told == 1 ? "" : "s");
	else
		printf("0 limits met");
	printf(" in %.0f %s ('bpftune %s' shows them)\n", up_s / units[i].of_s, units[i].name,
	       told ? "log" : "status --all");
}
