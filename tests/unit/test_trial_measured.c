// SPDX-License-Identifier: GPL-2.0-or-later
/* Trials that their caller judges, by a measure of its own. */
#include "tests/unit/fake_world.h"

static const struct trial_rule measured = { .n_ints = 3, .value = 2, .is_measured = true };

static enum trial_move go(struct world *world, int64_t to)
{
	int64_t ints[TRIAL_INTS_MAX];
	struct trial_look look = look_of(world, 0, 0);
	enum trial_move move = trial_go_to(&world->trial, world->rule, &look, to, ints);

	if (!move)
		return move;
	assert_true(ints[0] == world->value[0] && ints[1] == world->value[1] && ints[2] == to);
	trial_propose(&world->trial, world->rule, move, &look, ints);
	world->value[2] = to;
	trial_settle(&world->trial, world->rule, world->now_ns, world->value);
	return move;
}

static void assert_steps(const struct world *world, int64_t first, int64_t before)
{
	assert_int_equal(trial_first(&world->trial) ? trial_first(&world->trial)[2] : 0, first);
	assert_int_equal(trial_before(&world->trial) ? trial_before(&world->trial)[2] : 0, before);
}

static void test_own_measure(void **state)
{
	struct world world = world_of(&measured, 1, MANY);

	(void)state;
	world.value[2] = 100;
	assert_int_equal(go(&world, 100), TRIAL_NONE);
	assert_int_equal(go(&world, 350), TRIAL_STEP);
	assert_steps(&world, 100, 100);
	assert_int_equal(see(&world, 80, 1000), TRIAL_NONE); /* troubles are no verdict, */
	assert_int_equal(see(&world, 80, 1000), TRIAL_NONE);
	world.now_ns += 1000 * MINUTE;
	assert_int_equal(see(&world, 0, 1000), TRIAL_NONE); /* nor is their want */
	trial_keep(&world.trial);
	assert_steps(&world, 100, 0);
	assert_int_equal(go(&world, 700), TRIAL_STEP);
	assert_steps(&world, 100, 350);
	assert_int_equal(go(&world, 350), TRIAL_TAKE_BACK);
	assert_steps(&world, 100, 0);
	assert_int_equal(go(&world, 800), TRIAL_STEP);	    /* nothing is held off but by the caller */
	assert_int_equal(go(&world, 400), TRIAL_TAKE_BACK); /* some of the step stays */
	assert_steps(&world, 100, 0);
	assert_int_equal(go(&world, 1600), TRIAL_STEP);
	assert_steps(&world, 100, 400);
	assert_int_equal(go(&world, 360), TRIAL_TAKE_BACK);
	assert_int_equal(go(&world, 720), TRIAL_STEP);
	assert_int_equal(go(&world, 340), TRIAL_TAKE_BACK); /* the first step began at 100 */
	assert_steps(&world, 100, 0);
	assert_int_equal(go(&world, 100), TRIAL_TAKE_BACK);
	assert_steps(&world, 0, 0);
	assert_int_equal(go(&world, 50), TRIAL_TAKE_BACK); /* less than it was found at */
	assert_steps(&world, 0, 0);
}

/* What is not needed for long decays, and is back when it is needed; the need alone makes no step. */
static void test_own_measure_decays(void **state)
{
	static const struct trial_rule rule = { .n_ints = 3, .value = 2, .is_measured = true, .decays = true };
	struct world world = world_of(&rule, 1, MANY);

	(void)state;
	world.value[2] = 100;
	assert_int_equal(see(&world, 1, 0), TRIAL_NONE);
	assert_int_equal(go(&world, 300), TRIAL_STEP);
	trial_keep(&world.trial);
	world.now_ns += 9 * MINUTE;
	assert_int_equal(see(&world, 1, 0), TRIAL_NONE);
	world.now_ns += 9 * MINUTE;
	assert_int_equal(see(&world, 0, 0), TRIAL_NONE);
	world.now_ns += 1 * MINUTE;
	assert_int_equal(see(&world, 0, 0), TRIAL_DECAY);
	assert_int_equal(world.value[2], 100);
	world.now_ns += 60 * MINUTE;
	assert_int_equal(see(&world, 1, 0), TRIAL_RETURN);
	assert_int_equal(world.value[2], 300);
	assert_steps(&world, 100, 0); /* judged already */
}

static void test_own_measure_down(void **state)
{
	const struct trial_rule rule = { .n_ints = 3, .value = 2, .is_measured = true, .is_down = true };
	struct world world = world_of(&rule, 1, 0);

	(void)state;
	world.value[2] = 100;
	assert_int_equal(go(&world, 50), TRIAL_STEP);
	trial_keep(&world.trial);
	assert_int_equal(go(&world, 20), TRIAL_STEP);
	assert_steps(&world, 100, 50);
	assert_int_equal(go(&world, 60), TRIAL_TAKE_BACK);
	assert_steps(&world, 100, 0);
}

static void test_own_measure_of_what_is_not_ours(void **state)
{
	struct world world = world_of(&measured, 1, MANY);
	struct trial_look look;
	int64_t to[TRIAL_INTS_MAX];

	(void)state;
	world.value[2] = 100;
	look = look_of(&world, 0, 0);
	assert_int_equal(trial_go_to(&world.trial, &measured, &look, 200, to), TRIAL_STEP);
	trial_propose(&world.trial, &measured, TRIAL_STEP, &look, to);
	assert_steps(&world, 0, 0); /* not written yet */
	trial_settle(&world.trial, &measured, world.now_ns, world.value);
	assert_steps(&world, 0, 0); /* refused */
	assert_true(world.trial.is_known);
	assert_int_equal(go(&world, 200), TRIAL_STEP);
	world.value[1] = 2; /* somebody else's */
	assert_int_equal(see(&world, 0, 0), TRIAL_NONE);
	assert_steps(&world, 0, 0);
	assert_false(world.trial.is_known);
}

/* Steps are given up until the value is within the cap, exactly to what it was before one of them; or all. */
static void test_lowered(void **state)
{
	static const struct trial_rule lasting = { .n_ints = 1, .step_percent = 200 };
	static const struct {
		int64_t cap, to, first;
	} cases[] = { { 799, 400, 100 }, { 400, 400, 100 }, { 399, 200, 100 }, { 150, 100, 0 }, { 1, 100, 0 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct world world = world_of(&lasting, 100, INT64_MAX);
		int64_t to[TRIAL_INTS_MAX] = { 0 };
		struct trial_look look = look_of(&world, 0, 0);

		look.cap = 50;
		assert_int_equal(trial_lower(&world.trial, &lasting, &look, to), TRIAL_NONE); /* it was not raised */
		for (int step = 0; step < 3; step++)
			assert_int_equal(see(&world, 1, 0), TRIAL_STEP);
		look = look_of(&world, 0, 0);
		look.cap = 800;
		assert_int_equal(trial_lower(&world.trial, &lasting, &look, to), TRIAL_NONE);
		look.cap = cases[i].cap;
		assert_int_equal(trial_lower(&world.trial, &lasting, &look, to), TRIAL_TAKE_BACK);
		assert_int_equal(to[0], cases[i].to);
		trial_propose(&world.trial, &lasting, TRIAL_TAKE_BACK, &look, to);
		world.value[0] = to[0];
		trial_settle(&world.trial, &lasting, world.now_ns, world.value);
		assert_int_equal(trial_first(&world.trial) ? trial_first(&world.trial)[0] : 0, cases[i].first);
		assert_int_equal(see(&world, 1, 0), TRIAL_STEP);
		assert_int_equal(world.value[0], 2 * cases[i].to);
		assert_int_equal(trial_first(&world.trial)[0], 100);
	}
}

/* Of more steps than are kept, the first value and the last step can be undone exactly. */
static void test_many_steps(void **state)
{
	struct world world = world_of(&doubled, 1, INT64_MAX);
	uint64_t trouble = UINT64_MAX / 2;

	(void)state;
	for (int i = 0; i < 14; i++, trouble /= 4)
		assert_int_equal(see(&world, trouble + 1, UINT64_MAX), TRIAL_STEP);
	assert_int_equal(world.value[0], 1 << 14);
	assert_int_equal(trial_first(&world.trial)[0], 1);
	assert_int_equal(see(&world, UINT64_MAX, UINT64_MAX), TRIAL_UNDO);
	assert_int_equal(world.value[0], 1 << 13);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_measure),
		cmocka_unit_test(test_own_measure_decays),
		cmocka_unit_test(test_own_measure_down),
		cmocka_unit_test(test_own_measure_of_what_is_not_ours),
		cmocka_unit_test(test_lowered),
		cmocka_unit_test(test_many_steps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
