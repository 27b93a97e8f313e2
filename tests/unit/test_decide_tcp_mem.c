// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "tuners/decide_tcp_mem.h"

static void test_needed(void **state)
{
	static const struct {
		uint64_t allocated, held;
		int64_t first[2], needed;
	} cases[] = {
		{ 6144, 6144, { 8192, 16384 }, 8192 }, /* all three half as large again: twice 6144 is 12288 */
		{ 16384, 16384, { 8192, 16384 }, 49152 },
		{ 16384, 4096, { 8192, 16384 }, 12288 },  /* a quarter of that */
		{ 16384, 20000, { 8192, 16384 }, 49152 }, /* measured a little later */
		{ 16384, 0, { 8192, 16384 }, 0 },
		{ 16384, 16384, { 8192, 8192 }, 24576 },
		{ 2, 2, { 1, 2 }, 6 },
		{ 16384, 1, { 8192, 16384 }, 3 },
		{ 4096, 4096, { 8192, 16384 }, 0 },
		{ 1000, 1000, { 8192, 16384 }, 0 },
		{ 0, 0, { 8192, 16384 }, 0 },
		{ 16384, 16384, { 0, 0 }, 0 },
		{ 16384, 16384, { 100, 50 }, 0 }, /* not in order */
		{ UINT64_MAX, UINT64_MAX, { 1, INT64_MAX }, INT64_MAX / 2 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (tcp_mem_needed_pages(cases[i].allocated, cases[i].held, cases[i].first) != cases[i].needed)
			fail_msg("case %zu", i);
}

static void test_uncharged(void **state)
{
	(void)state;
	/* an eighth of 8000 is 1000 */
	assert_int_equal(tcp_mem_uncharged_pages(500, 8000, 400, 1), 500);
	assert_int_equal(tcp_mem_uncharged_pages(700, 8000, 400, 1), 600);
	assert_int_equal(tcp_mem_uncharged_pages(700, 8000, 400, 0), 600);
	assert_int_equal(tcp_mem_uncharged_pages(700, 8000, 400, 3), 200);
	assert_int_equal(tcp_mem_uncharged_pages(199, 8000, 400, 3), 199);
	assert_int_equal(tcp_mem_uncharged_pages(700, 8000, 0, 1), 700);
	assert_int_equal(tcp_mem_uncharged_pages(1200, 8000, 0, 1), 1000);
	assert_int_equal(tcp_mem_uncharged_pages(700, 8000, 999, 1), 1);
	assert_int_equal(tcp_mem_uncharged_pages(700, 8000, 1000, 1), 0);
	assert_int_equal(tcp_mem_uncharged_pages(700, 8000, 5000, 1), 0);
	assert_int_equal(tcp_mem_uncharged_pages(700, 8000, -1, 1), 0);
	assert_int_equal(tcp_mem_uncharged_pages(0, 8000, 400, 1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_needed),
		cmocka_unit_test(test_uncharged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
