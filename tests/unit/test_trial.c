// SPDX-License-Identifier: GPL-2.0-or-later
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

static struct trial_look look_of(const struct world *world, uint64_t trouble, uint64_t work)
{
	struct trial_look look = {
		.now_ns = world->now_ns, .since_ns = world->now_ns, .trouble = trouble, .work = work, .cap = world->cap
	};

	memcpy(look.value, world->value, sizeof(look.value));
	return look;
}

/* A look a second later; what it calls for is written. */
static enum trial_move see(struct world *world, uint64_t trouble, uint64_t work)
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

static struct world world_of(const struct trial_rule *rule, int64_t value, int64_t cap)
{
	return (struct world){ .rule = rule, .now_ns = MINUTE, .value = { value }, .cap = cap };
}

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

/* --- the caller's own measure ------------------------------------------------------------------- */

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

/* --- the size of a step ------------------------------------------------------------------------- */

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
		cmocka_unit_test(test_own_measure),
		cmocka_unit_test(test_own_measure_decays),
		cmocka_unit_test(test_own_measure_down),
		cmocka_unit_test(test_own_measure_of_what_is_not_ours),
		cmocka_unit_test(test_lowered),
		cmocka_unit_test(test_many_steps),
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
