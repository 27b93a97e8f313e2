// SPDX-License-Identifier: GPL-2.0-or-later
/* While no step waits for its verdict: when the next one is made, and when a raised limit comes down, at the borders.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "tuners/decide_tcp_buffer.h"
#include "tuners/scale.h"

#define NOW_US 60000000ULL
#define LIMIT 400000 /* raised from */
#define FIRST 100000

static struct tcp_buffer_limit limit_of(int64_t bytes)
{
	return (struct tcp_buffer_limit){ .bytes = bytes, .cap_bytes = INT32_MAX, .first_bytes = FIRST };
}

/* A flow that holds all of the limit, at 40 ms. */
static struct tcp_buffer_look look_at_limit(int64_t limit_bytes, uint64_t bytes)
{
	return (struct tcp_buffer_look){
		.flow = 7,
		.time_us = NOW_US,
		.bytes = bytes,
		.srtt_us = 40000,
		.min_rtt_us = 40000,
		.size_bytes = limit_bytes,
		.limit_bytes = limit_bytes,
		.held_bytes = limit_bytes,
		.looks = 150,
		.limited = 100,
		.is_limited = true,
	};
}

static struct tcp_buffer_side measuring_at(int64_t limit_bytes, uint64_t window_us)
{
	return (struct tcp_buffer_side){
		.measuring = true,
		.has_gained = true,
		.from = { .flow = 7,
			  .time_us = NOW_US - window_us,
			  .limit_bytes = limit_bytes,
			  .looks = 50,
			  .limited = 50 },
		.last = { .flow = 7, .time_us = NOW_US - 10000, .srtt_us = 40000 },
		.seen_us = 1,
		.gaps = 2,
		.successors = 2,
	};
}

static void test_step(void **state)
{
	static const struct {
		const char *what;
		int64_t limit_bytes;
		uint64_t window_us, bytes; /* of a full path: ten times the limit in 0.4 s */
		uint32_t limited;
		bool paid, has_gained;
		int64_t cap_bytes, to_bytes; /* 0: no step */
	} cases[] = {
		{ "too short a measurement", LIMIT, 199999, 2000000, 100, false, true, INT32_MAX, 0 },
		{ "a measurement", LIMIT, 200000, 2000000, 100, false, true, INT32_MAX, 800000 },
		{ "in half of the round trips", LIMIT, 200000, 2000000, 100, false, true, INT32_MAX, 800000 },
		{ "in less", LIMIT, 200000, 2000000, 99, false, true, INT32_MAX, 0 },
		{ "a gain that is not measured for long", LIMIT, 79999, 800000, 100, true, true, INT32_MAX, 0 },
		{ "after a gain, boldly", LIMIT, 80000, 800000, 100, true, true, INT32_MAX, 1600000 },
		{ "boldly up to 1 MiB", 1048575, 80000, 2097152, 100, true, true, INT32_MAX, 4194300 },
		{ "from 1 MiB on less so", 1048576, 80000, 2097152, 100, true, true, INT32_MAX, 2621440 },
		{ "the first step from a tiny limit", 262144, 200000, 1310720, 100, false, false, INT32_MAX, 1048576 },
		{ "the first step from a larger one", 262145, 200000, 1310725, 100, false, false, INT32_MAX, 524290 },
		{ "not the first", 262144, 200000, 1310720, 100, false, true, INT32_MAX, 524288 },
		{ "the first, to the cap", 262144, 200000, 1310720, 100, false, false, 300000, 300000 },
		{ "a quarter waits in a queue", LIMIT, 200000, 1500000, 100, false, true, INT32_MAX, 800000 },
		{ "more than a quarter", LIMIT, 200000, 1499990, 100, false, true, INT32_MAX, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tcp_buffer_side side = measuring_at(cases[i].limit_bytes, cases[i].window_us);
		struct tcp_buffer_look look = look_at_limit(cases[i].limit_bytes, cases[i].bytes);
		struct tcp_buffer_limit limit = limit_of(cases[i].limit_bytes);
		struct tcp_buffer_decision decision;

		limit.cap_bytes = cases[i].cap_bytes;
		look.limited = cases[i].limited;
		side.paid = cases[i].paid;
		side.has_gained = cases[i].has_gained;
		decision = tcp_buffer_decide(&side, &look, &limit);
		if (decision.bytes != cases[i].to_bytes || (decision.action == TCP_BUFFER_STEP) != !!decision.bytes)
			fail_msg("%s: %d to %lld", cases[i].what, decision.action, (long long)decision.bytes);
		assert_int_equal(side.judging, decision.bytes != 0);
		assert_memory_equal(&side.last, &look, sizeof(look));
	}
}

static void test_what_a_step_remembers(void **state)
{
	struct tcp_buffer_side side = measuring_at(LIMIT, 200000);
	struct tcp_buffer_look look = look_at_limit(LIMIT, 2000000);
	const struct tcp_buffer_limit limit = limit_of(LIMIT);
	struct tcp_buffer_decision decision;

	(void)state;
	look.srtt_us = 41000;
	decision = tcp_buffer_decide(&side, &look, &limit);
	assert_int_equal(decision.action, TCP_BUFFER_STEP);
	assert_int_equal(decision.rate, 10000000);
	assert_int_equal(decision.limited_percent, 50);
	assert_true(side.judging && !side.measuring);
	assert_int_equal(side.flow, 7);
	assert_int_equal(side.successors, 0);
	assert_int_equal(side.gaps, 0);
	assert_int_equal(side.seen_us, NOW_US);
	assert_int_equal(side.prev_rate, 10000000);
	assert_int_equal(side.prev_srtt_us, 41000);
	assert_int_equal(side.prev_min_rtt_us, 40000);
	assert_memory_equal(&side.stepped, &look, sizeof(look));
}

/* A measurement begins with a look at a flow that is limited, and again when the limit is another or time is missing.
 */
static void test_measurement_begins(void **state)
{
	const struct tcp_buffer_limit limit = limit_of(LIMIT);
	struct tcp_buffer_look look = look_at_limit(LIMIT, 2000000);
	struct tcp_buffer_side side;

	(void)state;
	for (int why = 0; why < 6; why++) {
		side = measuring_at(LIMIT, 200000);
		look = look_at_limit(LIMIT, 2000000);
		side.measuring = why != 0;
		side.from.flow += why == 1;
		side.from.limit_bytes += why == 2;
		side.last.time_us -= why == 3 ? 960000 : 0; /* it stood still */
		side.holds[6].until_us = why == 4 ? NOW_US + 1 : NOW_US;
		look.rwnd_limited = why == 5 ? 50 : 0; /* the peer is in the way */
		look.busy = 100;
		look.ticks = 100;
		assert_int_equal(tcp_buffer_decide(&side, &look, &limit).action, TCP_BUFFER_WAIT);
		assert_int_equal(side.measuring, why != 4);
		if (why != 4)
			assert_int_equal(side.from.time_us, NOW_US);
	}
	for (int is_old = 0; is_old < 2; is_old++) { /* not while it grows by itself */
		side = measuring_at(LIMIT, 200000);
		side.measuring = is_old;
		look = look_at_limit(LIMIT, 20000);
		look.is_limited = false;
		assert_int_equal(tcp_buffer_decide(&side, &look, &limit).action, TCP_BUFFER_WAIT);
		assert_false(side.measuring);
	}
}

static void test_queue(void **state)
{
	static const struct {
		const char *what;
		uint64_t window_us, rate;
		int64_t first_bytes, to_bytes; /* 0: it stays */
		uint32_t srtt_us, raised_rtt_us, limited, held_bytes, rwnd_limited;
		bool is_unconfirmed;
	} cases[] = {
		{ "most of it waits in a queue", 30000000, 3000000, FIRST, 210000, 80000, 40000, 100, LIMIT, 0, false },
		{ "for less than half a minute", 29999999, 3000000, FIRST, 0, 80000, 40000, 100, LIMIT, 0, false },
		{ "as much as is allowed", 30000000, 4000000, FIRST, 0, 80000, 40000, 100, LIMIT, 0, false },
		{ "just less", 30000000, 3999990, FIRST, 279998, 80000, 40000, 100, LIMIT, 0, false },
		{ "no more than half of it goes", 30000000, 2000000, FIRST, 200000, 80000, 40000, 100, LIMIT, 0,
		  false },
		{ "no further than to the first", 30000000, 2000000, 350000, 350000, 80000, 40000, 100, LIMIT, 0,
		  false },
		{ "it is the first", 30000000, 2000000, LIMIT, 0, 80000, 40000, 100, LIMIT, 0, false },
		{ "soon after a step", 1000000, 3000000, FIRST, 210000, 80000, 40000, 100, LIMIT, 0, true },
		{ "not that soon", 999999, 3000000, FIRST, 0, 80000, 40000, 100, LIMIT, 0, true },
		{ "not met in half of the round trips", 30000000, 3000000, FIRST, 0, 80000, 40000, 99, LIMIT, 0,
		  false },
		{ "nothing is held", 30000000, 3000000, FIRST, 0, 80000, 40000, 100, 0, 0, false },
		{ "its peer is in the way", 30000000, 3000000, FIRST, 0, 80000, 40000, 100, LIMIT, 40, false },
		{ "a path of four fifths", 30000000, 3000000, FIRST, 210000, 80000, 50000, 100, LIMIT, 0, false },
		{ "a shorter one", 30000000, 3000000, FIRST, 0, 80000, 50001, 100, LIMIT, 0, false },
		{ "less than twice the shortest", 30000000, 3000000, FIRST, 0, 79999, 40000, 100, LIMIT, 0, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tcp_buffer_side side = measuring_at(LIMIT, 10000);
		uint64_t bytes = scale(cases[i].rate, cases[i].window_us, 1000000);
		struct tcp_buffer_look look = look_at_limit(LIMIT, bytes);
		struct tcp_buffer_limit limit = limit_of(LIMIT);
		struct tcp_buffer_decision decision;

		limit.first_bytes = cases[i].first_bytes;
		side.is_filled = true;
		side.is_unconfirmed = cases[i].is_unconfirmed;
		side.raised_rtt_us = cases[i].raised_rtt_us;
		side.filled = side.from;
		side.filled.time_us = NOW_US - cases[i].window_us;
		look.srtt_us = cases[i].srtt_us;
		look.limited = cases[i].limited;
		look.held_bytes = cases[i].held_bytes;
		look.rwnd_limited = cases[i].rwnd_limited;
		look.busy = 100; /* no ticks: all of the time */
		decision = tcp_buffer_decide(&side, &look, &limit);
		if (decision.bytes != cases[i].to_bytes ||
		    decision.action != (decision.bytes ? TCP_BUFFER_LOWER : TCP_BUFFER_WAIT))
			fail_msg("%s: %d to %lld", cases[i].what, decision.action, (long long)decision.bytes);
		assert_int_equal(decision.hold_s, decision.bytes ? 20 : 0);
		assert_int_equal(side.is_filled, cases[i].window_us == 29999999 || cases[i].window_us == 999999);
	}
}

/* The long measurement begins where a raised limit is met. */
static void test_long_measurement_begins(void **state)
{
	(void)state;
	for (int why = 0; why < 6; why++) {
		struct tcp_buffer_side side = measuring_at(LIMIT, 10000);
		struct tcp_buffer_look look = look_at_limit(LIMIT, 1000);
		struct tcp_buffer_limit limit = limit_of(LIMIT);

		side.is_filled = why == 1 || why == 2;
		side.filled = look;
		side.filled.time_us = NOW_US - 40000000;
		side.filled.flow += why == 1;
		side.filled.limit_bytes += why == 2;
		look.is_limited = why != 3;
		limit.first_bytes = why == 4 ? 0 : why == 5 ? LIMIT : FIRST;
		tcp_buffer_decide(&side, &look, &limit);
		assert_int_equal(side.is_filled, why < 3);
		assert_int_equal(side.filled.time_us, NOW_US);
	}
}

static void test_steps_that_are_lost(void **state)
{
	struct tcp_buffer_look look = look_at_limit(LIMIT, 2000000);
	struct tcp_buffer_side side = measuring_at(LIMIT, 200000);
	struct tcp_buffer_limit limit = limit_of(LIMIT);
	struct tcp_buffer_decision decision;

	(void)state;
	side.judging = true; /* it was not made */
	side.prev_min_rtt_us = 40000;
	assert_int_equal(tcp_buffer_decide(&side, &look, &limit).action, TCP_BUFFER_WAIT);
	assert_false(side.judging);
	assert_int_equal(side.holds[6].s, 20);

	side = measuring_at(LIMIT, 200000); /* it was made, and nobody knows why */
	side.has_gained = false;
	side.is_filled = true;
	side.prev_rate = 5;
	limit.before_bytes = 200000;
	decision = tcp_buffer_decide(&side, &look, &limit);
	assert_int_equal(decision.action, TCP_BUFFER_UNDO_LOST);
	assert_int_equal(decision.bytes, 200000);
	assert_int_equal(decision.prev_rate, 0);
	assert_int_equal(decision.hold_s, 1);
	assert_int_equal(side.holds[6].until_us, NOW_US + 1000000);
	assert_false(side.is_filled);

	limit.before_bytes = 0;
	limit.is_foreign = true; /* somebody else's: nothing is held */
	side.measuring = true;
	side.from = measuring_at(LIMIT, 200000).from;
	side.last.time_us = NOW_US - 10000;
	decision = tcp_buffer_decide(&side, &look, &limit);
	assert_int_equal(decision.action, TCP_BUFFER_STEP);
	assert_int_equal(side.holds[6].until_us, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_step),
		cmocka_unit_test(test_what_a_step_remembers),
		cmocka_unit_test(test_measurement_begins),
		cmocka_unit_test(test_queue),
		cmocka_unit_test(test_long_measurement_begins),
		cmocka_unit_test(test_steps_that_are_lost),
	};

	return cmocka_run_group_tests_name("decide_tcp_buffer_watch", tests, NULL, NULL);
}
