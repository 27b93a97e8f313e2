// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/changes/summary.h"

#include <stdio.h>
#include <syslog.h>

#include "supervisor/supervisor.h"

static void say(struct supervisor *s, const struct instance *instance, const struct bpftune_tunable *tunable,
		const struct ledger_entry *entry)
{
	char scenarios[LEDGER_SCENARIOS_MAX * (LEDGER_WORD_BYTES + 16)] = "";
	size_t at = 0;

	for (size_t i = 0; i < LEDGER_SCENARIOS_MAX && entry->scenarios[i].name[0]; i++)
		at += snprintf(scenarios + at, sizeof(scenarios) - at, "%s%s %u", i ? ", " : "",
			       entry->scenarios[i].name, entry->scenarios[i].changes);
	supervisor_log(s, instance, LOG_INFO, "summary: %s %s -> %s by %u changes (%s)%s%s%s%s%s", tunable->name,
		       entry->initial, entry->current, ledger_changes(entry), scenarios,
		       tunable->kind == BPFTUNE_SYSCTL ? "; elsewhere: sysctl -w " : "",
		       tunable->kind == BPFTUNE_SYSCTL ? tunable->name : "", tunable->kind == BPFTUNE_SYSCTL ? "='" : "",
		       tunable->kind == BPFTUNE_SYSCTL ? entry->current : "", tunable->kind == BPFTUNE_SYSCTL ? "'" : "");
}

void summary_log(struct supervisor *s)
{
	const struct instance *instance;

	for (instance = s->registry.by_id; instance; instance = instance->by_id.next)
		for (size_t i = 0; i < s->plugins.n && !instance->pub.shares_netns; i++)
			for (size_t j = 0; j < s->plugins.tuners[i]->n_tunables; j++) {
				const struct bpftune_tunable *tunable = &s->plugins.tuners[i]->tunables[j];
				const struct ledger_entry *entry =
					ledger_find(&s->ledger, instance->pub.netns_cookie, tunable->name);

				if (entry && ledger_changes(entry))
					say(s, instance, tunable, entry);
			}
}
