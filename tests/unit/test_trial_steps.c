// SPDX-License-Identifier: GPL-2.0-or-later
/* The size of a step. */
#include "tests/unit/fake_world.h"

static void test_step_sizes(void **state)
{
	static const struct {
		int64_t value, cap, to; /* to 0: no step */
		unsigned int percent;
		bool is_down;
	} cases[] = {
		{ 100, MANY, 150, 150, false },
		{ 100, MANY, 150, 0, false },
		{ 100, MANY, 400, 1000, false },
		{ 1, MANY, 2, 150, false },
		{ 3, MANY, 5, 150, false },
		{ 0, MANY, 0, 200, false },
		{ -5, MANY, 0, 200, false },
		{ 128, 128, 0, 200, false },
		{ 128, -1, 0, 200, false },
		{ 32768, 65535, 65535, 200, false },
		{ INT64_MAX, INT64_MAX, 0, 200, false },
		{ INT64_MAX / 2, INT64_MAX, INT64_MAX, 400, false },
		{ INT64_MAX / 2 + 1, INT64_MAX, (INT64_MAX / 2 + 1) / 2 * 3, 150, false },
		{ 100, 0, 50, 200, true },
		{ 100, 0, 66, 150, true },
		{ 100, 0, 25, 400, true },
		{ 100, 80, 80, 200, true },
		{ 100, 89, 0, 200, true },
		{ 1, 0, 0, 200, true },
		{ 100, -1000, 50, 200, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct trial_rule rule = { .n_ints = 1,
						 .step_percent = cases[i].percent,
						 .is_down = cases[i].is_down };
		struct world world = world_of(&rule, cases[i].value, cases[i].cap);
		enum trial_move move = see(&world, 1, 1);

		if (move != (world.value[0] == cases[i].value ? TRIAL_FULL : TRIAL_STEP) ||
		    world.value[0] != (move == TRIAL_FULL && cases[i].to == 0 ? cases[i].value : cases[i].to))
			fail_msg("case %zu: move %d to %lld", i, move, (long long)world.value[0]);
	}
}

/* A step goes to what is needed, by half at least, and to the cap at most. */
static void test_step_to_what_is_needed(void **state)
{
	static const struct {
		int64_t value, needed, cap, to;
	} cases[] = {
		{ 100, 0, MANY, 200 },
		{ 100, 1000, MANY, 1000 },
		{ 100, 151, MANY, 151 },
		{ 100, 150, MANY, 150 },
		{ 100, 149, MANY, 150 },
		{ 100, 101, MANY, 150 },
		{ 100, 100, MANY, 150 },
		{ 100, 1, MANY, 150 },
		{ 100, -1, MANY, 150 },
		{ 100, 1000, 500, 500 },
		{ 100, 101, 120, 120 },
		{ 100, INT64_MAX, MANY, MANY },
		{ 1, INT64_MAX, INT64_MAX, INT64_MAX },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct world world = world_of(&doubled, cases[i].value, cases[i].cap);
		struct trial_look look = look_of(&world, 1, 1);
		int64_t to[TRIAL_INTS_MAX] = { 0 };

		look.needed = cases[i].needed;
		if (trial_look(&world.trial, &doubled, &look, to) != TRIAL_STEP || to[0] != cases[i].to)
			fail_msg("case %zu: %lld", i, (long long)to[0]);
	}
}

/* What is needed of a value that goes down is not known that way. */
static void test_step_down_is_a_percentage(void **state)
{
	static const struct trial_rule down = { .n_ints = 1, .step_percent = 200, .is_down = true, .is_judged = true };
	struct world world = world_of(&down, 100, 0);
	struct trial_look look = look_of(&world, 1, 1);
	int64_t to[TRIAL_INTS_MAX] = { 0 };

	(void)state;
	look.needed = 10;
	assert_int_equal(trial_look(&world.trial, &down, &look, to), TRIAL_STEP);
	assert_int_equal(to[0], 50);
}

/* All integers of a tunable, in proportion to the last. */
static void test_all_ints(void **state)
{
	static const struct {
		int64_t current[3];
		int64_t cap;
		bool raised;
		int64_t next[3];
	} cases[] = {
		{ { 300, 400, 800 }, 10000, true, { 450, 600, 1200 } },
		{ { 300, 400, 800 }, 2000, true, { 450, 600, 1200 } }, /* never more than half at once */
		{ { 300, 400, 800 }, 1200, true, { 450, 600, 1200 } },
		{ { 300, 400, 800 }, 1000, true, { 375, 500, 1000 } },
		{ { 300, 400, 800 }, 900, true, { 337, 450, 900 } },
		{ { 300, 400, 800 }, 899, false, { 0 } }, /* less than an eighth */
		{ { 300, 400, 800 }, 800, false, { 0 } },
		{ { 300, 400, 800 }, 0, false, { 0 } },
		{ { 1, 400, 800 }, 10000, true, { 1, 600, 1200 } },
		{ { 2, 2, 2 }, 10000, true, { 3, 3, 3 } },
		{ { 0, 400, 800 }, 10000, false, { 0 } },
		{ { 300, 200, 800 }, 10000, false, { 0 } },
		{ { 300, 400, 399 }, 10000, false, { 0 } },
		{ { -3, -2, -1 }, 10000, false, { 0 } },
		/* a machine of 6 GiB, and one of 16 TiB: more pages than 32 bits */
		{ { 68655, 91542, 137310 }, 1500000, true, { 102982, 137313, 205965 } },
		{ { 3LL << 31, 4LL << 31, 8LL << 31 }, 1LL << 40, true, { 9LL << 30, 12LL << 30, 24LL << 30 } },
		{ { INT64_MAX / 4, INT64_MAX / 2, INT64_MAX }, INT64_MAX, false, { 0 } },
	};
	static const struct trial_rule rule = { .n_ints = 3, .value = TRIAL_ALL_INTS, .step_percent = 150 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct world world = world_of(&rule, 0, cases[i].cap);

		memcpy(world.value, cases[i].current, sizeof(world.value));
		if (see(&world, 1, 0) != (cases[i].raised ? TRIAL_STEP : TRIAL_FULL))
			fail_msg("case %zu", i);
		for (int n = 0; n < 3; n++)
			if (world.value[n] != (cases[i].raised ? cases[i].next[n] : cases[i].current[n]))
				fail_msg("case %zu: [%d] is %lld", i, n, (long long)world.value[n]);
	}
}

/* However large, they grow, stay in order and within the cap. */
static void test_all_ints_of_any_size(void **state)
{
	(void)state;
	for (int shift = 0; shift < 60; shift++) {
		const struct trial_rule rule = { .n_ints = 3, .value = TRIAL_ALL_INTS, .step_percent = 150 + shift };
		const int64_t current[3] = { 3LL << shift, 4LL << shift, 5LL << shift };
		struct world world = world_of(&rule, 0, current[2] + current[2] / 3 + 1);

		memcpy(world.value, current, sizeof(world.value));
		assert_int_equal(see(&world, 1, 0), TRIAL_STEP);
		assert_true(world.value[0] >= current[0] && world.value[1] >= current[1] &&
			    world.value[2] > current[2]);
		assert_true(world.value[0] <= world.value[1] && world.value[1] <= world.value[2] &&
			    world.value[2] <= world.cap);
	}
}

static void test_one_of_three(void **state)
{
	static const struct trial_rule rule = { .n_ints = 3, .value = 1, .step_percent = 200, .is_judged = true };
	struct world world = world_of(&rule, 7, MANY);

	(void)state;
	world.value[1] = 5;
	world.value[2] = 6;
	assert_int_equal(see(&world, 80, 1000), TRIAL_STEP);
	assert_true(world.value[0] == 7 && world.value[1] == 10 && world.value[2] == 6);
	world.value[2] = 8; /* somebody else's, though it is not the integer that is stepped */
	assert_int_equal(see(&world, 0, 1000), TRIAL_NONE);
	assert_null(trial_first(&world.trial));
}

static void test_grown(void **state)
{
	uint64_t grown = 7;

	(void)state;
	assert_true(trial_grown(5, 8, &grown));
	assert_int_equal(grown, 3);
	assert_true(trial_grown(5, 5, &grown));
	assert_int_equal(grown, 0);
	assert_false(trial_grown(5, 4, &grown));
	assert_false(trial_grown(UINT64_MAX, 0, &grown));
	assert_int_equal(grown, 0);
}

static void test_sound(void **state)
{
	struct world world = world_of(&doubled, 100, MANY);
	struct trial trial;

	(void)state;
	assert_true(trial_is_sound(&world.trial));
	see(&world, 80, 1000);
	assert_true(trial_is_sound(&world.trial));
	trial = world.trial;
	trial.n_levels = TRIAL_LEVELS_MAX + 1;
	assert_false(trial_is_sound(&trial));
	trial = world.trial;
	trial.n_levels = 0; /* nothing to undo the step by */
	assert_false(trial_is_sound(&trial));
	trial = world.trial;
	trial.is_known = 0;
	assert_false(trial_is_sound(&trial));
	trial = world.trial;
	trial.move = N_TRIAL_MOVES;
	assert_false(trial_is_sound(&trial));
	trial = world.trial;
	trial.n_useless = 64; /* no shift by that */
	assert_false(trial_is_sound(&trial));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_step_sizes),
		cmocka_unit_test(test_step_to_what_is_needed),
		cmocka_unit_test(test_step_down_is_a_percentage),
		cmocka_unit_test(test_all_ints),
		cmocka_unit_test(test_all_ints_of_any_size),
		cmocka_unit_test(test_one_of_three),
		cmocka_unit_test(test_grown),
		cmocka_unit_test(test_sound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
