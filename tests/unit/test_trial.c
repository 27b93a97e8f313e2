// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/unit/fake_world.h"

static void test_kept_while_it_helps(void **state)
{
	struct world world = world_of(&doubled, 100, MANY);

	(void)state;
	assert_int_equal(see(&world, 0, 1000), TRIAL_NONE);
	assert_int_equal(see(&world, 80, 1000), TRIAL_STEP);
	assert_int_equal(world.value[0], 200);
	assert_int_equal(see(&world, 39, 1000), TRIAL_STEP); /* that helped, and there is trouble yet */
	assert_int_equal(world.value[0], 400);
	assert_int_equal(see(&world, 0, 1000), TRIAL_NONE);
	assert_int_equal(world.value[0], 400);
	assert_int_equal(trial_first(&world.trial)[0], 100);
	assert_false(world.trial.is_trying);
}

static void test_undone_when_useless(void **state)
{
	struct world world = world_of(&doubled, 100, MANY);

	(void)state;
	for (unsigned int i = 0; i < 20; i++) {
		uint64_t hold = i < 12 ? SECOND << i : 3600 * SECOND, undone;

		assert_int_equal(see(&world, 80, 1000), TRIAL_STEP);
		assert_int_equal(see(&world, 40, 1000), TRIAL_UNDO); /* half is not less than half */
		assert_int_equal(world.value[0], 100);
		undone = world.now_ns;
		while (world.now_ns + SECOND < undone + hold) {
			assert_int_equal(see(&world, 80, 1000), TRIAL_NONE);
			world.now_ns =
				world.now_ns + 60 * SECOND < undone + hold ? world.now_ns + 50 * SECOND : world.now_ns;
		}
	}
	assert_null(trial_first(&world.trial));
}

/* A step that helps ends the row of useless ones. */
static void test_hold_begins_anew(void **state)
{
	struct world world = world_of(&doubled, 100, MANY);

	(void)state;
	for (int i = 0; i < 2; i++) {
		world.now_ns += MINUTE;
		assert_int_equal(see(&world, 80, 1000), TRIAL_STEP);
		assert_int_equal(see(&world, 80, 1000), TRIAL_UNDO);
	}
	world.now_ns += MINUTE;
	assert_int_equal(see(&world, 80, 1000), TRIAL_STEP);
	assert_int_equal(see(&world, 8, 1000), TRIAL_STEP);
	assert_int_equal(see(&world, 8, 1000), TRIAL_UNDO);
	assert_int_equal(world.value[0], 200);
	assert_int_equal(see(&world, 8, 1000), TRIAL_STEP);
}

static void test_more_work_is_not_more_trouble(void **state)
{
	struct world world = world_of(&doubled, 100, MANY);

	(void)state;
	assert_int_equal(see(&world, 80, 1000), TRIAL_STEP);
	assert_int_equal(see(&world, 80, 2001), TRIAL_STEP);
	assert_int_equal(see(&world, 80, 4002), TRIAL_UNDO);
}

static void test_too_little_to_judge(void **state)
{
	struct world world = world_of(&doubled, 100, MANY);
	struct trial_look look;
	int64_t to[TRIAL_INTS_MAX];

	(void)state;
	assert_int_equal(see(&world, 80, 1000), TRIAL_STEP);
	world.now_ns += SECOND;
	look = look_of(&world, 80, 1000);
	look.since_ns = world.trial.changed_ns - 1; /* some of that was before the step */
	assert_int_equal(trial_look(&world.trial, &doubled, &look, to), TRIAL_NONE);
	for (int i = 0; i < 100; i++)
		assert_int_equal(see(&world, 80, TRIAL_WORK_MIN - 1), TRIAL_NONE);
	assert_int_equal(see(&world, 80, TRIAL_WORK_MIN), TRIAL_UNDO);

	world = world_of(&doubled, 100, MANY);
	assert_int_equal(see(&world, 80, TRIAL_WORK_MIN), TRIAL_STEP);
	assert_int_equal(see(&world, 80, TRIAL_WORK_MIN), TRIAL_UNDO);

	world = world_of(&doubled, 100, MANY); /* what was before cannot be compared with */
	assert_int_equal(see(&world, 80, TRIAL_WORK_MIN - 1), TRIAL_STEP);
	assert_int_equal(see(&world, 80, 0), TRIAL_STEP);
	assert_int_equal(see(&world, UINT64_MAX, UINT64_MAX), TRIAL_STEP);
	assert_int_equal(world.value[0], 800);
}

static void test_any_counts(void **state)
{
	struct world world = world_of(&doubled, 100, MANY);

	(void)state;
	assert_int_equal(see(&world, UINT64_MAX, UINT64_MAX), TRIAL_STEP);
	assert_int_equal(see(&world, UINT64_MAX / 4, UINT64_MAX), TRIAL_STEP);
	assert_int_equal(see(&world, UINT64_MAX, TRIAL_WORK_MIN), TRIAL_UNDO);
	world.now_ns += MINUTE;
	assert_int_equal(see(&world, 1, UINT64_MAX), TRIAL_STEP);
	assert_int_equal(see(&world, 1, UINT64_MAX), TRIAL_UNDO);
}

static void test_decay_and_return(void **state)
{
	struct world world = world_of(&doubled, 100, MANY);
	uint64_t calm = 10 * MINUTE;

	(void)state;
	assert_int_equal(see(&world, 80, 1000), TRIAL_STEP);
	assert_int_equal(see(&world, 8, 1000), TRIAL_STEP);
	assert_int_equal(see(&world, 0, 1000), TRIAL_NONE);
	for (int i = 0; i < 10; i++) {
		uint64_t since = world.trial.trouble_ns > world.trial.changed_ns ? world.trial.trouble_ns
										 : world.trial.changed_ns;

		assert_int_equal(world.value[0], 400);
		assert_true(trial_may_decay(&world.trial, &doubled));
		world.now_ns = since + calm - 2 * SECOND;
		assert_int_equal(see(&world, 0, 1000), TRIAL_NONE);
		assert_int_equal(see(&world, 0, 0), TRIAL_DECAY);
		assert_int_equal(world.value[0], 200);
		assert_int_equal(see(&world, 1, 1000), TRIAL_RETURN);
		calm = i < 7 ? 2 * calm : calm;
	}
	/* Without trouble all the way down, a step each time. */
	for (int i = 0; i < 2; i++) {
		world.now_ns += calm;
		assert_int_equal(see(&world, 0, 0), TRIAL_DECAY);
	}
	world.now_ns += calm;
	assert_int_equal(see(&world, 0, 0), TRIAL_NONE);
	assert_int_equal(world.value[0], 100);
	assert_false(trial_may_decay(&world.trial, &doubled));
	assert_int_equal(see(&world, 1, 1000), TRIAL_RETURN);
	assert_int_equal(world.value[0], 200);
}

/* A step that nothing came to judge decays like one that was kept. */
static void test_decay_without_a_verdict(void **state)
{
	struct world world = world_of(&doubled, 100, MANY);

	(void)state;
	assert_int_equal(see(&world, 80, 1000), TRIAL_STEP);
	world.now_ns += 10 * MINUTE;
	assert_int_equal(see(&world, 0, 0), TRIAL_DECAY);
	assert_int_equal(world.value[0], 100);
	assert_int_equal(see(&world, 80, 1000), TRIAL_RETURN);
}

static void test_cap(void **state)
{
	struct world world = world_of(&doubled, 100, 150);

	(void)state;
	assert_int_equal(see(&world, 80, 1000), TRIAL_STEP);
	assert_int_equal(world.value[0], 150);
	assert_int_equal(see(&world, 8, 1000), TRIAL_FULL);
	world.cap = 167; /* not an eighth more */
	assert_int_equal(see(&world, 8, 1000), TRIAL_FULL);
	world.cap = 168;
	assert_int_equal(see(&world, 8, 1000), TRIAL_STEP);
	assert_int_equal(world.value[0], 168);

	world.now_ns += 10 * MINUTE;
	assert_int_equal(see(&world, 0, 1000), TRIAL_DECAY);
	world.cap = 160; /* the value from before the decay is past that by now */
	assert_int_equal(see(&world, 8, 1000), TRIAL_FULL);
	assert_int_equal(world.value[0], 150);
	world.cap = MANY;
	assert_int_equal(see(&world, 8, 1000), TRIAL_RETURN);
	assert_int_equal(world.value[0], 168);
}

static void test_somebody_else(void **state)
{
	struct world world = world_of(&doubled, 100, MANY);

	(void)state;
	assert_int_equal(see(&world, 80, 1000), TRIAL_STEP);
	world.value[0] = 300;
	assert_int_equal(see(&world, 0, 1000), TRIAL_NONE);
	assert_null(trial_first(&world.trial));
	world.now_ns += 100 * MINUTE;
	assert_int_equal(see(&world, 0, 1000), TRIAL_NONE);
	assert_int_equal(see(&world, 80, 1000), TRIAL_STEP);
	assert_int_equal(world.value[0], 600);
	assert_int_equal(see(&world, 80, 1000), TRIAL_UNDO);
	assert_int_equal(world.value[0], 300);
}

static void test_refused(void **state)
{
	struct world world = world_of(&doubled, 100, MANY);
	struct trial_look look = look_of(&world, 80, 1000);
	int64_t to[TRIAL_INTS_MAX];

	(void)state;
	assert_int_equal(trial_look(&world.trial, &doubled, &look, to), TRIAL_STEP);
	trial_propose(&world.trial, &doubled, TRIAL_STEP, &look, to);
	trial_settle(&world.trial, &doubled, world.now_ns, world.value);
	assert_null(trial_first(&world.trial));
	assert_int_equal(see(&world, 80, 1000), TRIAL_STEP);
	assert_int_equal(world.value[0], 200);
	assert_int_equal(trial_first(&world.trial)[0], 100);
}

static void test_taken_back(void **state)
{
	const struct trial_rule lasting = { .n_ints = 1, .step_percent = 150 };
	struct world world = world_of(&lasting, 100, MANY);
	struct trial_look look;
	int64_t to[TRIAL_INTS_MAX];

	(void)state;
	look = look_of(&world, 0, 0);
	assert_int_equal(trial_take_back(&world.trial, &lasting, &look, 0, to), TRIAL_NONE);
	assert_int_equal(see(&world, 1, 0), TRIAL_STEP);
	assert_int_equal(see(&world, 1, 0), TRIAL_STEP); /* not judged */
	assert_int_equal(world.value[0], 225);
	world.now_ns += 1000 * MINUTE;
	assert_int_equal(see(&world, 0, 0), TRIAL_NONE); /* and it does not decay */
	look = look_of(&world, 0, 0);
	assert_int_equal(trial_take_back(&world.trial, &lasting, &look, world.now_ns + MINUTE, to), TRIAL_TAKE_BACK);
	assert_int_equal(to[0], 100);
	trial_propose(&world.trial, &lasting, TRIAL_TAKE_BACK, &look, to);
	world.value[0] = to[0];
	trial_settle(&world.trial, &lasting, world.now_ns, world.value);
	assert_null(trial_first(&world.trial));
	assert_int_equal(see(&world, 1, 0), TRIAL_NONE);
	world.now_ns += MINUTE;
	assert_int_equal(see(&world, 1, 0), TRIAL_STEP);
	assert_int_equal(world.value[0], 150);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kept_while_it_helps),
		cmocka_unit_test(test_undone_when_useless),
		cmocka_unit_test(test_hold_begins_anew),
		cmocka_unit_test(test_more_work_is_not_more_trouble),
		cmocka_unit_test(test_too_little_to_judge),
		cmocka_unit_test(test_any_counts),
		cmocka_unit_test(test_decay_and_return),
		cmocka_unit_test(test_decay_without_a_verdict),
		cmocka_unit_test(test_cap),
		cmocka_unit_test(test_somebody_else),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_taken_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
