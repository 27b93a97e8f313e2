// SPDX-License-Identifier: GPL-2.0-or-later
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "tuners/decide_conntrack.h"

/* A search looks at eight buckets, and each entry is in two. */
static void test_unanswered(void **state)
{
	static const struct {
		uint64_t entries, buckets, dropped, evicted;
		unsigned int percent;
	} cases[] = {
		{ 1000, 1000, 100, 0, 0 },     { 1000, 1000, 0, 0, 0 },
		{ 1000, 1000, 0, 100, 100 },   { 1000, 1000, 500, 500, 4 }, /* ln 2 / 16 */
		{ 1000, 1000, 1, 999999, 86 }, { 4000, 1000, 500, 500, 1 },
		{ 250, 1000, 500, 500, 17 },   { 10, 1000, 500, 500, 100 }, /* ln 2 / 0.16: more than all */
		{ 0, 1000, 500, 500, 100 },    { 1000, 0, 500, 500, 100 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct conntrack_use use = { .entries = cases[i].entries,
						   .buckets = cases[i].buckets,
						   .dropped = cases[i].dropped,
						   .evicted = cases[i].evicted };

		if (conntrack_unanswered_percent(&use) != cases[i].percent)
			fail_msg("case %zu: %u", i, conntrack_unanswered_percent(&use));
	}
}

static void test_judge(void **state)
{
	static const struct {
		struct conntrack_use use;
		enum conntrack_verdict verdict;
	} cases[] = {
		{ { 1000, 1000, 1000, 1, 6 }, CONNTRACK_WAIT },
		{ { 1000, 1000, 1000, 7, 0 }, CONNTRACK_WAIT },
		{ { 1000, 1000, 1000, 9, 0 }, CONNTRACK_NEED },
		{ { 1000, 1000, 1000, 1000, 1000 }, CONNTRACK_NEED },
		/* e^-8 is what half of the table would leave */
		{ { 1000, 1000, 1000, 4, 10000 }, CONNTRACK_NEED },
		{ { 1000, 1000, 1000, 3, 10000 }, CONNTRACK_NEED }, /* 50.7 % */
		{ { 1000, 1000, 1000, 2, 10000 }, CONNTRACK_FLOOD },
		{ { 1000, 1000, 1000, 1, 100000 }, CONNTRACK_FLOOD },
		{ { 1000, 1000, 1000, 0, 100000 }, CONNTRACK_OTHER }, /* nobody is refused */
		/* In a table with many more buckets than entries a search hardly ever meets one. */
		{ { 1000, 1000, 262144, 100, 0 }, CONNTRACK_WAIT },
		{ { 1000, 1000, 262144, 136, 0 }, CONNTRACK_NEED },
		{ { 1000, 1000, 262144, 1000, 29 }, CONNTRACK_NEED },
		{ { 1000, 1000, 262144, 1000, 60 }, CONNTRACK_FLOOD },
		/* full from seven eighths on, as CPUs count at the same time */
		{ { 875, 1000, 1000, 100, 0 }, CONNTRACK_NEED },
		{ { 874, 1000, 1000, 100, 0 }, CONNTRACK_OTHER },
		{ { 0, 0, 0, 100, 0 }, CONNTRACK_OTHER },
		{ { 1000, 1000, 0, 100, 0 }, CONNTRACK_WAIT },
		{ { UINT64_MAX, UINT64_MAX, 1, UINT64_MAX, UINT64_MAX }, CONNTRACK_NEED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (conntrack_judge(&cases[i].use) != cases[i].verdict)
			fail_msg("case %zu: %d", i, conntrack_judge(&cases[i].use));
}

static void test_refused(void **state)
{
	(void)state;
	assert_int_equal(conntrack_refused(&(struct conntrack_use){ .dropped = 0, .evicted = 5 }), 0);
	assert_int_equal(conntrack_refused(&(struct conntrack_use){ .dropped = 5, .evicted = 0 }), 1000);
	assert_int_equal(conntrack_refused(&(struct conntrack_use){ .dropped = 1, .evicted = 3 }), 250);
	assert_int_equal(conntrack_refused(&(struct conntrack_use){ 0 }), 0);
}

static void test_bounds(void **state)
{
	(void)state;
	assert_int_equal(conntrack_whole(32ULL << 18, 4096), (1LL << 30) / 400); /* 32 GiB: 1 GiB of entries */
	assert_int_equal(conntrack_whole(1ULL << 18, 4096), (32LL << 20) / 400);
	assert_int_equal(conntrack_whole(31, 4096), 0);
	assert_int_equal(conntrack_whole(UINT64_MAX, 4096), 0); /* sysconf(3) failed */
	assert_int_equal(conntrack_whole(1ULL << 18, 0), 0);
	assert_int_equal(conntrack_cap(0), 0);
	assert_int_equal(conntrack_cap(262144), 1048576);
	assert_int_equal(conntrack_cap(536870910), 2147483640);
	assert_int_equal(conntrack_cap(536870911), INT32_MAX);
	assert_int_equal(conntrack_cap(UINT64_MAX), INT32_MAX);
}

/* What is claimed for a table that is still in use: as long as it would not fit into the first limit, with room to
 * spare. */
static void test_kept(void **state)
{
	(void)state;
	assert_int_equal(conntrack_kept(0), 0);
	assert_int_equal(conntrack_kept(1000), 1250);
	assert_int_equal(conntrack_kept(INT32_MAX), INT32_MAX);
	assert_int_equal(conntrack_kept(UINT64_MAX), INT32_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unanswered), cmocka_unit_test(test_judge), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_bounds),	   cmocka_unit_test(test_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
