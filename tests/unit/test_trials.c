// SPDX-License-Identifier: GPL-2.0-or-later
/* What the next worker has of trials, and of a tuner's own memory. */
#include "tests/unit/fake_tuner.h"

static void test_own_measure_of_another_worker(void **state)
{
	long long from = 0;

	(void)state;
	assert_int_equal(go_to(200), 0);
	answer(true);
	restart();
	assert_int_equal(bpftune_step_from(&world.instance, RATE, &from), 0);
	assert_int_equal(from, 64);
	bpftune_keep_step(&world.instance, RATE);
	restart();
	assert_int_equal(bpftune_step_from(&world.instance, RATE, &from), -EAGAIN);
}

static void test_another_worker(void **state)
{
	(void)state;
	assert_int_equal(world.n_kept, 0);
	assert_int_equal(try(world.worker.now_ns, 50, 100), 0);
	answer(true);
	restart();
	assert_nothing_kept_anew();
	world.worker.now_ns += SECOND;
	assert_int_equal(try(world.worker.now_ns, 50, 100), -EAGAIN);
	assert_string_equal(answer(true).to, "128");
	for (int i = 0; i < 3; i++)
		restart();
	assert_int_equal(try(world.worker.now_ns, 50, 100), -EAGAIN); /* the hold */
	world.worker.now_ns += SECOND;
	assert_int_equal(try(world.worker.now_ns, 50, 100), 0);
	answer(true);
	restart();
	assert_int_equal(bpftune_take_back(&world.instance, OVERFLOWS, 2, NULL, 0, "a flood"), 0);
	assert_string_equal(answer(true).to, "128");
}

/* The one before it ended when its step was written, and it had not been told. */
static void test_another_worker_in_between(void **state)
{
	struct bpftune_report intent;

	(void)state;
	assert_int_equal(try(world.worker.now_ns, 50, 0), 0);
	assert_true(take_report(&intent));
	world.values[intent.tunable].pending = false;
	memcpy(world.values[intent.tunable].value, intent.to, sizeof(intent.to));
	restart();
	assert_int_equal(bpftune_take_back(&world.instance, OVERFLOWS, 2, NULL, 0, "a flood"), 0);
	assert_string_equal(answer(true).to, "128");
}

static void test_written_while_there_was_no_worker(void **state)
{
	long long ints[BPFTUNE_INTS_MAX];

	(void)state;
	assert_int_equal(try(world.worker.now_ns, 50, 0), 0);
	answer(true);
	snprintf(world.values[1].value, sizeof(world.values[1].value), "500");
	restart();
	assert_int_equal(bpftune_tried_from(&world.instance, OVERFLOWS, ints), -ENOENT);
}

static void test_memory_that_does_not_fit(void **state)
{
	long long ints[BPFTUNE_INTS_MAX];

	(void)state;
	for (int i = 0; i < 3; i++) {
		world.n_kept = 0;
		restart();
		snprintf(world.values[1].value, sizeof(world.values[1].value), "128");
		assert_int_equal(try(world.worker.now_ns, 50, 0), 0);
		answer(true);
		assert_nothing();
		assert_int_equal(bpftune_tried_from(&world.instance, OVERFLOWS, ints), 0);
		world.kept_version += i == 0;
		world.n_kept -= i == 1;
		if (i == 2)
			memset(world.kept + world.n_kept - 2 * sizeof(uint64_t), 0xff,
			       sizeof(uint64_t)); /* no such counts */
		restart();
		assert_int_equal(bpftune_tried_from(&world.instance, OVERFLOWS, ints), -ENOENT);
	}
}

/* Trouble that goes on is not told each time. */
static void test_kept_when_decided(void **state)
{
	(void)state;
	assert_int_equal(try(world.worker.now_ns, 50, 100), 0);
	answer(true);
	assert_nothing();
	for (int i = 0; i < 50; i++) {
		world.worker.now_ns += SECOND;
		assert_int_equal(try(world.worker.now_ns, 50, 1), -EAGAIN);
	}
	assert_nothing_kept_anew();
	world.worker.now_ns += 10 * SECOND;
	assert_int_equal(try(world.worker.now_ns, 50, 1), -EAGAIN);
	assert_nothing();
	assert_nothing_kept_anew();
}

static void test_tuners_own_memory(void **state)
{
	static uint8_t bytes[BPFTUNE_MEMORY_BYTES_MAX];
	struct bpftune_report report;
	const void *found;
	size_t size = 7;

	(void)state;
	assert_null(bpftune_remembered(&world.instance, 3, &size));
	assert_int_equal(bpftune_remember(&world.instance, 3, "abc", 3), 0);
	found = bpftune_remembered(&world.instance, 3, &size);
	assert_true(found && size == 3 && !memcmp(found, "abc", 3));
	assert_null(bpftune_remembered(&world.instance, 4, &size));
	assert_int_equal(read(world.reports, &report, sizeof(report)), sizeof(report));
	assert_int_equal(report.kind, BPFTUNE_MEMORY);
	assert_int_equal(bpftune_remember(&world.instance, 3, "abc", 3), 0);
	assert_nothing_kept_anew();
	assert_int_equal(bpftune_remember(&world.instance, 3, bytes, sizeof(bytes) + 1), -E2BIG);
	assert_int_equal(bpftune_remember(&world.instance, 3, NULL, 0), 0);
	assert_null(bpftune_remembered(&world.instance, 3, &size));
	assert_int_equal(read(world.reports, &report, sizeof(report)), sizeof(report));
	world.instance.shares_netns = true;
	assert_int_equal(bpftune_remember(&world.instance, 3, "abc", 3), -EPERM);
	assert_nothing_kept_anew();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_own_measure_of_another_worker),
		TEST(test_another_worker),
		TEST(test_another_worker_in_between),
		TEST(test_written_while_there_was_no_worker),
		TEST(test_memory_that_does_not_fit),
		TEST(test_kept_when_decided),
		TEST(test_tuners_own_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
