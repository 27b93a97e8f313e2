// SPDX-License-Identifier: GPL-2.0-or-later
/* Each verdict at its borders: on a step from 100,000 to 400,000 bytes, of a flow of 1 MB/s at 40 ms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "tuners/decide_tcp_buffer_judge.h"

#define BEFORE 100000
#define NOW_US 60000000ULL
#define RATE 1000000ULL

static const struct tcp_buffer_limit limit = {
	.bytes = 400000,
	.cap_bytes = INT32_MAX,
	.before_bytes = BEFORE,
	.first_bytes = BEFORE,
};

static struct tcp_buffer_side judging(uint64_t since_step_us)
{
	return (struct tcp_buffer_side){
		.judging = true,
		.flow = 7,
		.prev_rate = RATE,
		.prev_srtt_us = 40000,
		.prev_min_rtt_us = 40000,
		.seen_us = NOW_US - 10000,
		.stepped = { .flow = 7, .time_us = NOW_US - since_step_us },
		.last = { .flow = 7, .time_us = NOW_US - 10000, .srtt_us = 40000 },
	};
}

/* Now, after a measurement of so long in which that was delivered, at a limit that was met in 60 % of the round trips.
 */
static struct tcp_buffer_look measured(struct tcp_buffer_side *side, uint64_t window_us, uint64_t bytes)
{
	side->measuring = true;
	side->from = (struct tcp_buffer_look){ .flow = 7, .time_us = NOW_US - window_us, .looks = 50, .limited = 50 };
	return (struct tcp_buffer_look){
		.flow = 7,
		.time_us = NOW_US,
		.bytes = bytes,
		.srtt_us = 40000,
		.min_rtt_us = 40000,
		.size_bytes = 400000,
		.limit_bytes = 400000,
		.looks = 150,
		.limited = 110,
		.is_limited = true,
	};
}

static void test_verdicts(void **state)
{
	static const struct {
		const char *what;
		uint64_t since_step_us, window_us, bytes; /* of 0.2 s: a fifth of the rate */
		uint32_t srtt_us, min_rtt_us, overhead_percent;
		enum tcp_buffer_action action;
		int64_t to_bytes;
		uint32_t hold_s;
	} cases[] = {
		{ "too soon after the step", 79999, 79999, 900000, 40000, 40000, 0, TCP_BUFFER_WAIT, 0, 0 },
		{ "too short a measurement", 300000, 79999, 900000, 40000, 40000, 0, TCP_BUFFER_WAIT, 0, 0 },
		{ "half as much again", 300000, 80000, 120000, 40000, 40000, 0, TCP_BUFFER_GAINED, 0, 0 },
		{ "less than that", 300000, 80000, 119999, 40000, 40000, 0, TCP_BUFFER_WAIT, 0, 0 },
		{ "a tenth, but not measured for long", 300000, 199999, 220000, 40000, 40000, 0, TCP_BUFFER_WAIT, 0,
		  0 },
		{ "a tenth", 300000, 200000, 220000, 40000, 40000, 0, TCP_BUFFER_GAINED, 0, 0 },
		{ "less than a tenth", 300000, 200000, 219999, 40000, 40000, 0, TCP_BUFFER_WAIT, 0, 0 },
		{ "still after a second", 1000000, 200000, 219999, 40000, 40000, 0, TCP_BUFFER_GAINED_LITTLE, 0, 20 },
		{ "4 %", 1000000, 200000, 208000, 40000, 40000, 0, TCP_BUFFER_GAINED_LITTLE, 0, 20 },
		{ "less than 4 %", 1000000, 200000, 207999, 40000, 40000, 0, TCP_BUFFER_UNDO_NO_GAIN, BEFORE, 1 },
		{ "less than 4 % so far", 999999, 200000, 207999, 40000, 40000, 0, TCP_BUFFER_WAIT, 0, 0 },
		{ "no longer round trip", 600000, 300000, 300000, 60000, 40000, 0, TCP_BUFFER_WAIT, 0, 0 },
		{ "half of it waits in a queue", 600000, 300000, 300000, 60001, 40000, 0, TCP_BUFFER_UNDO_QUEUE_FILLED,
		  BEFORE, 1 },
		{ "long since before the step", 600000, 300000, 300000, 50000, 20000, 0, TCP_BUFFER_WAIT, 0, 0 },
		{ "longer than before the step", 600000, 300000, 300000, 50001, 20000, 0, TCP_BUFFER_UNDO_QUEUE_FILLED,
		  BEFORE, 1 },
		{ "a little, and a queue", 600000, 300000, 315000, 60001, 40000, 300, TCP_BUFFER_UNDO_QUEUE_FILLED,
		  157500, 20 },
		{ "too little, and a queue", 600000, 300000, 311000, 60001, 40000, 300, TCP_BUFFER_UNDO_QUEUE_FILLED,
		  BEFORE, 1 },
		{ "a gain, and twice the round trip", 600000, 400000, 1200000, 80000, 40000, 0,
		  TCP_BUFFER_UNDO_QUEUE_FILLED, 180000, 20 },
		{ "a gain, and not twice", 600000, 400000, 1200000, 79999, 40000, 0, TCP_BUFFER_GAINED, 0, 0 },
		{ "as much as the limit", 600000, 400000, 2666666, 80000, 40000, 0, TCP_BUFFER_UNDO_QUEUE_FILLED,
		  399999, 20 },
		{ "more than the limit", 600000, 400000, 2666670, 80000, 40000, 0, TCP_BUFFER_UNDO_QUEUE_FILLED, BEFORE,
		  20 },
		{ "hardly more than before", 600000, 400000, 666667, 80000, 40000, 0, TCP_BUFFER_UNDO_QUEUE_FILLED,
		  BEFORE, 20 },
		{ "a little more than before", 600000, 400000, 666700, 80000, 40000, 0, TCP_BUFFER_UNDO_QUEUE_FILLED,
		  100005, 20 },
		{ "half the share by which the round trip grew", 600000, 300000, 390000, 64000, 40000, 0,
		  TCP_BUFFER_GAINED, 0, 0 },
		{ "less than half of that", 600000, 300000, 389000, 64000, 40000, 0, TCP_BUFFER_UNDO_QUEUE_FILLED,
		  BEFORE, 20 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tcp_buffer_side side = judging(cases[i].since_step_us);
		struct tcp_buffer_look look = measured(&side, cases[i].window_us, cases[i].bytes);
		struct tcp_buffer_decision decision;

		look.srtt_us = cases[i].srtt_us;
		look.min_rtt_us = cases[i].min_rtt_us;
		look.overhead_percent = cases[i].overhead_percent;
		decision = side_judge(&side, &look, &limit);
		if (decision.action != cases[i].action || decision.bytes != cases[i].to_bytes ||
		    decision.hold_s != cases[i].hold_s)
			fail_msg("%s: %d to %lld, held for %u s", cases[i].what, decision.action,
				 (long long)decision.bytes, decision.hold_s);
		assert_int_equal(side.judging, decision.action == TCP_BUFFER_WAIT);
		if (decision.action != TCP_BUFFER_WAIT)
			assert_int_equal(decision.prev_rate, RATE);
	}
}

/* What may just have begun to grow is measured anew, for half of the time that there is. */
static void test_measured_anew(void **state)
{
	struct tcp_buffer_side side = judging(499999);
	struct tcp_buffer_look look = measured(&side, 200000, 200000);

	(void)state;
	side_judge(&side, &look, &limit);
	assert_int_equal(side.from.time_us, NOW_US);
	side = judging(500000);
	look = measured(&side, 200000, 200000);
	side_judge(&side, &look, &limit);
	assert_int_equal(side.from.time_us, NOW_US - 200000);

	side = judging(600000); /* nothing was measured yet */
	look = measured(&side, 200000, 900000);
	side.measuring = false;
	assert_int_equal(side_judge(&side, &look, &limit).action, TCP_BUFFER_WAIT);
	assert_true(side.measuring);
	assert_int_equal(side.from.time_us, NOW_US);
}

static void test_kept(void **state)
{
	struct tcp_buffer_side side = judging(300000);
	struct tcp_buffer_look look = measured(&side, 200000, 600000); /* three quarters of what it was raised by */
	struct tcp_buffer_decision decision;

	(void)state;
	side.holds[6].s = 8;
	side.raised_rtt_us = 39999;
	decision = side_judge(&side, &look, &limit);
	assert_int_equal(decision.action, TCP_BUFFER_GAINED);
	assert_int_equal(decision.rate, 3 * RATE);
	assert_int_equal(decision.limited_percent, 60);
	assert_true(side.paid && side.has_gained && side.is_unconfirmed && side.measuring);
	assert_int_equal(side.raised_rtt_us, 40000);
	assert_int_equal(side.holds[6].s, 0);

	side = judging(300000);
	look = measured(&side, 200000, 599999);
	side.holds[6].s = 8;
	side.raised_rtt_us = 80000;
	side_judge(&side, &look, &limit);
	assert_true(side.has_gained && !side.paid);
	assert_int_equal(side.raised_rtt_us, 80000);
	assert_int_equal(side.holds[6].s, 8);
}

static void test_flow_that_took_its_place(void **state)
{
	struct tcp_buffer_side side = judging(79999);
	struct tcp_buffer_look look = measured(&side, 200000, 400000);

	(void)state;
	side.successors = 1; /* it has nothing of the time before the step */
	assert_int_equal(side_judge(&side, &look, &limit).action, TCP_BUFFER_GAINED);

	side = judging(2000000);
	look = measured(&side, 200000, 200000);
	side.successors = 1;
	look.limited = 50 + 49; /* in less than half of the round trips: something else holds it back */
	assert_int_equal(side_judge(&side, &look, &limit).action, TCP_BUFFER_WAIT);
	assert_int_equal(side.from.time_us, NOW_US);
	side = judging(2000000);
	look = measured(&side, 200000, 200000);
	side.successors = 1;
	look.limited = 50 + 50;
	assert_int_equal(side_judge(&side, &look, &limit).action, TCP_BUFFER_UNDO_NO_GAIN);
}

static void test_gaps(void **state)
{
	struct tcp_buffer_side side = judging(1000000);
	struct tcp_buffer_look look = measured(&side, 200000, 200000);

	(void)state;
	side.last.time_us = NOW_US - 460001;
	side.gaps = 2;
	assert_int_equal(side_judge(&side, &look, &limit).action, TCP_BUFFER_WAIT);
	assert_int_equal(side.gaps, 3);
	assert_int_equal(side.stepped.time_us, NOW_US);
	assert_int_equal(side.from.time_us, NOW_US);

	side = judging(1000000);
	look = measured(&side, 200000, 200000);
	side.last.time_us = NOW_US - 460001;
	side.gaps = 3; /* not for ever */
	assert_int_equal(side_judge(&side, &look, &limit).action, TCP_BUFFER_UNDO_NO_GAIN);
	assert_int_equal(side.gaps, 3);

	side = judging(1000000); /* it is followed anew */
	look = measured(&side, 200000, 200000);
	look.turn++;
	assert_int_equal(side_judge(&side, &look, &limit).action, TCP_BUFFER_WAIT);
	assert_int_equal(side.stepped.time_us, NOW_US);
}

static void test_receiver_that_took_nothing(void **state)
{
	struct tcp_buffer_side side = judging(1000000);
	struct tcp_buffer_look look = measured(&side, 200000, 200000);

	(void)state;
	look.receiving = true;
	look.size_bytes = BEFORE;
	assert_int_equal(side_judge(&side, &look, &limit).action, TCP_BUFFER_WAIT);
	assert_true(side.judging && !side.measuring);
	assert_int_equal(side.flow, 0);
	assert_int_equal(side.seen_us, NOW_US - 2000000); /* another may tell, at once */

	side = judging(1000000);
	look = measured(&side, 200000, 200000);
	look.receiving = true;
	look.size_bytes = BEFORE + 1;
	assert_int_equal(side_judge(&side, &look, &limit).action, TCP_BUFFER_UNDO_NO_GAIN);
}

static void test_first_hold(void **state)
{
	static const struct {
		bool has_gained, paid;
		enum tcp_buffer_action why;
		uint64_t rate;
		uint32_t hold_s;
	} cases[] = {
		{ false, false, TCP_BUFFER_UNDO_NO_GAIN, RATE, 1 },
		{ false, false, TCP_BUFFER_UNDO_NO_GAIN, 0, 1 },
		{ false, true, TCP_BUFFER_UNDO_QUEUE_FILLED, RATE, 1 },
		{ true, false, TCP_BUFFER_UNDO_NO_GAIN, RATE, 20 },
		{ true, true, TCP_BUFFER_UNDO_NO_GAIN, RATE, 1 },
		{ true, true, TCP_BUFFER_UNDO_QUEUE_FILLED, RATE * 3 / 4, 20 },
		{ true, true, TCP_BUFFER_UNDO_QUEUE_FILLED, RATE * 3 / 4 - 1, 1 },
		{ true, false, TCP_BUFFER_UNDO_QUEUE_FILLED, RATE / 2, 20 },
		{ true, true, TCP_BUFFER_GAINED_LITTLE, RATE * 26 / 25, 20 },
		{ false, false, TCP_BUFFER_GAINED_LITTLE, RATE * 26 / 25, 20 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tcp_buffer_side side = judging(0);
		struct tcp_buffer_decision decision;

		side.has_gained = cases[i].has_gained;
		side.paid = cases[i].paid;
		decision = side_hold_off(&side, cases[i].why, NOW_US, &limit, cases[i].rate);
		if (decision.hold_s != cases[i].hold_s)
			fail_msg("case %zu: %u s", i, decision.hold_s);
		assert_int_equal(decision.action, cases[i].why);
		assert_int_equal(decision.rate, cases[i].rate);
		assert_int_equal(decision.bytes, cases[i].why == TCP_BUFFER_GAINED_LITTLE ? 0 : BEFORE);
		assert_false(side.judging || side.measuring || side.paid);
	}
}

static void test_holds(void **state)
{
	static const struct {
		uint32_t rtt_us;
		unsigned int length;
	} cases[] = {
		{ 0, 0 },      { 1023, 0 },   { 1024, 1 },    { 2047, 1 },     { 2048, 2 },	   { 40000, 6 },
		{ 262144, 9 }, { 524287, 9 }, { 524288, 10 }, { 1 << 20, 10 }, { UINT32_MAX, 10 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct tcp_buffer_look look = { .time_us = NOW_US + 999999, .min_rtt_us = cases[i].rtt_us };
		struct tcp_buffer_side side = { 0 };

		assert_int_equal(side_hold(&side, cases[i].rtt_us, NOW_US, 1), 1);
		for (unsigned int length = 0; length < TCP_BUFFER_LENGTHS; length++)
			assert_int_equal(side.holds[length].s, length == cases[i].length);
		assert_true(side_is_held(&side, &look));
		side.holds[cases[i].length].until_us--;
		assert_false(side_is_held(&side, &look));
	}
}

static void test_holds_get_longer(void **state)
{
	static const uint32_t longer[] = { 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600 };
	struct tcp_buffer_side side = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(longer); i++)
		assert_int_equal(side_hold(&side, 40000, NOW_US, 1), longer[i]);
	assert_int_equal(side.holds[6].until_us, NOW_US + 3600000000ULL);
	side.holds[6].s = 2;
	assert_int_equal(side_hold(&side, 40000, NOW_US, 20), 20);
	assert_int_equal(side_hold(&side, 40000, NOW_US, 20), 40);
}

static void test_heirs(void **state)
{
	static const struct {
		const char *what;
		uint64_t gone_us;
		uint32_t min_rtt_us, successors;
		bool is_limited;
		enum tcp_buffer_action action;
		uint32_t successors_then;
	} cases[] = {
		{ "the other may still be there", 1999999, 40000, 0, true, TCP_BUFFER_WAIT, 0 },
		{ "an heir", 2000000, 40000, 0, true, TCP_BUFFER_WAIT, 1 },
		{ "another", 2000000, 40000, 1, true, TCP_BUFFER_WAIT, 2 },
		{ "one too many", 2000000, 40000, 2, true, TCP_BUFFER_UNDO_UNPROVEN, 2 },
		{ "one that does not meet the limit", 20000000, 40000, 2, false, TCP_BUFFER_WAIT, 2 },
		{ "a path a quarter longer", 2000000, 50000, 0, true, TCP_BUFFER_WAIT, 1 },
		{ "longer than that", 2000000, 50001, 0, true, TCP_BUFFER_WAIT, 0 },
		{ "a path of four fifths", 2000000, 32000, 0, true, TCP_BUFFER_WAIT, 1 },
		{ "shorter than that", 2000000, 31999, 0, true, TCP_BUFFER_WAIT, 0 },
		{ "a longer path, and nobody comes", 19999999, 80000, 1, true, TCP_BUFFER_WAIT, 1 },
		{ "for long", 20000000, 80000, 1, true, TCP_BUFFER_UNDO_UNPROVEN, 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tcp_buffer_side side = judging(3000000);
		const struct tcp_buffer_look look = { .flow = 8,
						      .time_us = NOW_US,
						      .min_rtt_us = cases[i].min_rtt_us,
						      .is_limited = cases[i].is_limited };
		struct tcp_buffer_decision decision;

		side.seen_us = NOW_US - cases[i].gone_us;
		side.successors = cases[i].successors;
		decision = side_inherit(&side, &look, &limit);
		if (decision.action != cases[i].action || side.successors != cases[i].successors_then)
			fail_msg("%s: %d, %u", cases[i].what, decision.action, side.successors);
		assert_int_equal(side.flow == 8, cases[i].successors_then > cases[i].successors);
		if (side.flow != 8)
			continue;
		assert_int_equal(side.seen_us, NOW_US);
		assert_int_equal(side.stepped.time_us, NOW_US);
		assert_true(side.measuring);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_measured_anew),
		cmocka_unit_test(test_kept),
		cmocka_unit_test(test_flow_that_took_its_place),
		cmocka_unit_test(test_gaps),
		cmocka_unit_test(test_receiver_that_took_nothing),
		cmocka_unit_test(test_first_hold),
		cmocka_unit_test(test_holds),
		cmocka_unit_test(test_holds_get_longer),
		cmocka_unit_test(test_heirs),
	};

	return cmocka_run_group_tests_name("decide_tcp_buffer_judge", tests, NULL, NULL);
}
