// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>
#include <syslog.h>

#include "supervisor/changes/changes.h"

static void say(struct changes *changes, const struct instance *instance, const struct bpftune_tunable *tunable,
		const struct ledger_entry *entry)
{
	char scenarios[LEDGER_SCENARIOS_MAX * (LEDGER_WORD_BYTES + 16)] = "";
	size_t at = 0;

	for (size_t i = 0; i < LEDGER_SCENARIOS_MAX && entry->history->scenarios[i].name[0]; i++)
		at += snprintf(scenarios + at, sizeof(scenarios) - at, "%s%s %u", i ? ", " : "",
			       entry->history->scenarios[i].name, entry->history->scenarios[i].changes);
	instance_log(changes->instances, instance, LOG_INFO,
		     "summary: %s %s -> %s by %u changes (%s); elsewhere: sysctl -w %s='%s'", tunable->name,
		     entry->initial, entry->current, ledger_changes(entry), scenarios, tunable->name, entry->current);
}

void changes_summary(struct changes *changes)
{
	const struct instance *instance;

	for (instance = changes->instances->by_id; instance; instance = instance->by_id.next)
		for (size_t i = 0; i < changes->kernel->plugins.n && !instance->view.shares_netns; i++)
			for (size_t j = 0; j < changes->kernel->plugins.tuners[i]->n_tunables; j++) {
				const struct bpftune_tunable *tunable =
					&changes->kernel->plugins.tuners[i]->tunables[j];
				const struct ledger_entry *entry =
					ledger_find(&changes->ledger, instance->view.netns_cookie, tunable->name);

				if (entry && ledger_changes(entry) && plugins_is_owner(&changes->kernel->plugins, i, j))
					say(changes, instance, tunable, entry);
			}
}
