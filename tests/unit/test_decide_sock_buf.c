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
		int64_t cap_bytes, whole_bytes;
	} cases[] = {
		{ 0, 4096, 4 * MIB, 0 },
		{ 1023, 4096, 4 * MIB, 0 },
		{ 1024, 4096, 4 * MIB, 4096 },
		{ 6ULL << 18, 4096, 4 * MIB, 6 * MIB }, /* 6 GiB */
		{ 64ULL << 18, 4096, 4 * MIB, 64 * MIB },
		{ (64ULL << 18) + 1, 4096, 16 * MIB, 64 * MIB },
		{ 1ULL << 20, 65536, 4 * MIB, 64 * MIB },
		{ 2ULL << 20, 65536, 16 * MIB, 128 * MIB },
		{ UINT64_MAX, 4096, 4 * MIB, 4 * MIB }, /* sysconf(3) failed */
		{ UINT64_MAX - 1, UINT64_MAX, 16 * MIB, INT64_MAX },
		{ 1000, 0, 4 * MIB, 4 * MIB },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (sock_buf_cap_bytes(cases[i].memory_pages, cases[i].page_bytes) != cases[i].cap_bytes ||
		    sock_buf_whole_bytes(cases[i].memory_pages, cases[i].page_bytes) != cases[i].whole_bytes)
			fail_msg("%llu pages of %llu", (unsigned long long)cases[i].memory_pages,
				 (unsigned long long)cases[i].page_bytes);
}

static void test_wanted(void **state)
{
	static const struct {
		uint64_t asked_bytes, size_bytes, needed_bytes;
		int64_t wanted_bytes;
	} cases[] = {
		{ 4 * MIB, 425984, 851968, 425984 }, /* what is needed */
		{ 300000, 425984, 851968, 300000 },  /* what was asked for, if that is less */
		{ 212992, 425984, 851968, 0 },	     /* granted in full */
		{ 1000, 425984, 851968, 0 },
		{ 0, 425984, 851968, 0 },	       /* it never asked, as far as we know */
		{ INT32_MAX, 425984, 851968, 425984 }, /* whatever it asked for */
		{ INT32_MAX, 425984, 50 * 425984ULL, 25 * 425984 },
		{ 700000, 425984, 851968, 425984 }, /* between that and twice that */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (sock_buf_wanted_bytes(cases[i].asked_bytes, cases[i].size_bytes, cases[i].needed_bytes) !=
		    cases[i].wanted_bytes)
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
		assert_int_equal(sock_buf_needed_bytes(cases[i].size_bytes, cases[i].limited_percent),
				 cases[i].needed_bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cap),
		cmocka_unit_test(test_wanted),
		cmocka_unit_test(test_needed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
