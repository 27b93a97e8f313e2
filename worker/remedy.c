// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker/remedy.h"

#include <errno.h>
#include <stdlib.h>

#include "worker/budget.h"
#include "worker/claims.h"
#include "worker/remedy_step.h"
#include "worker/trials.h"
#include "worker/trouble.h"

/* --- tables ------------------------------------------------------------------------------------- */

static bool is_of_values(const struct bpftune_remedy *what, const struct bpftune_tunable *tunable)
{
	switch (what->value) {
	case BPFTUNE_ALL_VALUES:
		return !what->is_measured;
	case BPFTUNE_WIDTH:
		return !what->is_measured && tunable->n_ints == 2 && what->next;
	default:
		return what->value < tunable->n_ints;
	}
}

static bool is_remedy(const struct bpftune_tuner *tuner, const struct bpftune_remedy *what)
{
	const struct bpftune_tunable *tunable =
		what->tunable < tuner->n_tunables ? &tuner->tunables[what->tunable] : NULL;

	return tunable && tunable->n_ints && tunable->n_ints <= BPFTUNE_INTS_MAX &&
	       what->scenario < tuner->n_scenarios && is_of_values(what, tunable) &&
	       !what->trouble.name == !what->work.name;
}

/* --- each tuner's remedies ---------------------------------------------------------------------- */

static void tick(struct worker *worker, struct engine *engine)
{
	struct bpftune_counter counters[TROUBLE_COUNTERS * BPFTUNE_REMEDIES_MAX] = { { .found = false } },
							   *read = counters;
	struct subject subject;

	if (trouble_read(worker, engine, counters) < 0)
		return;
	for (size_t i = 0; i < engine->tuner->n_remedies; i++) {
		bool does_count = trouble_is_counted(&engine->tuner->remedies[i]);

		if (!remedy_find(worker, i, &subject)) {
			if (does_count)
				trouble_look(worker, &subject, read);
			else /* there is no trouble that we know of */
				remedy_act(worker, &subject, &(struct motive){ .scenario = subject.what->scenario });
		}
		read += does_count ? TROUBLE_COUNTERS : 0;
	}
	claims_lower_lost(worker, engine);
	trials_keep(worker, engine);
}

static void settle_one(struct worker *worker, struct subject *subject)
{
	const struct bpftune_owner of = { .tuner = worker->running->number, .tunable = subject->what->tunable };
	struct trial *trial = &subject->remedy->trial;
	bool was_known = trial->is_known;

	trial_settle(trial, &subject->rule, worker->now_ns, subject->look.value);
	if (was_known && !trial->is_known && worker->budget)
		budget_forget(worker->budget, &of);
}

static void settle(struct worker *worker, struct engine *engine)
{
	struct subject subject;

	for (size_t i = 0; i < engine->tuner->n_remedies; i++)
		if (!remedy_find(worker, i, &subject))
			settle_one(worker, &subject);
	claims_lower_lost(worker, engine);
	trials_keep(worker, engine);
}

/* --- what the worker calls ---------------------------------------------------------------------- */

int remedies_start(struct worker *worker, struct engine *engine)
{
	const struct bpftune_tuner *tuner = engine->tuner;

	if (tuner->n_remedies > BPFTUNE_REMEDIES_MAX)
		return -E2BIG;
	for (size_t i = 0; i < tuner->n_remedies; i++)
		if (!is_remedy(tuner, &tuner->remedies[i]))
			return -EINVAL;
	engine->remedies = calloc(tuner->n_remedies + 1, sizeof(*engine->remedies));
	if (!engine->remedies)
		return -ENOMEM;
	trials_recall(engine);
	settle(worker, engine);
	claims_inherit(worker, engine);
	return 0;
}

void remedies_wake(struct worker *worker)
{
	for (size_t i = 0; i < worker->n_engines; i++)
		for (size_t n = 0; !worker->engines[i].off && n < worker->engines[i].tuner->n_remedies; n++)
			worker->engines[i].remedies[n].has_window = false;
	remedies_tick(worker);
}

static void each_engine(struct worker *worker, void (*act_on)(struct worker *worker, struct engine *engine))
{
	for (size_t i = 0; i < worker->n_engines; i++) {
		struct engine *engine = worker->running = &worker->engines[i];

		if (!engine->off && engine->tuner->n_remedies)
			act_on(worker, engine);
	}
	worker->running = NULL;
}

void remedies_tick(struct worker *worker)
{
	if (worker->budget && budget_expire(worker->budget, worker->now_ns))
		each_engine(worker, claims_mark_lost);
	each_engine(worker, tick);
}

void remedies_end_asker(struct worker *worker, uint64_t asker)
{
	if (worker->budget && budget_end(worker->budget, asker))
		each_engine(worker, claims_mark_lost);
}

void remedies_settle(struct worker *worker)
{
	each_engine(worker, settle);
}

bool remedies_are_judging(const struct worker *worker)
{
	for (size_t i = 0; i < worker->n_engines; i++)
		for (size_t n = 0; !worker->engines[i].off && n < worker->engines[i].tuner->n_remedies; n++)
			if (worker->engines[i].remedies[n].trial.is_trying)
				return true;
	return false;
}

bool remedies_may_decay(const struct worker *worker)
{
	if (worker->budget && worker->budget->n)
		return true;
	for (size_t i = 0; i < worker->n_engines; i++) {
		const struct engine *engine = &worker->engines[i];

		for (size_t n = 0; !engine->off && n < engine->tuner->n_remedies; n++) {
			const struct bpftune_remedy *what = &engine->tuner->remedies[n];
			struct trial_rule rule = remedy_rule(what, &engine->tuner->tunables[what->tunable]);

			if (trial_may_decay(&engine->remedies[n].trial, &rule))
				return true;
		}
	}
	return false;
}
