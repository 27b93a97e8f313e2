// SPDX-License-Identifier: GPL-2.0-or-later
/* Whether a step gained anything, and how the limit comes down where it did not. */
#include "tests/unit/fake_path.h"

/* A little more is a gain as far as the path carries it; what waits in a queue is none. */
static void test_gain(void **state)
{
	(void)state;
	for (unsigned int more = 0; more <= 60; more++) {
		struct path path = path_new(256 * KIB);
		struct tcp_buffer_decision decision = { 0 };
		uint64_t flight = path.limit_bytes * 100 / path.overhead_percent;

		path.rate = flight * (100 + more) / 100 * 1000000 / path.rtt_us;
		path.burst_rate = 2 * path.rate;
		for (int i = 0; i < 30 && (decision.action == TCP_BUFFER_WAIT || decision.action == TCP_BUFFER_STEP);
		     i++)
			decision = round_trip(&path);
		assert_true(path.changes > 0);
		if (more > 5 && more < 10) {
			assert_true(path.limit_bytes > 256 * KIB && path.limit_bytes < 400 * KIB);
			assert_true(decision.hold_s > 0);
		} else if (more < 4) {
			assert_true(decision.action == TCP_BUFFER_UNDO_NO_GAIN ||
				    decision.action == TCP_BUFFER_UNDO_QUEUE_FILLED);
			assert_int_equal(path.limit_bytes, 256 * KIB);
		} else if (more > 10) { /* the step is fourfold: the queue tells that it is too large */
			assert_int_equal(decision.action, TCP_BUFFER_UNDO_QUEUE_FILLED);
			assert_int_equal(decision.hold_s, 20);
			assert_in_range(path.limit_bytes, 256 * KIB * (100 + more) / 70, 256 * KIB * (100 + more) / 60);
		}
	}
}

/* Undone, and tried again later and later. */
static void test_no_gain(void **state)
{
	struct path path = path_new(256 * KIB);
	uint64_t last_us = 0, hold_us = 0;

	(void)state;
	path.app_rate = 0;
	path.rate = 256 * KIB * 100 / path.overhead_percent * 1000000 / path.rtt_us;
	path.burst_rate = 4 * path.rate; /* waits for three quarters of the time, for nothing */
	for (int tries = 0; tries < 14; tries++) {
		struct tcp_buffer_decision decision;

		do
			decision = round_trip(&path);
		while (decision.action == TCP_BUFFER_WAIT);
		assert_int_equal(decision.action, TCP_BUFFER_STEP);
		if (tries)
			assert_true(path.look.time_us - last_us >= hold_us);
		do
			decision = round_trip(&path);
		while (decision.action == TCP_BUFFER_WAIT);
		assert_int_equal(decision.action, TCP_BUFFER_UNDO_QUEUE_FILLED);
		assert_int_equal(path.limit_bytes, 256 * KIB);
		assert_true(decision.hold_s * 1000000ULL >= 2 * hold_us || decision.hold_s == 3600);
		assert_in_range(decision.hold_s, 1, 3600);
		if (!tries)
			assert_int_equal(decision.hold_s, 1); /* one bad look is not the end */
		hold_us = decision.hold_s * 1000000ULL;
		last_us = path.look.time_us;
	}
}

/* A flow that is no faster although nothing queues: who knows what holds it back. */
static void test_no_gain_without_a_queue(void **state)
{
	struct path path = path_new(256 * KIB);
	struct tcp_buffer_decision decision;

	(void)state;
	do
		decision = round_trip(&path);
	while (decision.action == TCP_BUFFER_WAIT);
	assert_int_equal(decision.action, TCP_BUFFER_STEP);
	path.app_rate = path.rate_now;
	do
		decision = round_trip(&path);
	while (decision.action == TCP_BUFFER_WAIT);
	assert_int_equal(decision.action, TCP_BUFFER_UNDO_NO_GAIN);
	assert_int_equal(path.limit_bytes, 256 * KIB);
}

/* Ten per cent up and down: hardly ever is that taken for a gain that another step may follow. */
static void test_noise(void **state)
{
	int grown = 0, bad = 0;

	(void)state;
	for (unsigned int seed = 1; seed <= 1000; seed++) {
		struct path path = path_new(256 * KIB);

		path.random = seed * 0x9e3779b97f4a7c15ULL;
		path.noise_percent = 10;
		path.rate = 256 * KIB * 100 / path.overhead_percent * 1000000 / path.rtt_us;
		path.burst_rate = 4 * path.rate;
		run(&path, 200);
		grown += path.limit_bytes > 400 * KIB && !path.side.judging;
		assert_true(path.limit_bytes <= 1 * MIB);

		path = path_new(256 * KIB);
		path.random = seed * 0x9e3779b97f4a7c15ULL;
		path.noise_percent = 10;
		run(&path, 200);
		bad += path.limit_bytes < enough_bytes(&path) || path.limit_bytes > enough_bytes(&path) * 5 / 2 ||
		       path.changes > 8;
	}
	if (grown > 50 || bad > 50)
		fail_msg("of 1000: %d grew for nothing, %d missed their path", grown, bad);
}

/* Nothing arrives for a while, though there are data under way. */
static void stand_still(struct path *path, uint64_t us)
{
	uint32_t ticks = 100 * us / path->look.srtt_us;

	path->look.time_us += us;
	path->look.ticks += ticks;
	path->look.busy += ticks;
}

/* What a machine that stands still does to a rate is no verdict on the step before; but not for ever. */
static void test_machine_that_stands_still(void **state)
{
	(void)state;
	for (int gaps = 1; gaps <= 6; gaps++) {
		struct path path = path_new(256 * KIB);

		while (!path.changes)
			round_trip(&path);
		for (int i = 0; i < gaps; i++) {
			run(&path, 2);
			assert_true(path.side.judging || gaps > 3);
			stand_still(&path, 600 * MS);
		}
		if (gaps == 6)
			assert_true(path.undone || !path.side.judging);
		run(&path, 3);
		if (gaps <= 3)
			assert_int_equal(path.undone, 0);
		run(&path, 120);
		assert_fits(&path, "after gaps");
	}
}

/* A measurement before a step neither: the rate would seem low, and any step a gain. */
static void test_machine_that_stood_still_before(void **state)
{
	struct path path = path_new(4 * MIB);

	(void)state;
	path.rate = 4 * MIB * 100 / path.overhead_percent * 1000000 / path.rtt_us;
	path.burst_rate = 4 * path.rate;
	for (int i = 0; i < 40; i++) {
		run(&path, 1);
		stand_still(&path, 1100 * MS);
		assert_int_equal(path.changes, 0);
	}
}

static struct path path_that_was_raised(void)
{
	struct path path = path_new(256 * KIB);

	run(&path, 100);
	path.changes = 0;
	return path;
}

/* Seconds until the limit changes, at most a minute. */
static double change_after(struct path *path)
{
	uint64_t begin_us = path->look.time_us;
	int before = path->changes;

	while (path->changes == before && path->look.time_us < begin_us + 60000 * MS)
		round_trip(path);
	return (path->look.time_us - begin_us) / 1e6;
}

/* The path carries a fraction of what it did: the limit follows in half a minute, a step at a time. */
static void test_limit_that_only_fills_a_queue(void **state)
{
	struct path path = path_that_was_raised();
	int64_t raised_bytes = path.limit_bytes, last_bytes;

	(void)state;
	path.rate /= 16;
	assert_true(change_after(&path) < 35);
	assert_int_equal(path.limit_bytes, raised_bytes / 2);
	do {
		last_bytes = path.limit_bytes;
		change_after(&path);
	} while (path.limit_bytes < last_bytes);
	assert_in_range(last_bytes, enough_bytes(&path), enough_bytes(&path) * 8 / 3);

	path = path_that_was_raised(); /* never below what it was at first */
	path.rate /= 1024;
	for (int i = 0; i < 20; i++)
		change_after(&path);
	assert_int_equal(path.limit_bytes, 256 * KIB);
	assert_null(trial_first(&path.trial));
}

/* A little queue is none; a shorter path than that which the limit was raised for has no say. */
static void test_limit_that_is_needed(void **state)
{
	struct path path = path_that_was_raised();
	int64_t raised_bytes = path.limit_bytes;

	(void)state;
	path.rate /= 2;
	run(&path, 1000);
	assert_int_equal(path.limit_bytes, raised_bytes);

	path = path_that_was_raised();
	path.rate /= 16;
	path.rtt_us = path.rtt_us * 3 / 4;
	path.look.flow++;
	run(&path, 300);
	assert_int_equal(path.limit_bytes, raised_bytes);

	path = path_that_was_raised();
	path.rate /= 16;
	path.rtt_us = path.rtt_us * 5 / 6;
	path.look.flow++;
	change_after(&path);
	assert_int_equal(path.limit_bytes, raised_bytes / 2);
}

static void test_hold_of_all_paths(void **state)
{
	struct path path = path_new(256 * KIB);

	(void)state;
	tcp_buffer_hold(&path.side, path.look.time_us);
	path.trial.is_known = true; /* else all begins anew */
	for (unsigned int i = 0; i < TCP_BUFFER_LENGTHS; i++) {
		assert_int_equal(path.side.holds[i].s, 20);
		assert_int_equal(path.side.holds[i].until_us, path.look.time_us + 20000 * MS);
	}
	tcp_buffer_hold(&path.side, path.look.time_us);
	assert_int_equal(path.side.holds[TCP_BUFFER_LENGTHS - 1].s, 40);
}

static void test_cap_is_kept(void **state)
{
	struct path path = path_new(256 * KIB);

	(void)state;
	path.cap_bytes = 3 * MIB;
	run(&path, 1000);
	assert_int_equal(path.limit_bytes, 3 * MIB);
	assert_in_range(path.changes, 1, 4);
}

/* A receive buffer that the kernel does not grow proves nothing: the step stands, and no other follows. */
static void test_receiver_that_cannot_use_it(void **state)
{
	struct path path = path_new(256 * KIB);

	(void)state;
	path.receiving = path.stuck = true;
	run(&path, 100);
	assert_int_equal(path.changes, 1);
	assert_true(path.side.judging);

	path.look.flow = 8; /* the next one is given all of it */
	path.look.bytes = 0;
	path.size_bytes = path.limit_bytes;
	path.stuck = false;
	run(&path, 10);
	assert_true(path.changes > 1 && !path.undone);
}

/* Nothing that an event can hold makes trouble. */
static void test_nonsense(void **state)
{
	static const uint64_t values[] = { 0, 1, INT_MAX, UINT32_MAX, (uint64_t)UINT32_MAX + 1, INT64_MAX, UINT64_MAX };
	uint64_t random = 1;

	(void)state;
	for (int run_number = 0; run_number < 2000; run_number++) {
		struct path path = path_new(256 * KIB);

		for (int i = 0; i < 50; i++) {
			int64_t current = path.limit_bytes;
			uint64_t pick[10];
			struct tcp_buffer_decision decision;

			for (size_t j = 0; j < ARRAY_SIZE(pick); j++) {
				random = random * 6364136223846793005ULL + 1442695040888963407ULL;
				pick[j] = values[(random >> 33) % ARRAY_SIZE(values)];
			}
			const struct tcp_buffer_look look = {
				.flow = pick[0] & 1,
				.time_us = pick[1],
				.bytes = pick[2],
				.srtt_us = pick[3],
				.min_rtt_us = pick[4],
				.size_bytes = pick[5],
				.limit_bytes = pick[6],
				.held_bytes = pick[8],
				.overhead_percent = pick[7],
				.looks = pick[8],
				.limited = pick[9],
				.ticks = pick[9],
				.busy = pick[6],
				.sndbuf_limited = pick[8],
				.rwnd_limited = pick[7],
				.receiving = i & 1,
			};
			decision = look_at(&path, &look);
			if (decision.action == TCP_BUFFER_STEP)
				assert_true(decision.bytes > current && decision.bytes <= INT_MAX);
			else if (decision.bytes)
				assert_true(decision.bytes < current);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gain),
		cmocka_unit_test(test_no_gain),
		cmocka_unit_test(test_no_gain_without_a_queue),
		cmocka_unit_test(test_noise),
		cmocka_unit_test(test_machine_that_stands_still),
		cmocka_unit_test(test_machine_that_stood_still_before),
		cmocka_unit_test(test_limit_that_only_fills_a_queue),
		cmocka_unit_test(test_limit_that_is_needed),
		cmocka_unit_test(test_hold_of_all_paths),
		cmocka_unit_test(test_cap_is_kept),
		cmocka_unit_test(test_receiver_that_cannot_use_it),
		cmocka_unit_test(test_nonsense),
	};

	return cmocka_run_group_tests_name("decide_tcp_buffer_gain", tests, NULL, NULL);
}
