// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/ledger.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int ledger_open(struct ledger *ledger, const struct plugins *plugins)
{
	*ledger = (struct ledger){ .plugins = plugins };
	for (size_t i = 0; i < plugins->n; i++) {
		ledger->entries[i] = calloc(plugins->tuners[i]->n_tunables + 1, sizeof(struct ledger_entry));
		if (!ledger->entries[i]) {
			ledger_close(ledger);
			return -ENOMEM;
		}
	}
	return 0;
}

void ledger_close(struct ledger *ledger)
{
	for (size_t i = 0; ledger->plugins && i < ledger->plugins->n; i++) {
		for (size_t j = 0; ledger->entries[i] && j < ledger->plugins->tuners[i]->n_tunables; j++)
			free(ledger->entries[i][j].changes);
		free(ledger->entries[i]);
	}
	*ledger = (struct ledger){ 0 };
}

struct ledger_entry *ledger_entry(const struct ledger *ledger, uint16_t tuner, uint16_t tunable)
{
	if (tuner >= ledger->plugins->n || tunable >= ledger->plugins->tuners[tuner]->n_tunables)
		return NULL;
	return &ledger->entries[tuner][tunable];
}

/* Values in reports come from a process that may be a third party's code: terminated here, once. */
static void copy_value(char to[BPFTUNE_VALUE_BYTES], const char from[BPFTUNE_VALUE_BYTES])
{
	memcpy(to, from, BPFTUNE_VALUE_BYTES);
	to[BPFTUNE_VALUE_BYTES - 1] = '\0';
}

static void settle(struct ledger_entry *entry, const char value[BPFTUNE_VALUE_BYTES])
{
	struct ledger_change *changes = realloc(entry->changes, (entry->n_changes + 1) * sizeof(*changes));

	entry->intended = false;
	copy_value(entry->current, value);
	if (!changes)
		return; /* the change is made and its value kept; only its row is missing */
	entry->changes = changes;
	changes[entry->n_changes] = entry->intent;
	copy_value(changes[entry->n_changes++].to, value);
}

bool ledger_value(struct ledger *ledger, const struct bpftune_report *report)
{
	struct ledger_entry *entry = ledger_entry(ledger, report->tuner, report->tunable);
	char value[BPFTUNE_VALUE_BYTES];
	bool foreign;

	if (!entry || report->error)
		return false;
	copy_value(value, report->to);
	if (!entry->known) {
		entry->known = true;
		copy_value(entry->initial, value);
		copy_value(entry->current, value);
		return false;
	}
	if (entry->intended && !strcmp(value, entry->intent.to))
		settle(entry, value);
	entry->intended = false;
	foreign = strcmp(value, entry->current) != 0;
	copy_value(entry->current, value);
	return foreign;
}

int ledger_intent(struct ledger *ledger, const struct bpftune_report *report, uint64_t time_us)
{
	struct ledger_entry *entry = ledger_entry(ledger, report->tuner, report->tunable);

	if (!entry || !entry->known || report->scenario >= ledger->plugins->tuners[report->tuner]->n_scenarios)
		return -EINVAL;
	if (entry->intended)
		return -EBUSY;
	entry->intended = true;
	entry->intent.scenario = report->scenario;
	entry->intent.time_us = time_us;
	copy_value(entry->intent.from, report->from);
	copy_value(entry->intent.to, report->to);
	return 0;
}

bool ledger_outcome(struct ledger *ledger, const struct bpftune_report *report)
{
	struct ledger_entry *entry = ledger_entry(ledger, report->tuner, report->tunable);

	if (!entry || !entry->intended)
		return false;
	if (report->error) {
		entry->intended = false;
		return false;
	}
	settle(entry, report->to);
	return true;
}
