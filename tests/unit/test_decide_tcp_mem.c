// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "tuners/decide_tcp_mem.h"

static void test_cap(void **state)
{
	(void)state;
	assert_int_equal(tcp_mem_cap(0, 0), 0);
	assert_int_equal(tcp_mem_cap(1000, 0), 250);
	assert_int_equal(tcp_mem_cap(1000, 200), 300);
	assert_true(tcp_mem_cap(UINT64_MAX, UINT64_MAX) == UINT64_MAX / 4 * 2);
}

static void test_next(void **state)
{
	static const struct {
		int64_t current[3];
		uint64_t cap;
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
		{ { 1, 1, 1 }, 10000, false, { 0 } }, /* half of one is none */
		{ { 1, 400, 800 }, 10000, true, { 1, 600, 1200 } },
		{ { 2, 2, 2 }, 10000, true, { 3, 3, 3 } },
		{ { 0, 400, 800 }, 10000, false, { 0 } },
		{ { 300, 200, 800 }, 10000, false, { 0 } },
		{ { 300, 400, 399 }, 10000, false, { 0 } },
		{ { -3, -2, -1 }, 10000, false, { 0 } },
		/* a machine of 6 GiB, and one of 16 TiB: more pages than 32 bits */
		{ { 68655, 91542, 137310 }, 1500000, true, { 102982, 137313, 205965 } },
		{ { 3LL << 31, 4LL << 31, 8LL << 31 }, 1ULL << 40, true, { 9LL << 30, 12LL << 30, 24LL << 30 } },
		{ { INT64_MAX / 4, INT64_MAX / 2, INT64_MAX }, UINT64_MAX, false, { 0 } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int64_t next[3] = { 0 };

		if (tcp_mem_next(cases[i].current, cases[i].cap, next) != cases[i].raised)
			fail_msg("case %zu", i);
		for (int n = 0; n < 3; n++)
			if (next[n] != cases[i].next[n])
				fail_msg("case %zu: [%d] is %lld", i, n, (long long)next[n]);
	}
}

/* However large, they grow, stay in order and within the cap. */
static void test_any_size(void **state)
{
	(void)state;
	for (int shift = 0; shift < 60; shift++) {
		const int64_t current[3] = { 3LL << shift, 4LL << shift, 5LL << shift };
		uint64_t cap = (uint64_t)current[2] + current[2] / 3 + 1;
		int64_t next[3];

		assert_true(tcp_mem_next(current, cap, next));
		assert_true(next[0] >= current[0] && next[1] >= current[1] && next[2] > current[2]);
		assert_true(next[0] <= next[1] && next[1] <= next[2] && (uint64_t)next[2] <= cap);
	}
}

static void test_ease(void **state)
{
	static const int64_t initial[3] = { 300, 400, 800 }, none[3] = { 0 }, huge[3] = { 1, INT64_MAX, INT64_MAX };
	const uint64_t second_ns = 1000000000;

	(void)state;
	assert_int_equal(tcp_mem_eased_below(initial), 200);
	assert_int_equal(tcp_mem_eased_below(none), 0);
	assert_int_equal(tcp_mem_eased_below(huge), INT64_MAX / 2);
	assert_false(tcp_mem_is_over(second_ns, 11 * second_ns - 1));
	assert_true(tcp_mem_is_over(second_ns, 11 * second_ns));
	assert_false(tcp_mem_is_over(second_ns, second_ns));
	assert_false(tcp_mem_is_over(2 * second_ns, second_ns)); /* two CPUs' clocks */
	assert_true(tcp_mem_is_over(0, UINT64_MAX));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cap),
		cmocka_unit_test(test_next),
		cmocka_unit_test(test_any_size),
		cmocka_unit_test(test_ease),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
