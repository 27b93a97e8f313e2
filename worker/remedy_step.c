// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker/remedy_step.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>

#include "ipc/cleanup.h"
#include "worker/budget.h"
#include "worker/trials.h"

#define SECOND_NS UINT64_C(1000000000)
#define STEP_PERCENT 200

struct trial_rule remedy_rule(const struct bpftune_remedy *what, const struct bpftune_tunable *tunable)
{
	return (struct trial_rule){
		.n_ints = tunable->n_ints,
		.value = what->value,
		.step_percent = what->step_percent ? what->step_percent : STEP_PERCENT,
		.is_down = what->direction == BPFTUNE_DOWN,
		.is_judged = what->trouble.name && !what->is_measured,
		.is_measured = what->is_measured,
		.decays = !what->is_lasting,
	};
}

uint32_t remedy_stepped(const struct subject *subject)
{
	return subject->rule.value >= TRIAL_WIDTH ? subject->tunable->n_ints - 1 : subject->rule.value;
}

int64_t remedy_claimed(const struct worker *worker, const struct subject *subject)
{
	const struct bpftune_owner of = { .tuner = worker->running->number, .tunable = subject->what->tunable };
	const struct budget_rule rule = {
		.whole = subject->what->whole(worker->instance, worker->running->state),
		.n_askers = worker->running->n_askers,
		.adds_up = subject->what->adds_up,
	};
	const int64_t *first = trial_first(&subject->remedy->trial);
	int64_t granted = worker->budget ? budget_granted(worker->budget, &of, &rule) : 0, sum;

	if (!first)
		first = subject->look.value;
	return __builtin_add_overflow(first[remedy_stepped(subject)], granted, &sum) ? INT64_MAX : sum;
}

/* How far the tuner lets the stepped integer go. */
static int64_t limit_of(const struct worker *worker, const struct subject *subject)
{
	const struct bpftune_tunable *tunable = subject->tunable;
	bool any = !tunable->min && !tunable->max;

	if (subject->what->cap)
		return subject->what->cap(worker->instance, worker->running->state,
					  subject->look.value[remedy_stepped(subject)]);
	if (subject->rule.is_down)
		return any ? 0 : tunable->min;
	return any ? INT_MAX : tunable->max;
}

static int64_t cap_of(const struct worker *worker, const struct subject *subject)
{
	int64_t limit = limit_of(worker, subject),
		most = subject->what->whole ? remedy_claimed(worker, subject) : limit;

	return most < limit ? most : limit;
}

int remedy_find(struct worker *worker, unsigned int index, struct subject *ret_subject)
{
	struct engine *engine = worker->running;
	long long ints[BPFTUNE_INTS_MAX] = { 0 };
	int err;

	if (index >= engine->tuner->n_remedies)
		return -EINVAL;
	ret_subject->remedy = &engine->remedies[index];
	ret_subject->what = &engine->tuner->remedies[index];
	ret_subject->tunable = &engine->tuner->tunables[ret_subject->what->tunable];
	if (!tunable_is_ours(worker, ret_subject->tunable))
		return -EPERM;
	if (engine->tunables[ret_subject->what->tunable].pending)
		return -EBUSY;
	err = bpftune_value_ints(worker->instance, ret_subject->what->tunable, ints);
	if (err)
		return err;
	ret_subject->rule = remedy_rule(ret_subject->what, ret_subject->tunable);
	ret_subject->look = (struct trial_look){ .now_ns = worker->now_ns, .since_ns = worker->now_ns };
	for (size_t i = 0; i < ARRAY_SIZE(ints); i++)
		ret_subject->look.value[i] = ints[i];
	return 0;
}

/* --- proposals ---------------------------------------------------------------------------------- */

int remedy_propose(struct worker *worker, const struct subject *subject, enum trial_move move,
		   const int64_t to[TRIAL_INTS_MAX], const struct motive *motive)
{
	long long ints[BPFTUNE_INTS_MAX];
	int err;

	for (size_t i = 0; i < ARRAY_SIZE(ints); i++)
		ints[i] = to[i];
	err = bpftune_propose(worker->instance, subject->what->tunable, ints, motive->scenario, motive->cause, "%s",
			      motive->reason);
	if (!err)
		trial_propose(&subject->remedy->trial, &subject->rule, move, &subject->look, to);
	return err;
}

static int propose_undo(struct worker *worker, const struct subject *subject, const int64_t to[TRIAL_INTS_MAX],
			const struct motive *motive)
{
	const struct bpftune_remedy *what = subject->what;
	const struct trial *trial = &subject->remedy->trial;
	char reason[BPFTUNE_TEXT_BYTES];

	snprintf(reason, sizeof(reason),
		 "the last step was of no use: %" PRIu64 " %s per %" PRIu64 " %s before it, %" PRIu64 " per %" PRIu64
		 " since; the next one is not tried for %" PRIu64 " s",
		 trial->before_trouble, what->trouble.name, trial->before_work, what->work.name, subject->look.trouble,
		 subject->look.work, trial_hold_ns(trial) / SECOND_NS);
	return remedy_propose(worker, subject, TRIAL_UNDO, to,
			      &(struct motive){ .scenario = what->scenario, .cause = motive->cause, .reason = reason });
}

static int propose_decay(struct worker *worker, const struct subject *subject, const int64_t to[TRIAL_INTS_MAX])
{
	const struct trial *trial = &subject->remedy->trial;
	char reason[BPFTUNE_TEXT_BYTES];

	snprintf(reason, sizeof(reason), "no %s for %" PRIu64 " min: one step back",
		 subject->what->trouble.name ? subject->what->trouble.name : "need of it",
		 trial_decay_ns(trial) / SECOND_NS / 60);
	return remedy_propose(worker, subject, TRIAL_DECAY, to,
			      &(struct motive){ .scenario = subject->what->scenario, .reason = reason });
}

/*
 * The step of a remedy with a `next`. Where there is no room for a step now, a value that has decayed does not return
 * either.
 */
static enum trial_move next_step(const struct worker *worker, const struct subject *subject, enum trial_move move,
				 int64_t to[TRIAL_INTS_MAX])
{
	long long ints[BPFTUNE_INTS_MAX];

	if (!subject->what->next || (move != TRIAL_STEP && move != TRIAL_RETURN && move != TRIAL_FULL))
		return move;
	for (size_t i = 0; i < ARRAY_SIZE(ints); i++)
		ints[i] = subject->look.value[i];
	if (!subject->what->next(worker->instance, worker->running->state, ints))
		return TRIAL_FULL;
	for (size_t i = 0; i < ARRAY_SIZE(ints); i++)
		to[i] = ints[i];
	return move == TRIAL_RETURN ? TRIAL_RETURN : TRIAL_STEP;
}

int remedy_act(struct worker *worker, struct subject *subject, const struct motive *motive)
{
	int64_t to[TRIAL_INTS_MAX] = { 0 };
	enum trial_move move;
	int err;

	if (subject->look.trouble) /* without any there is no step; a cap may be read from a file */
		subject->look.cap = cap_of(worker, subject);
	move = trial_look(&subject->remedy->trial, &subject->rule, &subject->look, to);
	move = next_step(worker, subject, move, to);
	switch (move) {
	case TRIAL_STEP:
	case TRIAL_RETURN:
		return remedy_propose(worker, subject, move, to, motive);
	case TRIAL_UNDO:
		err = propose_undo(worker, subject, to, motive);
		return err ? err : -EAGAIN;
	case TRIAL_DECAY:
		err = propose_decay(worker, subject, to);
		return err ? err : -EAGAIN;
	case TRIAL_FULL:
		return -ENOSPC;
	default:
		return -EAGAIN;
	}
}
