// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "tuners/decide_tcp_buffer_measure.h"

static struct tcp_buffer_look look_at_us(uint64_t time_us)
{
	return (struct tcp_buffer_look){ .flow = 7, .turn = 3, .time_us = time_us, .bytes = 1000, .srtt_us = 40000 };
}

static void test_numbers(void **state)
{
	(void)state;
	assert_int_equal(since(5, 7), 2);
	assert_int_equal(since(7, 5), 0);
	assert_int_equal(scale(7, 10, 4), 17);
	assert_int_equal(scale(7, 10, 0), 0);
	assert_int_equal(scale(UINT64_MAX, UINT64_MAX, 1), INT64_MAX);
	assert_int_equal(scale(UINT64_MAX, 1, 2), INT64_MAX);
	assert_int_equal(max_u64(1, 2), 2);
	assert_int_equal(min_u64(1, 2), 1);
}

static void test_durations(void **state)
{
	static const struct {
		uint32_t srtt_us;
		uint64_t shortest_us, steady_us, patience_us;
	} cases[] = {
		{ 0, 50000, 200000, 1000000 },
		{ 25000, 50000, 200000, 1000000 },
		{ 25001, 50002, 200000, 1000000 },
		{ 50001, 100002, 200004, 1000000 },
		{ 83334, 166668, 333336, 1000008 },
		{ UINT32_MAX, 2ULL * UINT32_MAX, 4ULL * UINT32_MAX, 12ULL * UINT32_MAX },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct tcp_buffer_look look = { .srtt_us = cases[i].srtt_us };

		assert_int_equal(look_shortest_us(&look), cases[i].shortest_us);
		assert_int_equal(look_steady_us(&look), cases[i].steady_us);
		assert_int_equal(look_patience_us(&look), cases[i].patience_us);
	}
}

static void test_busy_time_and_rate(void **state)
{
	struct tcp_buffer_look from = look_at_us(1000000), to = look_at_us(3000000);

	(void)state;
	to.bytes = 5000;
	assert_int_equal(look_busy_us(&from, &to), 2000000); /* no ticks: all of it */
	assert_int_equal(look_rate(&from, &to), 2000);
	from.ticks = UINT32_MAX;
	to.ticks = 99;
	to.busy = 25;
	assert_int_equal(look_busy_us(&from, &to), 500000);
	assert_int_equal(look_rate(&from, &to), 8000);
	to.busy = 200;
	assert_int_equal(look_busy_us(&from, &to), 2000000);
	to.busy = 0;
	assert_int_equal(look_rate(&from, &to), 0);
	to.ticks = from.ticks;
	to.time_us = from.time_us - 1;
	assert_int_equal(look_busy_us(&from, &to), 0);
}

static void test_same_flow(void **state)
{
	const struct tcp_buffer_look from = look_at_us(1000000);
	struct tcp_buffer_look to;

	(void)state;
	to = from;
	assert_true(look_is_same_flow(&to, &from));
	to.flow++;
	assert_false(look_is_same_flow(&to, &from));
	to = from;
	to.turn++;
	assert_false(look_is_same_flow(&to, &from));
	to = from;
	to.time_us--;
	assert_false(look_is_same_flow(&to, &from));
	to = from;
	to.bytes--;
	assert_false(look_is_same_flow(&to, &from));
	assert_false(look_follows(&to, &from));

	to = look_at_us(3000000); /* silent for two seconds, or twelve round trips */
	assert_true(look_follows(&to, &from));
	to.time_us++;
	assert_false(look_follows(&to, &from));
	to.srtt_us = 200000;
	to.time_us = 3400000;
	assert_true(look_follows(&to, &from));
	to.time_us++;
	assert_false(look_follows(&to, &from));
}

static void test_percentages(void **state)
{
	const struct tcp_buffer_look from = { .looks = UINT32_MAX, .limited = UINT32_MAX, .busy = UINT32_MAX };
	struct tcp_buffer_look to = from;

	(void)state;
	assert_int_equal(look_limited_percent(&from, &to), 0); /* of nothing */
	assert_int_equal(look_waited_percent(&from, &to), 0);
	to.looks = 199;
	to.limited = 99;
	assert_int_equal(look_limited_percent(&from, &to), 50);
	to.limited = 98;
	assert_int_equal(look_limited_percent(&from, &to), 49);
	to.limited = 300;
	assert_int_equal(look_limited_percent(&from, &to), 100);
	to.busy = 199;
	to.sndbuf_limited = 30;
	assert_int_equal(look_waited_percent(&from, &to), 15);
}

static void test_peer(void **state)
{
	static const struct {
		uint32_t rwnd_percent, waited_percent;
		bool is_in_the_way;
	} cases[] = {
		{ 9, 0, false },   { 10, 0, true },   { 10, 19, true },
		{ 10, 20, false }, { 40, 80, false }, { 41, 80, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct tcp_buffer_look from = { .rwnd_limited = UINT32_MAX },
					     to = { .busy = 100,
						    .rwnd_limited = cases[i].rwnd_percent - 1,
						    .sndbuf_limited = cases[i].waited_percent };

		if (look_peer_is_in_the_way(&from, &to) != cases[i].is_in_the_way)
			fail_msg("case %zu", i);
	}
}

static void test_stood_still(void **state)
{
	struct tcp_buffer_side side = { .last = look_at_us(10000000), .stepped = look_at_us(9000000) };
	struct tcp_buffer_look look = look_at_us(10960000); /* four round trips, and 0.8 s */

	(void)state;
	assert_false(side_stood_still(&side, &look));
	look.time_us++;
	assert_true(side_stood_still(&side, &look));
	look.flow++;
	assert_false(side_stood_still(&side, &look));

	look = look_at_us(10460000); /* 0.3 s after a step */
	side.judging = true;
	assert_false(side_stood_still(&side, &look));
	look.time_us++;
	assert_true(side_stood_still(&side, &look));
	side.stepped.time_us = 5000001;
	assert_true(side_stood_still(&side, &look));
	side.stepped.time_us = 5000000; /* that is long ago */
	assert_false(side_stood_still(&side, &look));
}

static void test_path(void **state)
{
	struct tcp_buffer_look look = { .min_rtt_us = 30000, .srtt_us = 40000 };
	struct tcp_buffer_side side = { 0 };

	(void)state;
	assert_int_equal(look_shortest_rtt_us(&look), 30000);
	assert_int_equal(look_in_path_bytes(&look, 1000000), 30000);
	look.overhead_percent = 150;
	assert_int_equal(look_in_path_bytes(&look, 1000000), 45000);
	look.min_rtt_us = 0;
	assert_int_equal(look_shortest_rtt_us(&look), 40000);
	side_measure_from(&side, &look);
	assert_true(side.measuring);
	assert_memory_equal(&side.from, &look, sizeof(look));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_busy_time_and_rate),
		cmocka_unit_test(test_same_flow),
		cmocka_unit_test(test_percentages),
		cmocka_unit_test(test_peer),
		cmocka_unit_test(test_stood_still),
		cmocka_unit_test(test_path),
	};

	return cmocka_run_group_tests_name("decide_tcp_buffer_measure", tests, NULL, NULL);
}
