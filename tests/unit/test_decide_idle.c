// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "tuners/decide_idle.h"
#include "worker/trial.h"

#define SECOND_NS UINT64_C(1000000000)

static void test_harm(void **state)
{
	static const struct {
		struct idle_kept kept;
		bool is_harmful;
	} cases[] = {
		{ { 0 }, false },
		{ { 1, 0, 138, 0 }, false },
		{ { 1, 1, 138, 3 }, false }, /* chance */
		{ { 1, 1, 138, 4 }, true },
		{ { 4, 4, 550, 4 }, true },
		{ { 40, 4, 5500, 4 }, false }, /* one window in ten */
		{ { 39, 4, 5500, 4 }, true },
		{ { 40, 1, 400, 4 }, false }, /* one segment in a hundred */
		{ { 40, 1, 399, 4 }, true },
		{ { UINT32_MAX, UINT32_MAX / 10, UINT64_MAX, UINT32_MAX }, false },
		{ { UINT32_MAX, UINT32_MAX, UINT64_MAX, UINT32_MAX }, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (idle_is_harmful(&cases[i].kept) != cases[i].is_harmful)
			fail_msg("case %zu", i);
}

static void test_add(void **state)
{
	struct idle_kept kept = { 0 };

	(void)state;
	for (int i = 0; i < 98; i++)
		idle_add(&kept, 100, 0);
	idle_add(&kept, 10, 1);
	idle_add(&kept, 20, 5);
	assert_int_equal(kept.windows, 100);
	assert_int_equal(kept.lossy, 2);
	assert_int_equal(kept.segs, 9830);
	assert_int_equal(kept.lost, 6);
	idle_add(&kept, 30, 7);
	assert_int_equal(kept.windows, 1);
	assert_int_equal(kept.lossy, 1);
	assert_int_equal(kept.segs, 30);
	assert_int_equal(kept.lost, 7);
}

static void test_hold(void **state)
{
	(void)state;
	assert_int_equal(idle_hold_s(0), 600);
	assert_int_equal(idle_hold_s(1), 1200);
	assert_int_equal(idle_hold_s(7), 76800);
	assert_int_equal(idle_hold_s(8), 76800);
	assert_int_equal(idle_hold_s(UINT32_MAX), 76800);
}

/* What a look calls for after so many seconds, and is written. */
static enum trial_move see(struct trial *trial, int64_t *value, uint64_t *now_ns, unsigned int after_s, bool is_needed)
{
	static const struct trial_rule rule = { .n_ints = 1, .step_percent = 200, .is_down = true, .decays = true };
	struct trial_look look = { .trouble = is_needed, .value = { *value } };
	int64_t to[TRIAL_INTS_MAX] = { 0 };
	enum trial_move move;

	*now_ns += after_s * SECOND_NS;
	look.now_ns = look.since_ns = *now_ns;
	move = trial_look(trial, &rule, &look, to);
	if (move == TRIAL_NONE || move == TRIAL_FULL)
		return move;
	trial_propose(trial, &rule, move, &look, to);
	*value = to[0];
	trial_settle(trial, &rule, *now_ns, to);
	return move;
}

/* The remedy is a switch: on, off, and on again when nobody has needed that for ten minutes. */
static void test_switch(void **state)
{
	struct trial trial = { 0 };
	uint64_t now_ns = SECOND_NS;
	int64_t value = 1;

	(void)state;
	assert_int_equal(see(&trial, &value, &now_ns, 1, true), TRIAL_STEP);
	assert_int_equal(value, 0);
	assert_int_equal(see(&trial, &value, &now_ns, 100, true), TRIAL_FULL);
	assert_int_equal(see(&trial, &value, &now_ns, 599, false), TRIAL_NONE);
	assert_int_equal(see(&trial, &value, &now_ns, 1, false), TRIAL_DECAY);
	assert_int_equal(value, 1);
	assert_int_equal(see(&trial, &value, &now_ns, 1, true), TRIAL_RETURN);
	assert_int_equal(value, 0);
	assert_int_equal(see(&trial, &value, &now_ns, 1199, false), TRIAL_NONE);
	assert_int_equal(see(&trial, &value, &now_ns, 1, false), TRIAL_DECAY);
	assert_int_equal(value, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_harm),
		cmocka_unit_test(test_add),
		cmocka_unit_test(test_hold),
		cmocka_unit_test(test_switch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
