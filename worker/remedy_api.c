// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a tuner calls about its remedies: the functions of tuners/tuner.h that make, judge or take back a step, or claim
 * a host-scoped tunable.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "worker/budget.h"
#include "worker/claims.h"
#include "worker/remedy_step.h"
#include "worker/trials.h"

#define SECOND_NS UINT64_C(1000000000)

int bpftune_try(struct bpftune *b, unsigned int remedy, unsigned int scenario, const struct bpftune_event *cause,
		const struct bpftune_measured *measured, const char *reason, ...)
{
	struct worker *worker = tunable_worker();
	char text[BPFTUNE_TEXT_BYTES];
	struct subject subject;
	va_list args;
	int err = remedy_find(worker, remedy, &subject);

	(void)b;
	if (err)
		return err;
	subject.look.trouble = 1;
	if (measured) {
		subject.look.since_ns = measured->since_ns;
		subject.look.trouble = measured->trouble ? measured->trouble : 1;
		subject.look.work = measured->work;
		subject.look.needed = measured->needed;
	}
	va_start(args, reason);
	vsnprintf(text, sizeof(text), reason, args);
	va_end(args);
	err = remedy_act(worker, &subject, &(struct motive){ scenario, cause, text });
	trials_keep(worker, worker->running);
	return err;
}

void bpftune_relieved(struct bpftune *b, unsigned int remedy, uint64_t since_ns)
{
	struct worker *worker = tunable_worker();
	struct subject subject;

	(void)b;
	if (remedy_find(worker, remedy, &subject) || !subject.remedy->trial.is_trying)
		return;
	subject.look.since_ns = since_ns;
	subject.look.work = TRIAL_WORK_MIN;
	remedy_act(worker, &subject, &(struct motive){ .scenario = subject.what->scenario });
	trials_keep(worker, worker->running);
}

/* A move that the tuner asks for. */
__attribute__((format(printf, 7, 0))) static int move_to(struct worker *worker, const struct subject *subject,
							 enum trial_move move, const int64_t to[TRIAL_INTS_MAX],
							 unsigned int scenario, const struct bpftune_event *cause,
							 const char *reason, va_list args)
{
	char text[BPFTUNE_TEXT_BYTES];
	int err;

	if (!move)
		return -EALREADY;
	vsnprintf(text, sizeof(text), reason, args);
	err = remedy_propose(worker, subject, move, to, &(struct motive){ scenario, cause, text });
	trials_keep(worker, worker->running);
	return err;
}

void bpftune_claim(struct bpftune *b, unsigned int remedy, const struct bpftune_event *event, int64_t more)
{
	struct worker *worker = tunable_worker();
	const struct bpftune_tuner *tuner = worker->running->tuner;

	if (b->id == BPFTUNE_HOST_ID && remedy < tuner->n_remedies && tuner->remedies[remedy].whole)
		claims_add(worker, tuner->remedies[remedy].tunable, event->asker, more);
}

int bpftune_disclaim(struct bpftune *b, unsigned int remedy, unsigned int scenario, const struct bpftune_event *event,
		     const char *reason, ...)
{
	struct worker *worker = tunable_worker();
	struct engine *engine = worker->running;
	struct bpftune_owner of = { .tuner = engine->number };
	char text[BPFTUNE_TEXT_BYTES];
	va_list args;

	(void)b;
	if (!worker->budget || remedy >= engine->tuner->n_remedies)
		return -ENOENT;
	of.tunable = engine->tuner->remedies[remedy].tunable;
	if (!budget_refuse(worker->budget, &of, event->asker, worker->now_ns))
		return -ENOENT;
	va_start(args, reason);
	vsnprintf(text, sizeof(text), reason, args);
	va_end(args);
	engine->remedies[remedy].lost_claim = true;
	claims_lower(worker, remedy, &(struct motive){ scenario, event, text });
	trials_keep(worker, engine);
	return 0;
}

int bpftune_take_back(struct bpftune *b, unsigned int remedy, unsigned int scenario, const struct bpftune_event *cause,
		      unsigned int hold_s, const char *reason, ...)
{
	struct worker *worker = tunable_worker();
	int64_t to[TRIAL_INTS_MAX] = { 0 };
	struct subject subject;
	enum trial_move move;
	va_list args;
	int err = remedy_find(worker, remedy, &subject);

	(void)b;
	if (err)
		return err;
	move = trial_take_back(&subject.remedy->trial, &subject.rule, &subject.look,
			       worker->now_ns + hold_s * SECOND_NS, to);
	va_start(args, reason);
	err = move_to(worker, &subject, move, to, scenario, cause, reason, args);
	va_end(args);
	return err;
}

int bpftune_go_to(struct bpftune *b, unsigned int remedy, long long to, unsigned int scenario,
		  const struct bpftune_event *cause, const char *reason, ...)
{
	struct worker *worker = tunable_worker();
	int64_t ints[TRIAL_INTS_MAX] = { 0 };
	struct subject subject;
	enum trial_move move;
	va_list args;
	int err = remedy_find(worker, remedy, &subject);

	(void)b;
	if (err)
		return err;
	move = trial_go_to(&subject.remedy->trial, &subject.rule, &subject.look, to, ints);
	va_start(args, reason);
	err = move_to(worker, &subject, move, ints, scenario, cause, reason, args);
	va_end(args);
	return err;
}

int bpftune_step_from(const struct bpftune *b, unsigned int remedy, long long *ret_from)
{
	struct worker *worker = tunable_worker();
	struct subject subject;
	const int64_t *before;
	int err = remedy_find(worker, remedy, &subject);

	(void)b;
	if (err)
		return err;
	before = trial_before(&subject.remedy->trial);
	if (!before)
		return subject.remedy->trial.is_known ? -EAGAIN : -ENOENT;
	*ret_from = before[remedy_stepped(&subject)];
	return 0;
}

void bpftune_keep_step(struct bpftune *b, unsigned int remedy)
{
	struct engine *engine = tunable_worker()->running;

	(void)b;
	if (remedy >= engine->tuner->n_remedies)
		return;
	trial_keep(&engine->remedies[remedy].trial);
	trials_keep(tunable_worker(), engine);
}

int bpftune_tried_from(const struct bpftune *b, unsigned int remedy, long long ret_ints[BPFTUNE_INTS_MAX])
{
	const struct engine *engine = tunable_worker()->running;
	const int64_t *first = remedy < engine->tuner->n_remedies ? trial_first(&engine->remedies[remedy].trial) : NULL;

	(void)b;
	for (int i = 0; first && i < BPFTUNE_INTS_MAX; i++)
		ret_ints[i] = first[i];
	return first ? 0 : -ENOENT;
}
