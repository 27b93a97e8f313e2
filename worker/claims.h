/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Claims of host-scoped tunables, in the host's worker: they are put into the budget (budget.h), and a value goes down
 * to what the remaining claims need.
 */
#ifndef BPFTUNE_WORKER_CLAIMS_H
#define BPFTUNE_WORKER_CLAIMS_H

#include "worker/remedy_step.h"

/* The asker needs so much more than the first value of a tunable of the running tuner. */
void claims_add(struct worker *worker, unsigned int tunable, uint64_t asker, int64_t more);

/* Who claimed what an earlier worker has raised is not known: it counts as the host's claim. */
void claims_inherit(struct worker *worker, struct engine *engine);

/* Some claim has ended: each value that is claimed is yet to be compared with the remaining claims. */
void claims_mark_lost(struct worker *worker, struct engine *engine);

/* Compares them, but for tunables with a proposal under way, which are compared later. */
void claims_lower_lost(struct worker *worker, struct engine *engine);

/* The running tuner's remedy goes back to its highest earlier value that the remaining claims need. */
void claims_lower(struct worker *worker, unsigned int index, const struct motive *motive);

#endif
