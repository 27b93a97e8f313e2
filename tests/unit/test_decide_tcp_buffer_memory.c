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

/* A container of 64 MiB: all large buffers may have 16. */
static struct tcp_buffer_memory small_container(uint64_t taken_bytes, uint32_t n_flows)
{
	return (struct tcp_buffer_memory){
		.pressure_pages = UINT64_MAX,
		.container_pages = 16384,
		.page_bytes = 4096,
		.taken_bytes = taken_bytes,
		.n_flows = n_flows,
	};
}

static void test_shared_container(void **state)
{
	static const struct {
		uint64_t taken_bytes;
		uint32_t n_flows;
		int64_t cap_bytes;
	} cases[] = {
		{ 0, 0, 16 * MIB }, { 0, 1, 16 * MIB },	     { 0, 2, 8 * MIB },
		{ 0, 8, 2 * MIB },  { 8 * MIB, 2, 4 * MIB }, { 16 * MIB - 1, 1, 1 },
		{ 16 * MIB, 1, 0 }, { UINT64_MAX, 1, 0 },    { 0, UINT32_MAX, 0 },
	};
	struct tcp_buffer_memory memory;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		memory = small_container(cases[i].taken_bytes, cases[i].n_flows);
		if (tcp_buffer_cap_bytes(&memory) != cases[i].cap_bytes)
			fail_msg("row %zu: %lld", i, (long long)tcp_buffer_cap_bytes(&memory));
	}
	memory = small_container(8 * MIB, 8);
	memory.container_pages = UINT64_MAX; /* nothing to share */
	assert_int_equal(tcp_buffer_cap_bytes(&memory), INT_MAX);
}

static void test_crowd(void **state)
{
	const struct tcp_buffer_memory memory = small_container(0, 0);
	struct tcp_buffer_memory unlimited = memory;
	struct tcp_buffer_crowd crowd = { 0 };

	(void)state;
	tcp_buffer_crowd_add(&crowd, &memory, 8 * MIB, 8 * MIB, MIB / 4 - 1); /* one 64th of 16 MiB is large */
	assert_int_equal(crowd.bytes, 0);
	assert_int_equal(crowd.n, 0);
	tcp_buffer_crowd_add(&crowd, &memory, 8 * MIB, 8 * MIB, MIB / 4);
	tcp_buffer_crowd_add(&crowd, &memory, 8 * MIB, 8 * MIB, 8 * MIB);
	assert_int_equal(crowd.n, 2);
	assert_int_equal(crowd.beyond_bytes, 0);
	tcp_buffer_crowd_add(&crowd, &memory, 8 * MIB, 8 * MIB, 8 * MIB + 1);
	assert_int_equal(crowd.n, 2);
	assert_int_equal(crowd.beyond_bytes, 8 * MIB + 1);
	assert_int_equal(crowd.bytes, 16 * MIB + MIB / 4 + 1);

	crowd = (struct tcp_buffer_crowd){ 0 }; /* at a small limit, three quarters of it are */
	tcp_buffer_crowd_add(&crowd, &memory, MIB / 4, MIB / 4, MIB / 16 * 3 - 1);
	assert_int_equal(crowd.n, 0);
	tcp_buffer_crowd_add(&crowd, &memory, MIB / 4, MIB / 4, MIB / 16 * 3);
	assert_int_equal(crowd.n, 1);
	unlimited.container_pages = UINT64_MAX;
	tcp_buffer_crowd_add(&crowd, &unlimited, 8 * MIB, 8 * MIB, 6 * MIB - 1);
	assert_int_equal(crowd.n, 1);
}

static void test_watched(void **state)
{
	struct tcp_buffer_memory memory = small_container(0, 0);

	(void)state;
	assert_int_equal(tcp_buffer_watched_bytes(&memory, MIB / 2 + 1, MIB / 2), MIB / 2);
	assert_int_equal(tcp_buffer_watched_bytes(&memory, MIB / 2 + 1, MIB / 2 + 1), 0); /* not raised */
	assert_int_equal(tcp_buffer_watched_bytes(&memory, MIB / 2, MIB / 4), 0);	  /* 32 of these fit */
	memory.container_pages = UINT64_MAX;
	assert_int_equal(tcp_buffer_watched_bytes(&memory, INT_MAX, MIB), 0);
}

static void test_fit(void **state)
{
	(void)state;
	/* limit, cap, first */
	assert_int_equal(tcp_buffer_fit_bytes(8 * MIB, 8 * MIB, MIB), 8 * MIB);
	assert_int_equal(tcp_buffer_fit_bytes(8 * MIB, 8 * MIB - 1, MIB), 4 * MIB);
	assert_int_equal(tcp_buffer_fit_bytes(8 * MIB, 2 * MIB, MIB), 2 * MIB);
	assert_int_equal(tcp_buffer_fit_bytes(8 * MIB, 0, MIB), MIB);
	assert_int_equal(tcp_buffer_fit_bytes(7 * MIB, 0, 3 * MIB), 3 * MIB);
	assert_int_equal(tcp_buffer_fit_bytes(MIB, 0, MIB), MIB);
	assert_int_equal(tcp_buffer_fit_bytes(MIB, 0, 2 * MIB), MIB); /* somebody has lowered it */
	assert_int_equal(tcp_buffer_fit_bytes(INT_MAX, 0, 0), 0);
}

/* The cap with buffers of such sizes: the walks of tcp_crowd.c. */
static int64_t cap_with(const int64_t *sizes, size_t n, int64_t limit_bytes)
{
	int64_t cap_bytes = limit_bytes, to_bytes;

	do {
		struct tcp_buffer_memory memory = small_container(0, 0);
		struct tcp_buffer_crowd crowd = { 0 };

		to_bytes = cap_bytes;
		for (size_t i = 0; i < n; i++)
			tcp_buffer_crowd_add(&crowd, &memory, limit_bytes, to_bytes, sizes[i]);
		memory = small_container(crowd.beyond_bytes, crowd.n);
		cap_bytes = tcp_buffer_cap_bytes(&memory);
	} while (cap_bytes < to_bytes);
	return cap_bytes;
}

/* Flows that begin one after another, and grow to the limit each: those that it was raised for stay within their part.
 */
static void test_many_flows_one_after_another(void **state)
{
	const int64_t first_bytes = 64 * 1024;

	(void)state;
	for (int64_t raised_bytes = MIB; raised_bytes <= 16 * MIB; raised_bytes *= 2) {
		int64_t limit_bytes = raised_bytes, sizes[100], sum = 0;

		for (size_t n = 0; n < ARRAY_SIZE(sizes); n++) {
			sizes[n] = MIB / 2; /* this one, on its way */
			limit_bytes =
				tcp_buffer_fit_bytes(limit_bytes, cap_with(sizes, n + 1, limit_bytes), first_bytes);
			sizes[n] = limit_bytes;
			sum += limit_bytes > first_bytes ? limit_bytes : 0;
		}
		assert_int_equal(limit_bytes, first_bytes);
		assert_in_range(sum, 8 * MIB, 16 * MIB);
	}
}

/* Those that begin at once share it. */
static void test_many_flows_at_once(void **state)
{
	int64_t sizes[8];

	(void)state;
	for (size_t n = 0; n < ARRAY_SIZE(sizes); n++)
		sizes[n] = MIB;
	assert_int_equal(cap_with(sizes, 8, 16 * MIB), 2 * MIB);
	sizes[0] = 9 * MIB; /* one has grown already */
	assert_int_equal(cap_with(sizes, 8, 16 * MIB), MIB);
	sizes[1] = 8 * MIB;
	assert_int_equal(cap_with(sizes, 8, 16 * MIB), 0);
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

static void test_floor(void **state)
{
	(void)state;
	/* boot, machine, first, default */
	assert_int_equal(tcp_buffer_floor_bytes(4 * MIB, 1024 * MIB, 64 * MIB, 16384), 4 * MIB);
	assert_int_equal(tcp_buffer_floor_bytes(32 * MIB, 1024 * MIB, 64 * MIB, 16384), 8 * MIB);
	assert_int_equal(tcp_buffer_floor_bytes(4 * MIB, 1024 * MIB, 2 * MIB, 16384), 2 * MIB);
	assert_int_equal(tcp_buffer_floor_bytes(4 * MIB, 1024 * MIB, 2 * MIB, 3 * MIB), 3 * MIB);
	assert_int_equal(tcp_buffer_floor_bytes(4 * MIB, 0, 2 * MIB, 16384), 16384);
	assert_int_equal(tcp_buffer_lower_bytes(64 * MIB, 4 * MIB), 32 * MIB);
	assert_int_equal(tcp_buffer_lower_bytes(7 * MIB, 4 * MIB), 4 * MIB);
	assert_int_equal(tcp_buffer_lower_bytes(8 * MIB, 4 * MIB), 4 * MIB);
	assert_int_equal(tcp_buffer_lower_bytes(4 * MIB + 1, 4 * MIB), 4 * MIB);
	assert_int_equal(tcp_buffer_lower_bytes(4 * MIB, 4 * MIB), 0);
	assert_int_equal(tcp_buffer_lower_bytes(MIB, 4 * MIB), 0);
}

static enum tcp_buffer_relief relieve(struct tcp_buffer_shortage *shortage, uint64_t allocated, uint64_t held)
{
	const struct tcp_buffer_memory memory = { .allocated_pages = allocated, .pressure_pages = 1000 };

	return tcp_buffer_relieve(shortage, &memory, held);
}

static void test_who_has_grown(void **state)
{
	static const struct {
		const char *what;
		uint64_t allocated, held, allocated_later, held_later;
		enum tcp_buffer_relief relief;
	} cases[] = {
		{ "all of the growth", 800, 100, 840, 140, TCP_BUFFER_RELIEF_STEP },
		{ "a quarter of it", 800, 100, 840, 110, TCP_BUFFER_RELIEF_STEP },
		{ "less than a quarter", 800, 100, 849, 111, TCP_BUFFER_RELIEF_NONE },
		{ "an eighth", 800, 100, 880, 110, TCP_BUFFER_RELIEF_STEP },
		{ "less than an eighth", 800, 100, 899, 111, TCP_BUFFER_RELIEF_NONE },
		{ "a sixteenth", 750, 100, 910, 110, TCP_BUFFER_RELIEF_STEP },
		{ "less than that", 750, 100, 942, 111, TCP_BUFFER_RELIEF_NONE },
		{ "one part in 32", 650, 100, 970, 110, TCP_BUFFER_RELIEF_STEP },
		{ "less than one part in 32", 650, 100, 989, 109, TCP_BUFFER_RELIEF_NONE },
		{ "one part in 64", 400, 100, 1040, 110, TCP_BUFFER_RELIEF_STEP },
		{ "less than one part in 64", 400, 100, 1168, 111, TCP_BUFFER_RELIEF_NONE },
		{ "hardly any growth", 800, 100, 809, 109, TCP_BUFFER_RELIEF_NONE },
		{ "most of all, but no growth", 800, 700, 900, 700, TCP_BUFFER_RELIEF_NONE },
		{ "it holds less", 800, 700, 900, 600, TCP_BUFFER_RELIEF_NONE },
		{ "growth while all shrinks", 850, 100, 840, 110, TCP_BUFFER_RELIEF_STEP },
		{ "an eighth, at 85 %", 770, 100, 850, 110, TCP_BUFFER_RELIEF_STEP },
		{ "an eighth, at less", 769, 100, 849, 110, TCP_BUFFER_RELIEF_NONE },
		{ "a sixteenth, at 90 %", 740, 100, 900, 110, TCP_BUFFER_RELIEF_STEP },
		{ "a sixteenth, at less", 739, 100, 899, 110, TCP_BUFFER_RELIEF_NONE },
		{ "one part in 32, at 95 %", 630, 100, 950, 110, TCP_BUFFER_RELIEF_STEP },
		{ "one part in 32, at less", 629, 100, 949, 110, TCP_BUFFER_RELIEF_NONE },
		{ "one part in 64, at 100 %", 360, 100, 1000, 110, TCP_BUFFER_RELIEF_STEP },
		{ "one part in 64, at less", 359, 100, 999, 110, TCP_BUFFER_RELIEF_NONE },
		{ "enough again", 800, 100, 799, 140, TCP_BUFFER_RELIEF_NONE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tcp_buffer_shortage shortage = { 0 };
		enum tcp_buffer_relief relief;

		assert_int_equal(relieve(&shortage, cases[i].allocated, cases[i].held), TCP_BUFFER_RELIEF_NONE);
		relief = relieve(&shortage, cases[i].allocated_later, cases[i].held_later);
		if (relief != cases[i].relief)
			fail_msg("%s: %d", cases[i].what, relief);
		assert_int_equal(shortage.is_judging, relief == TCP_BUFFER_RELIEF_STEP);
	}
}

static void test_relief_is_judged(void **state)
{
	struct tcp_buffer_shortage shortage = { 0 };

	(void)state;
	relieve(&shortage, 800, 100);
	assert_int_equal(relieve(&shortage, 850, 150), TCP_BUFFER_RELIEF_STEP);
	assert_int_equal(relieve(&shortage, 900, 159), TCP_BUFFER_RELIEF_KEEP);
	assert_int_equal(relieve(&shortage, 900, 168), TCP_BUFFER_RELIEF_NONE); /* counted from the verdict on */
	assert_int_equal(relieve(&shortage, 910, 169), TCP_BUFFER_RELIEF_STEP);
	assert_int_equal(relieve(&shortage, 920, 179), TCP_BUFFER_RELIEF_UNDO);
	assert_int_equal(relieve(&shortage, 999, 299), TCP_BUFFER_RELIEF_NONE); /* nothing more is tried */
	assert_int_equal(relieve(&shortage, 1200, 900), TCP_BUFFER_RELIEF_NONE);
}

static void test_worst(void **state)
{
	struct tcp_buffer_memory memory = { .allocated_pages = 1199, .pressure_pages = 1000 };

	(void)state;
	assert_false(tcp_buffer_memory_is_worst(&memory));
	memory.allocated_pages++;
	assert_true(tcp_buffer_memory_is_worst(&memory));
	memory.allocated_pages = 749;
	assert_false(tcp_buffer_memory_is_short(&memory));
	memory.allocated_pages++;
	assert_true(tcp_buffer_memory_is_short(&memory));
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
		cmocka_unit_test(test_shared_container),
		cmocka_unit_test(test_crowd),
		cmocka_unit_test(test_watched),
		cmocka_unit_test(test_fit),
		cmocka_unit_test(test_many_flows_one_after_another),
		cmocka_unit_test(test_many_flows_at_once),
		cmocka_unit_test(test_share),
		cmocka_unit_test(test_floor),
		cmocka_unit_test(test_who_has_grown),
		cmocka_unit_test(test_relief_is_judged),
		cmocka_unit_test(test_worst),
		cmocka_unit_test(test_spell),
		cmocka_unit_test(test_smallest_container),
	};

	return cmocka_run_group_tests_name("decide_tcp_buffer_memory", tests, NULL, NULL);
}
