// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "tuners/decide_pmtu.h"

#define SECOND_NS UINT64_C(1000000000)

static void test_black_hole(void **state)
{
	static const struct {
		struct pmtu_counts counts;
		bool is_one;
	} cases[] = {
		{ { 0, 0, 0 }, false }, { { 0, 1, 1 }, false }, { { 1, 0, 0 }, false }, /* an outage looks the same, and
											   the next three */
		{ { 9, 0, 0 }, false }, { { 1, 0, 1 }, false },				/* the remote may have gone */
		{ { 1, 0, 9 }, false }, { { 1, 1, 0 }, true },	{ { 2, 0, 1 }, true },	{ { 2, 1, 1 }, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (pmtu_is_black_hole(&cases[i].counts) != cases[i].is_one)
			fail_msg("case %zu", i);
}

static void test_judge(void **state)
{
	static const struct {
		struct pmtu_outcome outcome;
		enum pmtu_verdict verdict;
	} cases[] = {
		{ { 2, 0, 0 }, PMTU_WAIT },
		{ { 1, 0, 20 * SECOND_NS - 1 }, PMTU_WAIT },
		{ { 1, 0, 20 * SECOND_NS }, PMTU_USELESS },
		{ { 0, 0, SECOND_NS }, PMTU_USELESS }, /* all have ended, or moved on by themselves */
		{ { 1, 1, 7 * SECOND_NS }, PMTU_HELPED },
		{ { 0, 1, 7 * SECOND_NS }, PMTU_HELPED },
		{ { 1, 1, 21 * SECOND_NS }, PMTU_HELPED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (pmtu_judge(&cases[i].outcome) != cases[i].verdict)
			fail_msg("case %zu", i);
}

static void test_hold(void **state)
{
	(void)state;
	assert_int_equal(pmtu_hold_ns(0), 600 * SECOND_NS);
	assert_int_equal(pmtu_hold_ns(1), 1200 * SECOND_NS);
	assert_int_equal(pmtu_hold_ns(7), 76800 * SECOND_NS);
	assert_int_equal(pmtu_hold_ns(8), 76800 * SECOND_NS);
	assert_int_equal(pmtu_hold_ns(UINT32_MAX), 76800 * SECOND_NS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_black_hole),
		cmocka_unit_test(test_judge),
		cmocka_unit_test(test_hold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
