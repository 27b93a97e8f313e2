// SPDX-License-Identifier: GPL-2.0-or-later
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "tuners/decide_sock_buf.h"

#define MIB (1024 * 1024)

static void test_cap(void **state)
{
	static const struct {
		uint64_t memory_pages, page_bytes;
		int64_t cap_bytes;
	} cases[] = {
		{ 0, 4096, 0 },
		{ 255, 4096, 0 },
		{ 256, 4096, 4096 },
		{ 6ULL << 18, 4096, 24 * MIB }, /* 6 GiB */
		{ (64ULL << 18) - 1, 4096, 256 * MIB - 4096 },
		{ 64ULL << 18, 4096, 256 * MIB },
		{ UINT64_MAX, 4096, 256 * MIB }, /* sysconf(3) failed, too */
		{ UINT64_MAX, UINT64_MAX, 256 * MIB },
		{ 256, UINT64_MAX, 256 * MIB },
		{ 1000, 0, 256 * MIB },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (sock_buf_cap_bytes(cases[i].memory_pages, cases[i].page_bytes) != cases[i].cap_bytes)
			fail_msg("%llu pages of %llu", (unsigned long long)cases[i].memory_pages,
				 (unsigned long long)cases[i].page_bytes);
}

static void test_next(void **state)
{
	static const struct {
		int64_t asked_bytes, current_bytes, cap_bytes, next_bytes;
	} cases[] = {
		{ 4 * MIB, 212992, 24 * MIB, 4 * MIB },
		{ 212993, 212992, 24 * MIB, 212993 },
		{ 212992, 212992, 24 * MIB, 0 },
		{ 100, 212992, 24 * MIB, 0 },
		{ 25 * MIB, 212992, 24 * MIB, 24 * MIB },
		{ 25 * MIB, 24 * MIB, 24 * MIB, 0 },
		{ 26 * MIB, 25 * MIB, 24 * MIB, 0 }, /* somebody's own limit is above our cap */
		{ UINT32_MAX, 212992, 24 * MIB, 24 * MIB },
		{ INT64_MAX, 212992, INT64_MAX, INT64_MAX },
		{ 4 * MIB, 0, 24 * MIB, 4 * MIB },
		{ 4 * MIB, 212992, 0, 0 },
		{ 0, 0, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (sock_buf_next_bytes(cases[i].asked_bytes, cases[i].current_bytes, cases[i].cap_bytes) !=
		    cases[i].next_bytes)
			fail_msg("case %zu", i);
}

static void test_needed(void **state)
{
	static const struct {
		uint64_t size_bytes;
		uint32_t limited_percent;
		uint64_t needed_bytes;
	} cases[] = {
		{ 65536, 0, 65536 },
		{ 65536, 50, 131072 },
		{ 65536, 90, 655360 },
		{ 65536, 98, 3276800 },
		{ 65536, 100, 3276800 },
		{ 65536, UINT32_MAX, 3276800 }, /* a counter that went backwards */
		{ 0, 90, 0 },
		{ UINT32_MAX, 99, UINT32_MAX * 50ULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(sock_buf_needed_bytes(cases[i].size_bytes, cases[i].limited_percent), cases[i].needed_bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cap),
		cmocka_unit_test(test_next),
		cmocka_unit_test(test_needed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
