// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "tuners/decide_neigh.h"

/* Neighbours that have answered, of those that are new; of the past ones it is known whether they will. */
static void test_judge(void **state)
{
	static const struct {
		struct neigh_counts now, past;
		enum neigh_verdict verdict;
	} cases[] = {
		{ { .created = 100, .answered = 100 }, { 0 }, NEIGH_RAISE },
		{ { .created = 100, .answered = 50 }, { 0 }, NEIGH_RAISE },
		{ { .created = 100, .answered = 49 }, { 0 }, NEIGH_WAIT },
		{ { .created = 1, .answered = 1 }, { 0 }, NEIGH_RAISE },
		{ { .created = 10000, .refused = 5 }, { 0 }, NEIGH_WAIT }, /* they had no time to answer */
		{ { .refused = 5 }, { 0 }, NEIGH_RAISE },		   /* no room for any */
		{ { .refused = 5 }, { .created = 8 }, NEIGH_OF_NO_USE },
		{ { .refused = 5 }, { .created = 7 }, NEIGH_WAIT },
		{ { .refused = 5 }, { .created = 8, .answered = 3 }, NEIGH_OF_NO_USE },
		{ { .refused = 5 }, { .created = 8, .answered = 4 }, NEIGH_RAISE },
		{ { .created = 9 }, { .created = 8, .answered = 4 }, NEIGH_WAIT },
		{ { .created = 100 }, { .created = 100, .answered = 100 }, NEIGH_RAISE },
		{ { .created = 100, .answered = 100 }, { .created = 90 }, NEIGH_RAISE },
		{ { .created = 100, .answered = 90 }, { .created = 90 }, NEIGH_OF_NO_USE },
		{ { .created = UINT32_MAX, .answered = UINT32_MAX },
		  { .created = UINT32_MAX, .answered = UINT32_MAX },
		  NEIGH_RAISE },
		{ { .created = UINT32_MAX }, { .created = UINT32_MAX, .answered = UINT32_MAX / 2 }, NEIGH_OF_NO_USE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (neigh_judge(&cases[i].now, &cases[i].past) != cases[i].verdict)
			fail_msg("case %zu", i);
}

static void test_per_second(void **state)
{
	const struct neigh_counts counts = { .created = 300, .answered = 200, .refused = 700, .remade = 100 };
	const struct neigh_counts most = { .created = UINT32_MAX, .refused = UINT32_MAX };

	(void)state;
	assert_int_equal(neigh_per_second(&counts, 2000), 500);
	assert_int_equal(neigh_per_second(&counts, 1000), 1000);
	assert_int_equal(neigh_per_second(&counts, 10), 1000); /* so many in less than a second is no rate */
	assert_int_equal(neigh_per_second(&counts, 0), 1000);
	assert_int_equal(neigh_per_second(&most, 1), 2ULL * UINT32_MAX);
}

static void test_more(void **state)
{
	(void)state;
	assert_int_equal(neigh_more(128, 128), 384);
	assert_int_equal(neigh_more(128, 512), 1920);
	assert_int_equal(neigh_more(1, INT32_MAX), 4LL * INT32_MAX - 1);
	assert_int_equal(neigh_more(128, 127), 0);
	assert_int_equal(neigh_more(0, 0), 0);
	assert_int_equal(neigh_more(-1, 5), 0);
	assert_int_equal(neigh_more(1, INT32_MAX + 1LL), 0);
}

static void test_whole(void **state)
{
	(void)state;
	assert_int_equal(neigh_whole(1 << 20, 4096), 65536); /* 4 GiB: a 64th is 64 MiB */
	assert_int_equal(neigh_whole(1 << 16, 65536), 65536);
	assert_int_equal(neigh_whole(1 << 21, 4096), 131072);
	assert_int_equal(neigh_whole((1 << 21) - 64, 4096), 131072 - 4);
	assert_int_equal(neigh_whole(1LL << 32, 4096), 131072);
	assert_int_equal(neigh_whole(0, 4096), 0);
}

static void test_in_proportion(void **state)
{
	static const struct {
		int64_t first[3], thresh3;
		bool is_churned;
		int64_t thresh[2];
	} cases[] = {
		{ { 128, 512, 1024 }, 1024, false, { 128, 512 } },
		{ { 128, 512, 1024 }, 4096, false, { 512, 2048 } },
		{ { 128, 512, 1024 }, 3000, false, { 375, 1500 } },
		{ { 128, 512, 1024 }, 900, false, { 128, 512 } },
		{ { 128, 512, 1024 }, 1024, true, { 448, 896 } },
		{ { 128, 512, 1024 }, 4096, true, { 1792, 3584 } },
		{ { 900, 1000, 1024 }, 1024, true, { 900, 1000 } }, /* never lower */
		{ { 0, 0, 1024 }, 4096, false, { 0, 0 } },
		{ { 0, 0, 1024 }, 4096, true, { 1792, 3584 } },
		{ { 5, 6, 0 }, 4096, false, { 5, 6 } },
		{ { 10, 20, 2 }, INT32_MAX, false, { INT32_MAX, INT32_MAX } },
	};
	int64_t thresh[2];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		neigh_in_proportion(cases[i].first, cases[i].thresh3, cases[i].is_churned, thresh);
		if (thresh[0] != cases[i].thresh[0] || thresh[1] != cases[i].thresh[1])
			fail_msg("case %zu", i);
	}
	assert_int_equal(neigh_thresh2_max(1024), 896);
	assert_int_equal(neigh_thresh2_max(7), 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_judge), cmocka_unit_test(test_per_second),    cmocka_unit_test(test_more),
		cmocka_unit_test(test_whole), cmocka_unit_test(test_in_proportion),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
