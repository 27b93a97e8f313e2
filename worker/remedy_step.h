/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A step of a remedy: what there is to look at, what the trial (trial.h) makes of it, and the proposal of that. How far
 * a step may go is the remedy's cap, and what the budget (budget.h) grants.
 */
#ifndef BPFTUNE_WORKER_REMEDY_STEP_H
#define BPFTUNE_WORKER_REMEDY_STEP_H

#include "worker/trial.h"
#include "worker/tunable.h"

/* A remedy of the running tuner, and all that a look at it takes. */
struct subject {
	struct remedy *remedy;
	const struct bpftune_remedy *what;
	const struct bpftune_tunable *tunable;
	struct trial_rule rule;
	struct trial_look look;
};

/* Why something is proposed. */
struct motive {
	unsigned int scenario;
	const struct bpftune_event *cause; /* or NULL */
	const char *reason;
};

/* The rule of all trials of a remedy. */
struct trial_rule remedy_rule(const struct bpftune_remedy *what, const struct bpftune_tunable *tunable);

/*
 * The running tuner's remedy and its tunable's value, with no trouble, work and cap yet. 0; -EINVAL: there is no such
 * remedy, or the value is not integers; -EPERM: not this worker's to write; -EBUSY: a proposal is under way.
 */
int remedy_find(struct worker *worker, unsigned int index, struct subject *ret_subject);

/* The index of the integer that is stepped; of a range, of its upper end. */
uint32_t remedy_stepped(const struct subject *subject);

/* How far the claims let the stepped integer go: the first value and what is granted. For a remedy with `whole`. */
int64_t remedy_claimed(const struct worker *worker, const struct subject *subject);

/* What the trial makes of the look is proposed. 0: a step is on its way; -EAGAIN: none now; -ENOSPC: no room for one;
 * or as bpftune_propose(). */
int remedy_act(struct worker *worker, struct subject *subject, const struct motive *motive);

/* Proposes a move that is decided already. 0 or as bpftune_propose(). */
int remedy_propose(struct worker *worker, const struct subject *subject, enum trial_move move,
		   const int64_t to[TRIAL_INTS_MAX], const struct motive *motive);

#endif
