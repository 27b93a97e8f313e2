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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_needed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
