// SPDX-License-Identifier: GPL-2.0-or-later
/* More than one flow, steps that are not made, and limits that somebody else sets. */
#include "tests/unit/fake_path.h"

/* A flow of its own on the path, so many seconds after the last. */
static void next_flow(struct path *path, int round_trips, uint64_t after_us)
{
	path->look.flow++;
	path->look.time_us += after_us;
	path->look.bytes = 0;
	path->window_bytes = 15000;
	path->size_bytes = path->limit_bytes;
	run(path, round_trips);
}

static struct path path_that_is_full(void)
{
	struct path path = path_new(256 * KIB);

	path.rate = 256 * KIB * 100 / path.overhead_percent * 1000000 / path.rtt_us;
	path.burst_rate = 4 * path.rate; /* waits for three quarters of the time, for nothing */
	return path;
}

/* Another flow's look is no verdict on this one's step, as long as this one is there. */
static void test_other_flows(void **state)
{
	struct path path = path_new(256 * KIB), other = path_new(256 * KIB);

	(void)state;
	while (!path.changes)
		round_trip(&path);
	other.side = path.side;
	other.trial = path.trial;
	other.look = path.look;
	other.look.flow = 8;
	other.look.bytes = 0;
	other.limit_bytes = other.size_bytes = path.limit_bytes;
	run(&other, 20);
	assert_true(other.side.judging);
	assert_int_equal(other.side.flow, 7);
	run(&other, 60);
	assert_int_not_equal(other.side.flow, 7);
	assert_true(other.limit_bytes > path.limit_bytes);
}

/* An event that took a longer way than those before it is no sign that time has passed. */
static void test_late_event(void **state)
{
	struct path path = path_new(256 * KIB);
	struct tcp_buffer_look late;

	(void)state;
	while (!path.changes)
		round_trip(&path);
	late = path.look;
	late.time_us -= 10000;
	late.is_limited = true;
	for (int i = 0; i < 2; i++) { /* of the judged flow, and of another */
		late.flow = 7 + i;
		assert_int_equal(look_at(&path, &late).action, TCP_BUFFER_WAIT);
		assert_true(path.side.judging);
		assert_int_equal(path.side.flow, 7);
	}
}

/* Flows that end before a verdict do not add step to step. */
static void test_short_flows_gain_nothing(void **state)
{
	(void)state;
	for (int round_trips = 10; round_trips <= 20; round_trips++)
		for (uint64_t after_us = 500 * MS; after_us <= 8000 * MS; after_us *= 2) {
			struct path path = path_that_is_full();
			uint64_t end_us = path.look.time_us + 600 * 1000 * MS;

			while (path.look.time_us < end_us) {
				next_flow(&path, round_trips, after_us);
				assert_true(path.limit_bytes <= 1 * MIB); /* one step */
			}
			assert_true(path.side.judging || path.limit_bytes == 256 * KIB);
			assert_in_range(path.undone, 1, 10); /* 1 s, 2, 4, ... */
		}
}

/* Where a step is right, the next flows use it, and show what more would bring. */
static void test_short_flows_gain(void **state)
{
	(void)state;
	for (int round_trips = 11; round_trips <= 20; round_trips++) {
		struct path path = path_new(256 * KIB);

		for (int flows = 0; flows < 20; flows++)
			next_flow(&path, round_trips, 3000 * MS);
		assert_true(path.limit_bytes >= 2 * MIB);
		assert_in_range(path.changes, 1, 8);
	}
}

/* One that meets the new limit once, and then gives little by itself, is no judge of it. */
static void test_heir_that_has_little_to_send(void **state)
{
	struct path path = path_new(256 * KIB);

	(void)state;
	while (!path.changes)
		round_trip(&path);
	path.burst_rate = path.rate;
	next_flow(&path, 8, 3000 * MS);
	assert_int_equal(path.side.successors, 1);
	path.side.prev_rate = path.rate; /* no gain in sight */
	path.app_rate = 5000000;
	run(&path, 100);
	assert_int_equal(path.undone, 0);
	path.app_rate = 0;
	run(&path, 10);
	assert_int_equal(path.undone, 1);
}

/* It ended, and those that meet its limit now are on another path: they prove nothing about it. */
static void test_step_that_nobody_judges(void **state)
{
	struct path path = path_that_is_full();

	(void)state;
	while (!path.changes)
		round_trip(&path);
	path.rtt_us *= 4;
	path.rate *= 8;
	next_flow(&path, 20, 3000 * MS);
	assert_int_equal(path.changes, 1);
	next_flow(&path, 10, 20000 * MS);
	assert_int_equal(path.limit_bytes, 256 * KIB);
	assert_int_equal(path.undone, 1);
	next_flow(&path, 100, 0); /* for a path of its length nothing is held */
	assert_fits(&path, "the other path");
}

/* A full queue on one path does not hold a longer one back, and the other way round. */
static void test_hold_is_the_paths_own(void **state)
{
	struct path near = path_that_is_full(), far = path_new(256 * KIB);

	(void)state;
	for (int i = 0; i < 20; i++)
		next_flow(&near, 2000, 0);
	assert_int_equal(near.limit_bytes, 256 * KIB);
	assert_true(near.undone > 4);
	far.rtt_us = 3 * near.rtt_us;
	far.look.time_us = near.look.time_us;
	far.side = near.side;
	far.trial = near.trial;
	next_flow(&far, 100, 0);
	assert_fits(&far, "the longer path");

	near.side = far.side;
	near.look.time_us = far.look.time_us;
	near.changes = 0;
	run(&near, 1000); /* 40 s of an hour */
	assert_int_equal(near.changes, 0);
}

/* A refused step, a dry run: not undone, and not said again and again. */
static void test_step_that_was_not_made(void **state)
{
	struct path path = path_new(256 * KIB);
	int steps = 0;

	(void)state;
	for (int i = 0; i < 250; i++) { /* 10 s */
		steps += round_trip(&path).action != TCP_BUFFER_WAIT;
		path.limit_bytes = path.size_bytes = 256 * KIB;
	}
	assert_int_equal(steps, 1);
	run(&path, 1000); /* another 40 */
	assert_fits(&path, "written at last");
}

static void test_second_step_that_was_not_made(void **state)
{
	struct path path = path_new(256 * KIB);
	int64_t first_bytes;
	int steps = 0;

	(void)state;
	while (!path.changes)
		round_trip(&path);
	first_bytes = path.limit_bytes;
	for (int i = 0; i < 250; i++) { /* 10 s */
		steps += round_trip(&path).action == TCP_BUFFER_STEP;
		path.limit_bytes = path.size_bytes = first_bytes;
	}
	assert_int_equal(steps, 1);
}

/* Then nothing holds the tuner up, once it is resumed. */
static void test_somebody_elses_value(void **state)
{
	struct path path = path_new(256 * KIB);

	(void)state;
	while (!path.changes)
		round_trip(&path);
	path.limit_bytes = path.size_bytes = 384 * KIB;
	path.changes = 0;
	run(&path, 25); /* one second */
	assert_true(path.changes > 0);
}

static void test_somebody_elses_value_ends_a_hold(void **state)
{
	struct path path = path_that_is_full();

	(void)state;
	while (!path.undone)
		round_trip(&path);
	path.changes = 0;
	run(&path, 25);
	assert_int_equal(path.changes, 0);
	path.limit_bytes = path.size_bytes = 128 * KIB;
	run(&path, 25);
	assert_true(path.changes > 0);
}

/* The value before the step, too, is somebody else's once the step has been seen. */
static void test_step_that_somebody_undoes(void **state)
{
	struct path path = path_new(256 * KIB);

	(void)state;
	while (!path.changes)
		round_trip(&path);
	round_trip(&path);
	path.limit_bytes = path.size_bytes = 256 * KIB;
	path.changes = 0;
	next_flow(&path, 25, 2000 * MS);
	assert_true(path.changes > 0);
}

static void test_step_that_is_made_late(void **state)
{
	struct path path = path_new(256 * KIB);
	int64_t stepped_bytes;

	(void)state;
	while (!path.changes)
		round_trip(&path);
	stepped_bytes = path.limit_bytes;
	path.limit_bytes = path.size_bytes = 256 * KIB;
	path.is_pending = true;
	run(&path, 10); /* 400 ms */
	assert_int_equal(path.changes, 1);
	path.is_pending = false;
	path.limit_bytes = path.size_bytes = stepped_bytes;
	run(&path, 100);
	assert_fits(&path, "written late");
}

/* The next worker knows of a step, but not what was measured before it: nothing shows that the step helped. */
static void test_measure_that_is_lost(void **state)
{
	struct path path = path_new(256 * KIB);

	(void)state;
	while (!path.changes)
		round_trip(&path);
	path.side = (struct tcp_buffer_side){ 0 };
	assert_int_equal(round_trip(&path).action, TCP_BUFFER_UNDO_LOST);
	assert_int_equal(path.limit_bytes, 256 * KIB);
	run(&path, 25); /* held for a second */
	assert_true(path.changes <= 3);
	run(&path, 100);
	assert_fits(&path, "after that");
}

/* The trial does not know of a step that the measure knows of: it is no step. */
static void test_trial_that_is_lost(void **state)
{
	struct path path = path_new(256 * KIB);

	(void)state;
	while (!path.changes)
		round_trip(&path);
	path.trial = (struct trial){ 0 };
	path.changes = 0;
	run(&path, 100);
	assert_fits(&path, "after that");
	assert_true(trial_first(&path.trial)[2] > 256 * KIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_other_flows),
		cmocka_unit_test(test_late_event),
		cmocka_unit_test(test_short_flows_gain_nothing),
		cmocka_unit_test(test_short_flows_gain),
		cmocka_unit_test(test_heir_that_has_little_to_send),
		cmocka_unit_test(test_step_that_nobody_judges),
		cmocka_unit_test(test_hold_is_the_paths_own),
		cmocka_unit_test(test_step_that_was_not_made),
		cmocka_unit_test(test_second_step_that_was_not_made),
		cmocka_unit_test(test_somebody_elses_value),
		cmocka_unit_test(test_somebody_elses_value_ends_a_hold),
		cmocka_unit_test(test_step_that_somebody_undoes),
		cmocka_unit_test(test_step_that_is_made_late),
		cmocka_unit_test(test_measure_that_is_lost),
		cmocka_unit_test(test_trial_that_is_lost),
	};

	return cmocka_run_group_tests_name("decide_tcp_buffer_flows", tests, NULL, NULL);
}
