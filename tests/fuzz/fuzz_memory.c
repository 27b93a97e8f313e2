// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * libFuzzer target: what a worker before this one, or a former build, may have left of a trial in the run directory. A
 * trial that is taken for sound goes on without harm, whatever is seen next. The input is a struct trial, and then a
 * rule, a look and what to do with both, again and again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "worker/trial.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct turn {
	struct trial_look look;
	int64_t settled[TRIAL_INTS_MAX];
	uint64_t hold_until_ns;
	uint8_t n_ints, value, step_percent, flags;
};

static void check(bool holds)
{
	if (!holds)
		abort();
}

static struct trial_rule rule_of(const struct turn *turn)
{
	struct trial_rule rule = {
		.n_ints = turn->n_ints % TRIAL_INTS_MAX + 1,
		.step_percent = 150 + turn->step_percent % 251,
		.is_down = turn->flags & 1,
		.is_judged = turn->flags & 2,
		.decays = turn->flags & 4,
		.is_measured = turn->flags & 32,
	};

	rule.value = turn->value % (rule.n_ints + 1) == rule.n_ints ? TRIAL_ALL_INTS : turn->value % (rule.n_ints + 1);
	return rule;
}

/* The kernel's integers have 32 bits, and a window does not end before it begins: bpftune_value_ints(), trouble.c. */
static void confine(struct turn *turn)
{
	for (size_t i = 0; i < TRIAL_INTS_MAX; i++) {
		turn->look.value[i] = (int32_t)turn->look.value[i];
		turn->settled[i] = (int32_t)turn->settled[i];
	}
	turn->look.cap = (int32_t)turn->look.cap;
	turn->look.now_ns >>= 1;
	if (turn->look.since_ns > turn->look.now_ns)
		turn->look.since_ns = turn->look.now_ns;
}

static void take(struct trial *trial, const struct turn *turn)
{
	const struct trial_rule rule = rule_of(turn);
	enum trial_move move;
	int64_t to[TRIAL_INTS_MAX] = { 0 };

	if (trial->move) {
		trial_settle(trial, &rule, turn->look.now_ns, turn->settled);
		check(trial_is_sound(trial));
	}
	if (turn->flags & 64)
		trial_keep(trial);
	trial_before(trial);
	if (turn->flags & 8)
		move = trial_take_back(trial, &rule, &turn->look, turn->hold_until_ns, to);
	else if (turn->flags & 128)
		move = trial_go_to(trial, &rule, &turn->look, (int32_t)turn->hold_until_ns, to);
	else
		move = trial_look(trial, &rule, &turn->look, to);
	check(move < N_TRIAL_MOVES);
	check(trial_is_sound(trial));
	trial_first(trial);
	trial_may_decay(trial, &rule);
	trial_hold_ns(trial);
	trial_decay_ns(trial);
	if (move == TRIAL_NONE || move == TRIAL_FULL || turn->flags & 16)
		return;
	trial_propose(trial, &rule, move, &turn->look, to);
	check(trial_is_sound(trial));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct trial trial;
	struct turn turn;

	if (size < sizeof(trial))
		return 0;
	memcpy(&trial, data, sizeof(trial));
	if (!trial_is_sound(&trial))
		return 0;
	for (size_t at = sizeof(trial); at + sizeof(turn) <= size; at += sizeof(turn)) {
		memcpy(&turn, data + at, sizeof(turn));
		confine(&turn);
		take(&trial, &turn);
	}
	return 0;
}
