/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The remedies of tuners, as the worker's loop sees them: each remedy has a trial (trial.h). At a tick its trouble is
 * counted (trouble.h), a step is proposed, judged or taken back (remedy_step.h), and lost claims are looked at
 * (claims.h).
 */
#ifndef BPFTUNE_WORKER_REMEDY_H
#define BPFTUNE_WORKER_REMEDY_H

#include "worker/tunable.h"

/* Before the tuner's init, after its tunables were read. 0 or -errno. */
int remedies_start(struct worker *worker, struct engine *engine);

/* Events begin to come in, so ticks do: what was counted before them says nothing of what they tell. */
void remedies_wake(struct worker *worker);

/* A look at each remedy of each tuner. */
void remedies_tick(struct worker *worker);

/* A proposal was answered, or a value was read: what became of the steps? */
void remedies_settle(struct worker *worker);

/* An instance that has asked for host-scoped changes has ended: what nobody else needs goes back. */
void remedies_end_asker(struct worker *worker, uint64_t asker);

/* Some step is to be judged: ticks are due, whether there still is trouble or not. */
bool remedies_are_judging(const struct worker *worker);

/* Some step may be taken back for want of trouble, or of somebody who needs it: a tick is due now and then, even if
 * nothing happens. */
bool remedies_may_decay(const struct worker *worker);

#endif
