/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a trial is about: a value, and what its caller sees of troubles and of work. */
#ifndef BPFTUNE_TESTS_UNIT_FAKE_WORLD_H
#define BPFTUNE_TESTS_UNIT_FAKE_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "worker/trial.h"

#define SECOND 1000000000ULL
#define MINUTE (60 * SECOND)
#define MANY 1000000

static const struct trial_rule doubled = { .n_ints = 1, .step_percent = 200, .is_judged = true, .decays = true };

/* A tunable and its trial. */
struct world {
	struct trial trial;
	const struct trial_rule *rule;
	uint64_t now_ns;
	int64_t value[TRIAL_INTS_MAX], cap;
};

static inline struct trial_look look_of(const struct world *world, uint64_t trouble, uint64_t work)
{
	struct trial_look look = {
		.now_ns = world->now_ns, .since_ns = world->now_ns, .trouble = trouble, .work = work, .cap = world->cap
	};

	memcpy(look.value, world->value, sizeof(look.value));
	return look;
}

/* A look a second later; what it calls for is written. */
static inline enum trial_move see(struct world *world, uint64_t trouble, uint64_t work)
{
	int64_t to[TRIAL_INTS_MAX] = { 0 };
	struct trial_look look;
	enum trial_move move;

	world->now_ns += SECOND;
	look = look_of(world, trouble, work);
	move = trial_look(&world->trial, world->rule, &look, to);
	if (move == TRIAL_NONE || move == TRIAL_FULL)
		return move;
	trial_propose(&world->trial, world->rule, move, &look, to);
	memcpy(world->value, to, sizeof(to));
	trial_settle(&world->trial, world->rule, world->now_ns, world->value);
	return move;
}

static inline struct world world_of(const struct trial_rule *rule, int64_t value, int64_t cap)
{
	return (struct world){ .rule = rule, .now_ns = MINUTE, .value = { value }, .cap = cap };
}

#endif
