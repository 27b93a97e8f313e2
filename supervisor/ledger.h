/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ledger of one instance: each tunable's initial and current value, and every change, on record
 * before it is written. It is the supervisor's, so it outlives any worker.
 */
#ifndef BPFTUNE_SUPERVISOR_LEDGER_H
#define BPFTUNE_SUPERVISOR_LEDGER_H

#include <stdbool.h>

#include "supervisor/plugin.h"

struct ledger_change {
	char from[BPFTUNE_VALUE_BYTES], to[BPFTUNE_VALUE_BYTES];
	uint16_t scenario;
	uint64_t time_us; /* CLOCK_REALTIME of the intent */
};

struct ledger_entry {
	bool known; /* the worker could read it */
	char initial[BPFTUNE_VALUE_BYTES], current[BPFTUNE_VALUE_BYTES];
	struct ledger_change *changes; /* done ones, oldest first; the entry's own */
	size_t n_changes;
	bool intended; /* `intent` is granted and its outcome not known yet */
	struct ledger_change intent;
};

struct ledger {
	const struct plugins *plugins;
	struct ledger_entry *entries[BPFTUNE_TUNERS_MAX]; /* by tuner and tunable */
};

/* 0 or -ENOMEM. */
int ledger_open(struct ledger *ledger, const struct plugins *plugins);
void ledger_close(struct ledger *ledger);

/* NULL: no such tuner or tunable. */
struct ledger_entry *ledger_entry(const struct ledger *ledger, uint16_t tuner, uint16_t tunable);

/*
 * A value as a worker reads it at its start. The first is the initial value. Settles an intent whose
 * worker died between grant and outcome: the value tells whether it was written. Returns true when
 * it is neither what was last recorded nor what was intended: somebody else wrote it.
 */
bool ledger_value(struct ledger *ledger, const struct bpftune_report *report);

/* Records what a worker is about to write. 0: grant it; -EBUSY: one is under way; -EINVAL: no such tunable. */
int ledger_intent(struct ledger *ledger, const struct bpftune_report *report, uint64_t time_us);

/* The outcome of an intent; true when a change was made. */
bool ledger_outcome(struct ledger *ledger, const struct bpftune_report *report);

#endif
