// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/unit/fake_path.h"

/* --- the size of a step ------------------------------------------------------------------------- */

static void test_next(void **state)
{
	/* 100 kB in 40 ms is 2.5 MB/s */
	static const struct {
		const char *what;
		uint64_t rate;
		uint32_t min_rtt_us, srtt_us, overhead_percent, idle_percent;
		int64_t current_bytes, cap_bytes, next_bytes;
	} cases[] = {
		{ "a full limit doubles", 2500000, 40000, 40000, 100, 10, 100000, ANY_CAP, 200000 },
		{ "idle for two thirds of the time", 2500000, 40000, 40000, 100, 66, 100000, ANY_CAP, 294117 },
		{ "four times at most", 2500000, 40000, 40000, 100, 99, 100000, ANY_CAP, 400000 },
		{ "idle all of the time", 2500000, 40000, 40000, 100, 100, 100000, ANY_CAP, 400000 },
		{ "a percentage past 100", 2500000, 40000, 40000, 100, UINT32_MAX, 100000, ANY_CAP, 400000 },
		{ "overhead counts", 1250000, 40000, 40000, 200, 66, 100000, ANY_CAP, 294117 },
		{ "half of it waits in a queue", 1250000, 40000, 80000, 100, 10, 100000, ANY_CAP, 0 },
		{ "up to the cap", 2500000, 40000, 40000, 100, 99, 100000, 150000, 150000 },
		{ "a byte of room", 2500000, 40000, 40000, 100, 99, 100000, 100001, 100001 },
		{ "at the cap", 2500000, 40000, 40000, 100, 99, 100000, 100000, 0 },
		{ "past the cap", 2500000, 40000, 40000, 100, 99, 100000, 1000, 0 },
		{ "no cap's room", 2500000, 40000, 40000, 100, 99, 100000, 0, 0 },
		{ "a cap below nothing", 2500000, 40000, 40000, 100, 99, 100000, -1, 0 },
		{ "no shortest round trip: the smoothed one", 2500000, 0, 40000, 100, 10, 100000, ANY_CAP, 200000 },
		{ "no round trip at all", 2500000, 0, 0, 100, 99, 100000, ANY_CAP, 0 },
		{ "overhead not known", 2500000, 40000, 40000, 0, 10, 100000, ANY_CAP, 200000 },
		{ "nothing delivered", 0, 40000, 40000, 100, 99, 100000, ANY_CAP, 0 },
		{ "no limit", 2500000, 40000, 40000, 100, 99, 0, ANY_CAP, 0 },
		{ "a limit below nothing", 2500000, 40000, 40000, 100, 99, -4096, ANY_CAP, 0 },
		{ "huge rate", UINT64_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, 99, 100000, ANY_CAP, 400000 },
		{ "huge limit", UINT64_MAX, UINT32_MAX, UINT32_MAX, 100, 99, INT_MAX - 1, ANY_CAP, INT_MAX },
		{ "at the int's end", UINT64_MAX, UINT32_MAX, UINT32_MAX, 100, 99, INT_MAX, ANY_CAP, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct tcp_buffer_look look = {
			.min_rtt_us = cases[i].min_rtt_us,
			.srtt_us = cases[i].srtt_us,
			.overhead_percent = cases[i].overhead_percent,
			.limit_bytes = cases[i].current_bytes,
			.held_bytes = cases[i].current_bytes,
		};
		int64_t next = tcp_buffer_next_bytes(&look, cases[i].rate, cases[i].idle_percent,
						     cases[i].current_bytes, cases[i].cap_bytes);

		if (next != cases[i].next_bytes)
			fail_msg("%s: %lld", cases[i].what, (long long)next);
	}
}

/* What is held and not in the path waits in a queue; what a limit of 100 kB leaves free is no queue. */
static void test_held(void **state)
{
	static const struct {
		const char *what;
		uint32_t held_bytes, in_path_bytes;
		int64_t next_bytes;
	} cases[] = {
		{ "all, of which a quarter waits", 100000, 75000, 200000 },
		{ "all, of which more than a quarter waits", 100000, 74999, 0 },
		{ "two thirds, by a writer that polls", 66667, 62000, 200000 },
		{ "four fifths, by one that adds to that", 80000, 62000, 200000 },
		{ "four fifths, of which more than a quarter waits", 80000, 59999, 0 },
		{ "little, by an application that meets the limit now and then", 40000, 40000, 0 },
		{ "half, by another", 54000, 54000, 0 },
		{ "nothing", 0, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct tcp_buffer_look look = {
			.min_rtt_us = 40000,
			.srtt_us = 40000,
			.limit_bytes = 100000,
			.held_bytes = cases[i].held_bytes,
		};

		if (tcp_buffer_next_bytes(&look, cases[i].in_path_bytes * 25ULL, 0, 100000, ANY_CAP) !=
		    cases[i].next_bytes)
			fail_msg("%s", cases[i].what);
	}
}

static void test_the_limit_has_moved_since(void **state)
{
	const struct tcp_buffer_look look = { .min_rtt_us = 40000, .srtt_us = 40000, .limit_bytes = 99999 };

	(void)state;
	assert_int_equal(tcp_buffer_next_bytes(&look, 2500000, 50, 100000, ANY_CAP), 0);
}

static void test_long_path(void **state)
{
	static const char *const kinds[] = { "sending", "receiving", "sending, not accounted", "sending, polling" };
	static const int64_t starts[] = { 16 * KIB, 64 * KIB, 256 * KIB, 1 * MIB, 4 * MIB, 6 * MIB };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(starts); i++)
		for (int kind = 0; kind < 4; kind++)
			for (uint32_t rtt_us = 10000; rtt_us <= 160000; rtt_us *= 2) {
				struct path path = path_new(starts[i]);

				path.rtt_us = rtt_us;
				path.receiving = kind == 1;
				path.blind = kind >= 2;
				path.polls = kind == 3;
				if (enough_bytes(&path) < starts[i] || (kind && starts[i] < 64 * KIB))
					continue;
				if (path.polls && enough_bytes(&path) > starts[i] * 512)
					continue; /* nine doublings */
				run(&path, 100);
				assert_fits(&path, kinds[kind]);
			}
}

static void test_bdp_is_reached_soon(void **state)
{
	struct path path = path_new(256 * KIB);
	uint64_t begin_us = path.look.time_us;

	(void)state;
	while (path.rate_now < path.rate / 10 * 9)
		round_trip(&path);
	assert_in_range(path.look.time_us - begin_us, 0, 1500 * MS);
}

/* Nothing is limited by what it does not use. */
static void test_nothing_to_do(void **state)
{
	struct path path;

	(void)state;
	path = path_new(4 * MIB); /* its application gives a tenth of what the limit lets through */
	path.app_rate = 10000000;
	run(&path, 1000);
	assert_int_equal(path.changes, 0);

	path = path_new(4 * MIB); /* the peer's window is smaller */
	path.rwnd_bytes = 1 * MIB;
	run(&path, 1000);
	assert_int_equal(path.changes, 0);

	path = path_new(64 * KIB); /* over before a measurement is: 200 kB */
	run(&path, 4);
	assert_int_equal(path.changes, 0);

	path = path_new(64 * MIB); /* a bottleneck behind a long queue: the limit holds eight times what it carries */
	run(&path, 1000);
	assert_int_equal(path.changes, 0);
}

/* An application that pauses between large messages: its pauses are not for the buffer, and no buffer ends them. */
static void test_bursts(void **state)
{
	static const struct {
		uint64_t bytes;
		uint32_t pause_us;
		int64_t least_bytes;
	} bursts[] = {
		{ 1 * MIB, 500 * MS, 512 * KIB },
		{ 1 * MIB, 1900 * MS, 512 * KIB },
		{ 4 * MIB, 1000 * MS, 2 * MIB },
		{ 20 * MIB, 10000 * MS, 4 * MIB }, /* half of what the path holds: most of such a burst is slow start */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bursts); i++)
		for (int receiving = 0; receiving < 2; receiving++) {
			struct path path = path_new(64 * KIB);

			path.burst_bytes = bursts[i].bytes;
			path.pause_us = bursts[i].pause_us;
			path.receiving = receiving;
			run(&path, 500);
			if (path.limit_bytes < bursts[i].least_bytes || path.limit_bytes > (int64_t)bursts[i].bytes * 2)
				fail_msg("%llu bytes and %u us, receiving %d: %lld after %d changes",
					 (unsigned long long)bursts[i].bytes, bursts[i].pause_us, receiving,
					 (long long)path.limit_bytes, path.changes);
		}
}

/* It was not followed for a while, and what was counted of it began anew. */
static void test_another_turn(void **state)
{
	struct path path = path_new(256 * KIB);

	(void)state;
	while (!path.changes)
		round_trip(&path);
	run(&path, 3); /* the measurement for the verdict has begun */
	path.look.turn++;
	path.look.time_us += 30000 * MS;
	path.look.looks = path.look.limited = path.look.ticks = path.look.busy = 0;
	assert_int_equal(round_trip(&path).action, TCP_BUFFER_WAIT);
	assert_true(path.side.judging);
	run(&path, 100);
	assert_fits(&path, "after another turn");
}

static int changes_of(uint32_t peer_percent, uint32_t pauses_of_5)
{
	struct path path = path_new(256 * KIB);

	path.burst_rate = path.rate / 25; /* 8 MB/s: waits for room in a quarter of the time */
	path.peer_percent = peer_percent;
	path.pauses_of_5 = pauses_of_5;
	run(&path, 1000);
	return path.changes;
}

/* The buffer is in the way now and then, but what is in the way most of the time is something else. */
static void test_more_in_the_way_than_the_buffer(void **state)
{
	(void)state;
	assert_int_not_equal(changes_of(0, 0), 0);
	assert_int_not_equal(changes_of(9, 0), 0); /* the peer's window, for a moment */
	assert_int_equal(changes_of(40, 0), 0);
	assert_int_not_equal(changes_of(0, 1), 0);
	assert_int_not_equal(changes_of(0, 2), 0); /* the application, in two round trips of five */
	assert_int_equal(changes_of(0, 3), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_next),
		cmocka_unit_test(test_held),
		cmocka_unit_test(test_the_limit_has_moved_since),
		cmocka_unit_test(test_long_path),
		cmocka_unit_test(test_bdp_is_reached_soon),
		cmocka_unit_test(test_nothing_to_do),
		cmocka_unit_test(test_bursts),
		cmocka_unit_test(test_another_turn),
		cmocka_unit_test(test_more_in_the_way_than_the_buffer),
	};

	return cmocka_run_group_tests_name("decide_tcp_buffer", tests, NULL, NULL);
}
