// SPDX-License-Identifier: GPL-2.0-or-later
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "tuners/decide_tcp_buffer.h"

static void test_cap(void **state)
{
	static const struct {
		uint64_t mem_pressure_pages, page_bytes;
		int64_t cap_bytes;
	} cases[] = {
		{ 0, 4096, 0 },
		{ 7, 4096, 0 },
		{ 8, 4096, 4096 },
		{ 15, 4096, 4096 },
		{ 91542, 4096, 46866432 }, /* a machine of 6 GiB */
		{ 91542, 65536, 749862912 },
		{ 8 * 524286ULL, 4096, 524286 * 4096LL }, /* the last but one below an int */
		{ 8 * 524288ULL, 4096, INT_MAX },
		{ UINT32_MAX, 65536, INT_MAX },
		{ UINT64_MAX, 1, INT_MAX },
		{ UINT64_MAX, UINT64_MAX, INT_MAX },
		{ 1ULL << 55, 4096, INT_MAX }, /* an eighth, in bytes, is 2^64 */
		{ (1ULL << 55) + 8, 4096, INT_MAX },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int64_t cap_bytes = tcp_buffer_cap_bytes(cases[i].mem_pressure_pages, cases[i].page_bytes);

		if (cap_bytes != cases[i].cap_bytes)
			fail_msg("%llu pages of %llu: %lld", (unsigned long long)cases[i].mem_pressure_pages,
				 (unsigned long long)cases[i].page_bytes, (long long)cap_bytes);
	}
}

static void test_next(void **state)
{
	static const struct {
		const char *what;
		int64_t limit_bytes, current_bytes, cap_bytes, next_bytes;
	} cases[] = {
		{ "doubles", 4096, 4096, 1 << 20, 8192 },
		{ "doubles past a limit that was met above the sysctl", 9000, 4096, 1 << 20, 8192 },
		{ "up to the cap", 4096, 4096, 8192, 8192 },
		{ "not past the cap", 4096, 4096, 8191, 8191 },
		{ "a byte of room", 4096, 4096, 4097, 4097 },
		{ "an odd cap", 50, 50, 101, 100 },
		{ "an odd cap, closer", 51, 51, 101, 101 },
		{ "holds at the cap", 4096, 4096, 4096, 0 },
		{ "holds past the cap", 8192, 8192, 4096, 0 },
		{ "holds: the limit has moved", 4096, 8192, 1 << 20, 0 },
		{ "holds: the limit has moved by a byte", 8191, 8192, 1 << 20, 0 },
		{ "holds without a cap's room", 4096, 4096, 0, 0 },
		{ "holds at nothing", 0, 0, 1 << 20, 0 },
		{ "holds at all zeroes", 0, 0, 0, 0 },
		{ "holds below nothing", 0, -4096, 1 << 20, 0 },
		{ "holds at a cap below nothing", 4096, 4096, -1, 0 },
		{ "largest that doubles in an int", 1 << 30, (1 << 30) - 1, INT_MAX, INT_MAX - 1 },
		{ "to the int's end", 1 << 30, 1 << 30, INT_MAX, INT_MAX },
		{ "holds at the int's end", INT_MAX, INT_MAX, INT_MAX, 0 },
		{ "does not wrap around", INT64_MAX, INT64_MAX - 1, INT64_MAX, INT64_MAX },
		{ "holds at the end of all", INT64_MAX, INT64_MAX, INT64_MAX, 0 },
		{ "holds at the start of all", INT64_MIN, INT64_MIN, INT64_MIN, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int64_t next_bytes = tcp_buffer_next_bytes(cases[i].limit_bytes, cases[i].current_bytes, cases[i].cap_bytes);

		if (next_bytes != cases[i].next_bytes)
			fail_msg("%s: %lld", cases[i].what, (long long)next_bytes);
	}
}

/* From the smallest buffer to any cap: ever upwards, never past it, and done in a step a bit. */
static void test_staircase(void **state)
{
	(void)state;
	for (int64_t cap_bytes = 2; cap_bytes <= INT_MAX; cap_bytes = cap_bytes * 5 / 3 + 1) {
		int64_t now = 1, next;
		int steps = 0;

		while ((next = tcp_buffer_next_bytes(now, now, cap_bytes))) {
			assert_true(next > now && next <= cap_bytes);
			now = next;
			steps++;
		}
		assert_int_equal(now, cap_bytes);
		assert_true(steps <= 31);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cap),
		cmocka_unit_test(test_next),
		cmocka_unit_test(test_staircase),
	};

	return cmocka_run_group_tests_name("decide_tcp_buffer", tests, NULL, NULL);
}
