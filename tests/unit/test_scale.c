// SPDX-License-Identifier: GPL-2.0-or-later
/* a * b / c in 64 bits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "tuners/scale.h"

static void test_cases(void **state)
{
	static const struct {
		uint64_t a, b, c, result;
	} cases[] = {
		{ 0, 0, 1, 0 },
		{ 7, 3, 0, 0 },
		{ 7, 3, 2, 10 },
		{ UINT64_MAX, 0, 5, 0 },
		{ INT64_MAX, 1, 1, INT64_MAX },
		{ UINT64_MAX, 1, 1, INT64_MAX },
		{ UINT64_MAX, UINT64_MAX, 1, INT64_MAX },
		{ UINT64_MAX, UINT64_MAX, UINT64_MAX, INT64_MAX },
		{ UINT64_MAX, INT64_MAX, UINT64_MAX, INT64_MAX },
		{ UINT64_MAX - 1, INT64_MAX, UINT64_MAX, INT64_MAX - 1 },
		{ UINT64_MAX, 5, UINT64_MAX - 1, 5 },
		{ 1ULL << 40, 1ULL << 40, 1ULL << 30, 1ULL << 50 },
		{ (1ULL << 40) + 1, 1ULL << 40, 1ULL << 40, (1ULL << 40) + 1 },
		{ 1250000000, 60000000000, 1000000, 75000000000000 },
		{ 12345678901234567, 98765432109876543, 55555555555555555, 21947873604663921 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(scale(cases[i].a, cases[i].b, cases[i].c), cases[i].result);
		assert_int_equal(scale(cases[i].b, cases[i].a, cases[i].c), cases[i].result);
	}
}

/* As a compiler does it that has 128 bits: numbers of all lengths. */
static void test_wide(void **state)
{
#ifdef __SIZEOF_INT128__
	uint64_t numbers[3], seed = 1;

	(void)state;
	for (int i = 0; i < 100000; i++) {
		unsigned __int128 expected;

		for (size_t n = 0; n < ARRAY_SIZE(numbers); n++) {
			seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
			numbers[n] = (seed ^ seed >> 29) >> (seed >> 58);
		}
		expected = numbers[2] ? (unsigned __int128)numbers[0] * numbers[1] / numbers[2] : 0;
		assert_int_equal(scale(numbers[0], numbers[1], numbers[2]),
				 expected > INT64_MAX ? INT64_MAX : (uint64_t)expected);
	}
#else
	(void)state;
	skip();
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_wide),
	};

	return cmocka_run_group_tests_name("scale", tests, NULL, NULL);
}
