// SPDX-License-Identifier: GPL-2.0-or-later
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "tuners/decide_tcp_buffer_memory.h"

#define MIB (1024 * 1024LL)
#define MS 1000ULL

static void test_cap(void **state)
{
	static const struct {
		uint64_t pressure_pages, container_pages, page_bytes;
		int64_t cap_bytes;
	} cases[] = {
		{ 0, UINT64_MAX, 4096, 0 },
		{ 7, UINT64_MAX, 4096, 0 },
		{ 8, UINT64_MAX, 4096, 4096 },
		{ 15, UINT64_MAX, 4096, 4096 },
		{ 91542, UINT64_MAX, 4096, 46866432 }, /* a machine of 6 GiB */
		{ 91542, UINT64_MAX, 65536, 749862912 },
		{ 8 * 524286ULL, UINT64_MAX, 4096, 524286 * 4096LL }, /* the last but one below an int */
		{ 8 * 524288ULL, UINT64_MAX, 4096, INT_MAX },
		{ UINT32_MAX, UINT64_MAX, 65536, INT_MAX },
		{ UINT64_MAX, UINT64_MAX, 1, INT_MAX },
		{ UINT64_MAX, UINT64_MAX, UINT64_MAX, INT_MAX },
		{ 1ULL << 55, UINT64_MAX, 4096, INT_MAX }, /* an eighth, in bytes, is 2^64 */
		{ 91542, 16384, 4096, 16 * MIB },	   /* a container of 64 MiB */
		{ 91542, 0, 4096, 0 },
		{ 91542, 3, 4096, 0 },
		{ UINT64_MAX, 4, 4096, 4096 },
		{ UINT64_MAX, 1ULL << 60, 65536, INT_MAX },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct tcp_buffer_memory memory = {
			.pressure_pages = cases[i].pressure_pages,
			.container_pages = cases[i].container_pages,
			.page_bytes = cases[i].page_bytes,
		};
		int64_t cap_bytes = tcp_buffer_cap_bytes(&memory);

		if (cap_bytes != cases[i].cap_bytes)
			fail_msg("row %zu: %lld", i, (long long)cap_bytes);
	}
}

static void test_share(void **state)
{
	(void)state;
	assert_int_equal(tcp_buffer_share_bytes(MIB, 9 * MIB, 4), 3 * MIB);
	assert_int_equal(tcp_buffer_share_bytes(MIB, 9 * MIB, 1), 9 * MIB);
	assert_int_equal(tcp_buffer_share_bytes(MIB, 9 * MIB, 0), 9 * MIB);
	assert_int_equal(tcp_buffer_share_bytes(MIB, 9 * MIB, UINT32_MAX), MIB);
	assert_int_equal(tcp_buffer_share_bytes(9 * MIB, MIB, 4), MIB); /* it is past the cap already */
	assert_int_equal(tcp_buffer_share_bytes(0, INT_MAX, 2), INT_MAX / 2);
}

static void test_give_back(void **state)
{
	static const struct {
		const char *what;
		uint64_t allocated_pages, pressure_pages, held_pages;
		int64_t default_bytes, current_bytes, back_bytes;
	} cases[] = {
		{ "memory in plenty", 790, 1000, 790, MIB, 64 * MIB, 0 },
		{ "who holds most is first", 800, 1000, 200, MIB, 64 * MIB, 32 * MIB },
		{ "who holds less is not yet", 800, 1000, 199, MIB, 64 * MIB, 0 },
		{ "an eighth", 850, 1000, 107, MIB, 64 * MIB, 32 * MIB },
		{ "a sixteenth", 900, 1000, 57, MIB, 64 * MIB, 32 * MIB },
		{ "one part in 32", 950, 1000, 30, MIB, 64 * MIB, 32 * MIB },
		{ "one part in 64", 1000, 1000, 16, MIB, 64 * MIB, 32 * MIB },
		{ "hardly any, and it is exhausted", 5000, 1000, 70, MIB, 64 * MIB, 0 },
		{ "holds nothing", 5000, 1000, 0, MIB, 64 * MIB, 0 },
		{ "holds nothing, nor does anybody", 0, 1000, 0, MIB, 64 * MIB, 0 },
		{ "it was large from the beginning", 800, 1000, 800, 16384, INT_MAX, INT_MAX / 2 },
		{ "not below what sockets begin with", 800, 1000, 800, MIB, MIB + 10, MIB },
		{ "no more than that", 800, 1000, 800, MIB, MIB, 0 },
		{ "less than that", 800, 1000, 800, 2 * MIB, MIB, 0 },
		{ "tcp_mem unknown", 800, 0, 800, MIB, 64 * MIB, 0 },
		{ "more pages than 32 bits", 8LL << 32, 10LL << 32, 2LL << 32, MIB, 64 * MIB, 32 * MIB },
		{ "the same, a page short", 8LL << 32, 10LL << 32, (2LL << 32) - 1, MIB, 64 * MIB, 0 },
		{ "huge", UINT64_MAX, 1, UINT64_MAX, 1, INT_MAX, INT_MAX / 2 },
		{ "huge, all", UINT64_MAX, UINT64_MAX, UINT64_MAX / 64, 1, INT64_MAX, INT64_MAX / 2 },
		{ "zeroes", 0, 0, 0, 0, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct tcp_buffer_memory memory = {
			.allocated_pages = cases[i].allocated_pages,
			.pressure_pages = cases[i].pressure_pages,
		};
		int64_t back = tcp_buffer_give_back_bytes(&memory, cases[i].held_pages, cases[i].default_bytes,
							  cases[i].current_bytes);

		if (back != cases[i].back_bytes)
			fail_msg("%s: %lld", cases[i].what, (long long)back);
	}
}

static void test_spell(void **state)
{
	struct tcp_buffer_period period = { 0 };

	(void)state;
	assert_int_equal(tcp_buffer_period_us(&period, 5000000), 0);
	assert_int_equal(tcp_buffer_period_us(&period, 8000000), 3000000);
	assert_int_equal(tcp_buffer_period_us(&period, 7999999), 2999999); /* two CPUs' clocks */
	assert_int_equal(tcp_buffer_period_us(&period, 11000000), 0);	   /* there was a gap */
	assert_int_equal(tcp_buffer_period_us(&period, 10999999), 0);
	assert_int_equal(tcp_buffer_period_us(&period, 12000000), 1000001);
	assert_int_equal(tcp_buffer_period_us(&period, UINT64_MAX), 0);
}

/* Whose flow it is changes nothing. */
static void test_smallest_container(void **state)
{
	struct tcp_buffer_smallest smallest = { 0 };
	const uint64_t minute_us = 60 * 1000 * MS;
	uint64_t now_us = 1;

	(void)state;
	assert_int_equal(tcp_buffer_smallest_pages(&smallest, UINT64_MAX, now_us), UINT64_MAX);
	assert_int_equal(tcp_buffer_smallest_pages(&smallest, 1000, ++now_us), 1000);
	for (int i = 0; i < 60; i++) {
		now_us += minute_us / 2;
		assert_int_equal(tcp_buffer_smallest_pages(&smallest, 9000, now_us), i < 20 ? 1000 : 9000);
	}
	for (int i = 0; i < 60; i++) { /* a sidecar that is heard of now and then */
		now_us += minute_us;
		assert_int_equal(tcp_buffer_smallest_pages(&smallest, i % 5 ? 9000 : 1000, now_us), 1000);
	}
}

static void test_reckoned(void **state)
{
	struct tcp_buffer_smallest smallest = { 0 };

	(void)state;
	assert_int_equal(tcp_buffer_reckoned_pages(&smallest, 4096), 4096);
	assert_int_equal(tcp_buffer_reckoned_pages(&smallest, 65536), 256);
	tcp_buffer_smallest_pages(&smallest, 777, 1);
	assert_int_equal(tcp_buffer_reckoned_pages(&smallest, 4096), 777);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reckoned),
		cmocka_unit_test(test_cap),
		cmocka_unit_test(test_share),
		cmocka_unit_test(test_give_back),
		cmocka_unit_test(test_spell),
		cmocka_unit_test(test_smallest_container),
	};

	return cmocka_run_group_tests_name("decide_tcp_buffer_memory", tests, NULL, NULL);
}
