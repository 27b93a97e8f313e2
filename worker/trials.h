/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A remedy's state: its trial and its window of counters. The trials outlive the worker: the supervisor keeps them. */
#ifndef BPFTUNE_WORKER_TRIALS_H
#define BPFTUNE_WORKER_TRIALS_H

#include "worker/trial.h"
#include "worker/tunable.h"

struct remedy {
	struct trial trial;
	bool lost_claim; /* some claim has ended, and the value is yet to be compared with the remaining claims */
	bool has_window; /* of counters: what they were at its beginning */
	uint64_t since_ns, trouble, work;
};

/* Has the supervisor keep what the engine's trials know, if that has changed. */
void trials_keep(struct worker *worker, struct engine *engine);

/* What a worker before this one had kept. A memory that does not match the remedies is ignored. */
void trials_recall(struct engine *engine);

#endif
