// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker/claims.h"

#include <stdlib.h>

#include "worker/budget.h"
#include "worker/trials.h"

void claims_add(struct worker *worker, unsigned int tunable, uint64_t asker, int64_t more)
{
	const struct bpftune_owner of = { .tuner = worker->running->number, .tunable = tunable };

	if (!worker->budget)
		worker->budget = calloc(1, sizeof(*worker->budget));
	if (worker->budget)
		budget_claim(worker->budget, &of, asker, more, worker->now_ns);
}

void claims_inherit(struct worker *worker, struct engine *engine)
{
	struct subject subject;

	for (size_t i = 0; i < engine->tuner->n_remedies; i++) {
		const int64_t *first = trial_first(&engine->remedies[i].trial);

		if (first && engine->tuner->remedies[i].whole && !remedy_find(worker, i, &subject))
			claims_add(worker, subject.what->tunable, BUDGET_HOST,
				   subject.look.value[remedy_stepped(&subject)] - first[remedy_stepped(&subject)]);
	}
}

void claims_lower(struct worker *worker, unsigned int index, const struct motive *motive)
{
	int64_t to[TRIAL_INTS_MAX] = { 0 };
	struct subject subject;

	if (remedy_find(worker, index, &subject))
		return;
	subject.remedy->lost_claim = false;
	subject.look.cap = remedy_claimed(worker, &subject);
	if (trial_lower(&subject.remedy->trial, &subject.rule, &subject.look, to))
		remedy_propose(worker, &subject, TRIAL_TAKE_BACK, to, motive);
}

void claims_lower_lost(struct worker *worker, struct engine *engine)
{
	for (size_t i = 0; i < engine->tuner->n_remedies; i++)
		if (engine->remedies[i].lost_claim)
			claims_lower(
				worker, i,
				&(struct motive){
					.scenario = engine->tuner->remedies[i].scenario,
					.reason =
						"it is higher than those need who are left, and had a need within the last hour" });
}

void claims_mark_lost(struct worker *worker, struct engine *engine)
{
	(void)worker;
	for (size_t i = 0; i < engine->tuner->n_remedies; i++)
		engine->remedies[i].lost_claim = engine->tuner->remedies[i].whole != NULL;
}
