// SPDX-License-Identifier: GPL-2.0-or-later
/* Trouble that is counted: windows, steps that the counters lead to, and their verdicts. */
#include "tests/unit/fake_tuner.h"

static void test_counters(void **state)
{
	struct bpftune_report intent;

	(void)state;
	pass(0, 0); /* the first window begins */
	pass(0, 1000);
	assert_nothing();
	pass(80, 1000);
	intent = answer(true);
	assert_string_equal(intent.to, "200");
	assert_int_equal(intent.scenario, 0);
	assert_string_equal(intent.text, "80 RcvbufErrors per 1000 InDatagrams in 1 s");
	pass(80, 1000);
	intent = answer(true);
	assert_string_equal(intent.from, "200");
	assert_string_equal(intent.to, "100");
	assert_string_equal(intent.text, "the last step was of no use: 80 RcvbufErrors per 1000 InDatagrams before it, "
					 "80 per 1000 since; the next one is not tried for 1 s");
	pass(80, 1000); /* the hold is over */
	assert_string_equal(answer(true).to, "200");
	pass(8, 1000);
	assert_string_equal(answer(true).to, "400");
	pass(0, 1000);
	assert_nothing();
}

/* The same, where the tuner counts the trouble. */
static void test_counted_by_the_tuner(void **state)
{
	struct bpftune_report intent;

	(void)state;
	failures = 7;
	pass(0, 0);
	failures += 80;
	world.engine.heard_ns = world.worker.now_ns + SECOND;
	pass(0, 1000);
	intent = answer(true);
	assert_true(intent.tunable == 7 && intent.scenario == 1);
	assert_string_equal(intent.to, "20");
	assert_string_equal(intent.text, "80 failures per 1000 InDatagrams in 1 s");
	failures += 40;
	world.engine.heard_ns = world.worker.now_ns + SECOND;
	pass(0, 1000);
	assert_string_equal(answer(true).to, "10");
}

/* Too little is counted in a second to judge the step: several make a window. */
static void test_long_window(void **state)
{
	(void)state;
	pass(0, 0);
	pass(80, 1000);
	assert_string_equal(answer(true).to, "200");
	for (int i = 0; i < 3; i++) {
		pass(1, 4);
		assert_nothing();
	}
	pass(1, 4);
	assert_string_equal(answer(true).to, "100");
}

static void test_counters_that_begin_anew(void **state)
{
	(void)state;
	pass(0, 0);
	counted.errors = counted.datagrams = 0;
	pass(500, 500);
	assert_nothing();
	counted.absent = true;
	pass(500, 500);
	assert_nothing();
	counted.absent = false;
	pass(500, 500);
	assert_nothing();
	pass(500, 500);
	assert_string_equal(answer(true).to, "200");
}

/* A window needs both counters at its beginning and at its end. */
static void test_absent_counters(void **state)
{
	(void)state;
	pass(0, 0);
	for (int i = 0; i < 2; i++) {
		bool *absent = i ? &counted.datagrams_absent : &counted.errors_absent;

		*absent = true;
		pass(80, 1000);
		assert_nothing();
		*absent = false;
		pass(80, 1000); /* a window begins */
		assert_nothing();
	}
	pass(80, 1000);
	assert_string_equal(answer(true).to, "200");
}

/* A tick that comes early leaves the window open. */
static void test_early_tick(void **state)
{
	(void)state;
	pass(0, 0);
	world.worker.now_ns -= SECOND / 2;
	pass(80, 1000);
	assert_nothing();
	pass(0, 1000);
	assert_string_equal(answer(true).text, "80 RcvbufErrors per 2000 InDatagrams in 2 s");
}

/* What the counter counts besides is no trouble, however much it is. */
static void test_besides(void **state)
{
	(void)state;
	pass(0, 0);
	counted.besides += 5000;
	pass(80, 1000);
	assert_string_equal(answer(true).text, "80 RcvbufErrors per 1000 InDatagrams in 1 s");
	counted.besides += 9000;
	pass(39, 1000);
	assert_string_equal(answer(true).to, "400");
	counted.besides_absent = true; /* then the trouble is not known */
	pass(80, 1000);
	assert_nothing();
}

/* A step is made for trouble that the program tells of, and judged by what it tells of since. */
static void test_others_errors(void **state)
{
	(void)state;
	pass(0, 0);
	are_others = true;
	pass(80, 1000);
	assert_nothing();
	are_others = false;
	pass(80, 1000);
	assert_string_equal(answer(true).to, "200");
	are_others = true;
	pass(80, 1000);
	assert_nothing();
	assert_false(remedies_are_judging(&world.worker));
	world.worker.now_ns += 10 * MINUTE;
	pass(80, 1000);
	assert_string_equal(answer(true).to, "100");
}

/* Much work in a long time without events must not make the trouble look small that they tell of. */
static void test_window_begins_with_events(void **state)
{
	(void)state;
	pass(0, 0);
	world.worker.now_ns += 60 * MINUTE;
	counted.datagrams += 1000000;
	remedies_wake(&world.worker);
	assert_nothing();
	pass(400, 1000);
	assert_string_equal(answer(true).text, "400 RcvbufErrors per 1000 InDatagrams in 1 s");
	pass(100, 1000);
	assert_string_equal(answer(true).to, "400");
}

static void test_is_judging(void **state)
{
	(void)state;
	pass(0, 0);
	assert_false(remedies_are_judging(&world.worker));
	pass(80, 1000);
	assert_false(remedies_are_judging(&world.worker)); /* it is not written yet */
	answer(true);
	assert_true(remedies_are_judging(&world.worker));
	pass(0, 1000);
	assert_false(remedies_are_judging(&world.worker));
}

static void test_refused(void **state)
{
	(void)state;
	pass(0, 0);
	pass(80, 1000);
	answer(false);
	pass(80, 1000);
	assert_string_equal(answer(true).to, "200");
	pass(0, 1000);
	assert_nothing();
}

static void test_no_look_while_a_proposal_is_under_way(void **state)
{
	(void)state;
	pass(0, 0);
	pass(80, 1000);
	for (int i = 0; i < 3; i++)
		pass(80, 1000);
	assert_string_equal(answer(true).to, "200");
}

static void test_decay(void **state)
{
	struct bpftune_report intent;

	(void)state;
	assert_false(remedies_may_decay(&world.worker));
	pass(0, 0);
	pass(80, 1000);
	answer(true);
	assert_true(remedies_may_decay(&world.worker));
	pass(1, 1000);
	answer(true);
	world.worker.now_ns += 10 * MINUTE;
	pass(0, 1000);
	intent = answer(true);
	assert_string_equal(intent.to, "200");
	assert_string_equal(intent.text, "no RcvbufErrors for 10 min: one step back");
	pass(1, 1000);
	assert_string_equal(answer(true).to, "400");
	world.worker.now_ns += 19 * MINUTE;
	pass(0, 1000);
	assert_nothing();
	world.worker.now_ns += MINUTE;
	pass(0, 1000);
	assert_string_equal(answer(true).to, "200");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_counters),
		TEST(test_counted_by_the_tuner),
		TEST(test_long_window),
		TEST(test_counters_that_begin_anew),
		TEST(test_absent_counters),
		TEST(test_early_tick),
		TEST(test_besides),
		TEST(test_others_errors),
		TEST(test_window_begins_with_events),
		TEST(test_is_judging),
		TEST(test_refused),
		TEST(test_no_look_while_a_proposal_is_under_way),
		TEST(test_decay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
