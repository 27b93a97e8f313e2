// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Trials in random worlds: what must hold in any sequence of troubles, caps, refusals, restarts and other people's
 * writes. BPFTUNE_TEST_SEED repeats a run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "worker/trial.h"

#define SECOND 1000000000ULL
#define HOUR (3600 * SECOND)
#define WORLDS 600
#define STEPS 1000
#define PAST_MAX 256
#define MORE 1.000000001 /* than a double can tell */
#define LESS 0.999999999

static uint64_t seed, number;

/* splitmix64 */
static uint64_t next_random(void)
{
	uint64_t z = number += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static uint64_t below(uint64_t bound)
{
	return next_random() % bound;
}

static bool one_in(uint64_t n)
{
	return !below(n);
}

/* What is written, as the test keeps account of it: independent of what the trial knows. */
struct world {
	struct trial trial;
	struct trial_rule rule;
	uint64_t now_ns;
	int64_t value[TRIAL_INTS_MAX], cap;
	int64_t past[PAST_MAX][TRIAL_INTS_MAX]; /* the values from before each step that stands */
	unsigned int n_past, n_in_a_row;	/* steps that stand; useless ones since one was kept */
	uint64_t counter_trouble, counter_work;
	uint64_t calm_ns;		 /* of the last trouble or change */
	uint64_t undone_ns;		 /* of the last undo; 0: none since a step was kept */
	uint64_t decay_ns;		 /* the least time without trouble before a decay */
	int64_t decayed[TRIAL_INTS_MAX]; /* from where the last decay went */
	bool has_decayed;
	unsigned long n_moves[N_TRIAL_MOVES];
};

#define CHECK(condition)                                                                 \
	do {                                                                             \
		if (!(condition))                                                        \
			fail_msg("seed %llu: %s", (unsigned long long)seed, #condition); \
	} while (0)

static unsigned int stepped(const struct trial_rule *rule)
{
	return rule->value == TRIAL_ALL_INTS ? rule->n_ints - 1 : rule->value;
}

static bool is_beyond(const struct world *world, int64_t a, int64_t b)
{
	return world->rule.is_down ? a < b : a > b;
}

static bool is_same(const struct world *world, const int64_t *a, const int64_t *b)
{
	return !memcmp(a, b, world->rule.n_ints * sizeof(*a));
}

static void write_own_values(struct world *world)
{
	world->value[0] = one_in(20) ? (int64_t)next_random() : 1 + (int64_t)below(1ULL << below(40));
	for (unsigned int i = 1; i < world->rule.n_ints; i++)
		world->value[i] =
			one_in(50) ? (int64_t)next_random() : world->value[i - 1] / 2 * 2 + (int64_t)below(1000);
}

static void begin(struct world *world)
{
	unsigned int n_ints = 1 + below(TRIAL_INTS_MAX);

	*world = (struct world){ .now_ns = HOUR, .decay_ns = 600 * SECOND, .counter_trouble = next_random() };
	world->rule = (struct trial_rule){
		.n_ints = n_ints,
		.value = one_in(3) ? TRIAL_ALL_INTS : below(n_ints),
		.step_percent = below(500),
		.is_down = one_in(3),
		.is_measured = one_in(4),
		.decays = !one_in(4),
	};
	world->rule.is_judged = !world->rule.is_measured && !one_in(4);
	world->rule.value = world->rule.is_measured ? below(n_ints) : world->rule.value;
	write_own_values(world);
}

/* Nothing of what was before may come back. */
static void forget(struct world *world)
{
	world->n_past = world->n_in_a_row = world->undone_ns = 0;
	world->decay_ns = 600 * SECOND;
	world->has_decayed = false;
}

static void write_by_somebody_else(struct world *world)
{
	int64_t before[TRIAL_INTS_MAX];

	memcpy(before, world->value, sizeof(before));
	write_own_values(world);
	if (!is_same(world, world->value, before) && world->trial.is_known)
		forget(world);
}

static void check_step(const struct world *world, const int64_t *to)
{
	unsigned int last = stepped(&world->rule);
	double from = world->value[last], next = to[last];
	bool is_at_cap = to[last] == (world->cap > 0 ? world->cap : 0);

	if (world->rule.is_down) {
		CHECK(to[last] >= (world->cap > 0 ? world->cap : 0) && to[last] < world->value[last]);
		CHECK(next * 4 >= from * LESS - 4 && (is_at_cap || next * 3 <= from * 2 * MORE + 3));
	} else {
		CHECK(to[last] <= world->cap && to[last] > world->value[last]);
		CHECK(next <= from * 4 * MORE && (is_at_cap || next * 2 >= from * 3 * LESS));
	}
	for (unsigned int i = 0; i < last && world->rule.value == TRIAL_ALL_INTS; i++)
		CHECK(to[i] <= to[i + 1] &&
		      (world->rule.is_down ? to[i] <= world->value[i] : to[i] >= world->value[i]));
	for (unsigned int i = 0; i < world->rule.n_ints && world->rule.value != TRIAL_ALL_INTS; i++)
		CHECK(i == last || to[i] == world->value[i]);
	if (world->undone_ns) { /* held for 1 s, 2 s, ... 1 h */
		uint64_t hold = world->n_in_a_row > 12 ? HOUR : SECOND << (world->n_in_a_row - 1);

		CHECK(world->now_ns - world->undone_ns >= (hold < HOUR ? hold : HOUR));
	}
}

static void check_move(const struct world *world, enum trial_move move, const int64_t *to)
{
	switch (move) {
	case TRIAL_STEP:
		check_step(world, to);
		break;
	case TRIAL_UNDO:
		CHECK(world->rule.is_judged && world->n_past && is_same(world, to, world->past[world->n_past - 1]));
		break;
	case TRIAL_DECAY:
		CHECK(world->rule.decays && world->now_ns - world->calm_ns >= world->decay_ns);
		CHECK(world->n_past);
		if (world->n_past < TRIAL_LEVELS_MAX)
			CHECK(is_same(world, to, world->past[world->n_past - 1]));
		break;
	case TRIAL_RETURN:
		CHECK(world->has_decayed && is_same(world, to, world->decayed));
		CHECK(world->rule.is_down ? to[stepped(&world->rule)] >= world->cap
					  : to[stepped(&world->rule)] <= world->cap);
		break;
	case TRIAL_TAKE_BACK:
		CHECK(world->n_past && is_same(world, to, world->past[0]));
		break;
	default:
		break;
	}
}

static void write_move(struct world *world, enum trial_move move, const int64_t *to)
{
	unsigned int last = stepped(&world->rule);

	switch (move) {
	case TRIAL_STEP:
	case TRIAL_RETURN:
		CHECK(world->n_past < PAST_MAX);
		memcpy(world->past[world->n_past++], world->value, sizeof(world->value));
		if (move == TRIAL_RETURN)
			world->decay_ns = world->decay_ns < (600 * SECOND) << 7 ? 2 * world->decay_ns : world->decay_ns;
		world->has_decayed = false;
		break;
	case TRIAL_UNDO:
		world->n_past--;
		world->n_in_a_row++;
		world->undone_ns = world->now_ns;
		break;
	case TRIAL_DECAY:
		memcpy(world->decayed, world->value, sizeof(world->value));
		world->has_decayed = true;
		/* Past so many steps, several are one level. */
		do
			world->n_past--;
		while (world->n_past && !is_same(world, to, world->past[world->n_past]));
		break;
	default:
		while (world->n_past && !is_beyond(world, to[last], world->past[world->n_past - 1][last]))
			world->n_past--;
		world->has_decayed = false;
	}
	memcpy(world->value, to, world->rule.n_ints * sizeof(*to));
	world->calm_ns = world->now_ns;
}

/* What stands can be undone exactly. */
static void check_levels(const struct world *world)
{
	const int64_t *first = trial_first(&world->trial), *before = trial_before(&world->trial);

	CHECK(!first == !world->n_past && (!first || is_same(world, first, world->past[0])));
	CHECK(!before || is_same(world, before, world->past[world->n_past - 1]));
}

/* A proposal is written or not; the process that made it may die meanwhile; somebody else may write. */
static void carry_out(struct world *world, enum trial_move move, const struct trial_look *look, const int64_t *to)
{
	trial_propose(&world->trial, &world->rule, move, look, to);
	CHECK(trial_is_sound(&world->trial));
	if (one_in(10)) { /* refused */
		trial_settle(&world->trial, &world->rule, world->now_ns, world->value);
		return;
	}
	write_move(world, move, to);
	if (one_in(2))
		return; /* the next look finds it, of another process maybe */
	trial_settle(&world->trial, &world->rule, world->now_ns, world->value);
	check_levels(world);
}

/* Windows of a counter that grows, stands still, or begins anew. */
static void count(struct world *world, struct trial_look *ret_look)
{
	uint64_t trouble = one_in(3) ? 0 : below(1ULL << below(64)), work = one_in(5) ? 0 : below(1ULL << below(64));
	uint64_t before_trouble = world->counter_trouble, before_work = world->counter_work;
	bool known;

	world->counter_trouble = one_in(30) ? below(100) : before_trouble + trouble;
	world->counter_work = one_in(30) ? below(100) : before_work + work;
	known = trial_grown(before_trouble, world->counter_trouble, &ret_look->trouble) &&
		trial_grown(before_work, world->counter_work, &ret_look->work);
	CHECK(known == (world->counter_trouble >= before_trouble && world->counter_work >= before_work));
	if (!known)
		ret_look->trouble = ret_look->work = 0;
}

/* What the caller's own measure says: a step of any size, back from it or from those before it, to any value at all. */
static enum trial_move measure(struct world *world, const struct trial_look *look, int64_t *to)
{
	unsigned int last = stepped(&world->rule);
	int64_t current = world->value[last], next = (int64_t)next_random();
	enum trial_move move;

	if (one_in(4)) {
		trial_keep(&world->trial);
		return TRIAL_NONE;
	}
	if (world->n_past && one_in(2))
		next = world->past[world->n_past - 1 - (one_in(3) ? below(world->n_past) : 0)][last];
	else if (current > 0 && current < INT64_MAX / 4 && !one_in(20))
		next = world->rule.is_down ? (int64_t)below(current + 1) : current + (int64_t)below(3 * current);
	move = trial_go_to(&world->trial, &world->rule, look, next, to);
	CHECK(move == (next == current ? TRIAL_NONE : is_beyond(world, next, current) ? TRIAL_STEP : TRIAL_TAKE_BACK));
	for (unsigned int i = 0; i < world->rule.n_ints; i++)
		CHECK(to[i] == (i == last ? next : world->value[i]));
	return move;
}

static void one_step(struct world *world)
{
	int64_t to[TRIAL_INTS_MAX] = { 0 };
	struct trial_look look = { 0 };
	enum trial_move move;
	bool was_trying, is_own = world->rule.is_measured && one_in(3);

	look.since_ns = world->now_ns;
	world->now_ns += one_in(8) ? below(4 * HOUR) : below(5 * SECOND);
	look.now_ns = world->now_ns;
	world->cap = one_in(4) ? (int64_t)next_random() : (int64_t)below(1ULL << below(50));
	if (one_in(60) && !world->trial.move)
		write_by_somebody_else(world);
	memcpy(look.value, world->value, sizeof(look.value));
	look.cap = world->cap;
	count(world, &look);
	was_trying = world->trial.is_trying;
	if (is_own) {
		move = measure(world, &look, to);
	} else if (one_in(100)) {
		move = trial_take_back(&world->trial, &world->rule, &look, 0, to);
	} else {
		move = trial_look(&world->trial, &world->rule, &look, to);
		world->calm_ns = look.trouble ? world->now_ns : world->calm_ns;
	}
	if (!is_own)
		check_move(world, move, to);
	world->n_moves[move]++;
	if (was_trying && !world->trial.is_trying && move != TRIAL_UNDO)
		world->n_in_a_row = world->undone_ns = 0; /* kept, or given up */
	if (move != TRIAL_NONE && move != TRIAL_FULL)
		carry_out(world, move, &look, to);
	CHECK(trial_is_sound(&world->trial));
}

static void test_properties(void **state)
{
	unsigned long n_moves[N_TRIAL_MOVES] = { 0 };

	(void)state;
	for (int i = 0; i < WORLDS; i++) {
		struct world world;

		begin(&world);
		for (int n = 0; n < STEPS; n++) {
			one_step(&world);
			if (one_in(50)) { /* kept elsewhere, and handed to another process */
				unsigned char bytes[sizeof(struct trial)];

				memcpy(bytes, &world.trial, sizeof(bytes));
				memset(&world.trial, 0xff, sizeof(world.trial));
				memcpy(&world.trial, bytes, sizeof(bytes));
			}
		}
		for (int move = 0; move < N_TRIAL_MOVES; move++)
			n_moves[move] += world.n_moves[move];
	}
	for (int move = 0; move < N_TRIAL_MOVES; move++)
		CHECK(n_moves[move] > 100); /* else this test is about nothing */
}

/* Whatever the bytes are: they are refused, or do no harm. */
static void test_damaged(void **state)
{
	unsigned int n_sound = 0;

	(void)state;
	for (int i = 0; i < 200000; i++) {
		struct world world;
		struct trial_look look;
		int64_t to[TRIAL_INTS_MAX] = { 0 };
		enum trial_move move;

		if (i % 100 == 0)
			begin(&world);
		for (int n = 0; i % 100 == 0 && n < 50; n++)
			one_step(&world);
		((unsigned char *)&world.trial)[below(sizeof(world.trial))] = below(20);
		if (!trial_is_sound(&world.trial)) {
			world.trial = (struct trial){ 0 };
			continue;
		}
		n_sound++;
		look = (struct trial_look){
			.now_ns = next_random(), .trouble = below(2), .work = below(100), .cap = next_random()
		};
		memcpy(look.value, world.value, sizeof(look.value));
		move = trial_look(&world.trial, &world.rule, &look, to);
		if (move == TRIAL_STEP)
			CHECK(world.rule.is_down ? to[stepped(&world.rule)] >= look.cap
						 : to[stepped(&world.rule)] <= look.cap);
	}
	CHECK(n_sound > 1000);
}

int main(void)
{
	const char *given = getenv("BPFTUNE_TEST_SEED");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_properties),
		cmocka_unit_test(test_damaged),
	};

	number = seed = given ? strtoull(given, NULL, 0) : 20261127;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
