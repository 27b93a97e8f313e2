// SPDX-License-Identifier: GPL-2.0-or-later
/* Steps that a tuner asks for or judges: worker/remedy_api.c, remedy_step.c. And tables of remedies that do not fit. */
#include "tests/unit/fake_tuner.h"

/* The tuner knows what would do: one step, as far as the tunable goes. */
static void test_tuner_knows_what_is_needed(void **state)
{
	(void)state;
	needed = 5000;
	assert_int_equal(try(world.worker.now_ns, 50, 100), 0);
	assert_string_equal(answer(true).to, "5000");
	needed = 100000;
	world.worker.now_ns += SECOND;
	assert_int_equal(try(world.worker.now_ns, 20, 100), 0);
	assert_string_equal(answer(true).to, "65535");
}

static void test_tuner_counts(void **state)
{
	struct bpftune_report intent;
	long long ints[BPFTUNE_INTS_MAX];
	uint64_t before;

	(void)state;
	assert_int_equal(bpftune_tried_from(&world.instance, OVERFLOWS, ints), -ENOENT);
	assert_int_equal(try(world.worker.now_ns, 50, 100), 0);
	assert_int_equal(try(world.worker.now_ns, 50, 100), -EBUSY);
	intent = answer(true);
	assert_string_equal(intent.to, "256");
	assert_string_equal(intent.text, "3 were full");
	assert_true(intent.scenario == 1 && intent.event_ns == 7);
	assert_int_equal(bpftune_tried_from(&world.instance, OVERFLOWS, ints), 0);
	assert_int_equal(ints[0], 128);
	before = world.worker.now_ns - 1;
	world.worker.now_ns += SECOND;
	assert_int_equal(try(before, 50, 100), -EAGAIN); /* that was seen before the step */
	assert_nothing();
	assert_int_equal(try(world.worker.now_ns, 50, 100), -EAGAIN);
	intent = answer(true);
	assert_string_equal(intent.to, "128");
	assert_non_null(strstr(intent.text, "50 overflows per 100 handshakes before it"));
	assert_int_equal(try(world.worker.now_ns, 50, 100), -EAGAIN);
	assert_nothing();
}

static void test_taken_back(void **state)
{
	(void)state;
	assert_int_equal(try(world.worker.now_ns, 50, 0), 0);
	answer(true);
	assert_int_equal(try(world.worker.now_ns, 50, 0), 0);
	answer(true);
	assert_int_equal(bpftune_take_back(&world.instance, OVERFLOWS, 2, NULL, 60, "a flood of %u", 9), 0);
	assert_string_equal(answer(true).to, "128");
	assert_int_equal(bpftune_take_back(&world.instance, OVERFLOWS, 2, NULL, 60, "a flood"), -EALREADY);
	world.worker.now_ns += 59 * SECOND;
	assert_int_equal(try(world.worker.now_ns, 50, 0), -EAGAIN);
	world.worker.now_ns += SECOND;
	assert_int_equal(try(world.worker.now_ns, 50, 0), 0);
}

/* A step that has ended the trouble is kept, also if there is as much trouble again long after it. */
static void test_relieved(void **state)
{
	(void)state;
	bpftune_relieved(&world.instance, OVERFLOWS, world.worker.now_ns);
	assert_int_equal(try(world.worker.now_ns, 50, 100), 0);
	assert_string_equal(answer(true).to, "256");
	bpftune_relieved(&world.instance, OVERFLOWS, world.worker.now_ns - 1); /* some of that was before the step */
	assert_true(remedies_are_judging(&world.worker));
	world.worker.now_ns += SECOND;
	bpftune_relieved(&world.instance, OVERFLOWS, world.worker.now_ns);
	assert_false(remedies_are_judging(&world.worker));
	assert_nothing();
	world.worker.now_ns += SECOND;
	assert_int_equal(try(world.worker.now_ns, 50, 100), 0);
	assert_string_equal(answer(true).to, "512");
}

static void test_cap(void **state)
{
	struct bpftune_report intent;
	long long from;

	(void)state;
	n_caps = 0;
	remedies_settle(&world.worker);
	world.worker.running = &world.engine;
	assert_int_equal(bpftune_step_from(&world.instance, MEMORY, &from), -ENOENT);
	assert_int_equal(n_caps, 0); /* it may be read from a file */
	assert_int_equal(bpftune_try(&world.instance, MEMORY, 1, NULL, NULL, "soon"), 0);
	assert_int_equal(n_caps, 1);
	intent = answer(true);
	assert_int_equal(n_caps, 1);
	assert_string_equal(intent.from, "300\t400\t800");
	assert_string_equal(intent.to, "450 600 1200");
	memory_cap = 1300;
	assert_int_equal(bpftune_try(&world.instance, MEMORY, 1, NULL, NULL, "soon"), -ENOSPC);
	snprintf(world.values[1].value, sizeof(world.values[1].value), "40000");
	assert_int_equal(try(world.worker.now_ns, 1, 0), 0);
	assert_string_equal(answer(true).to, "65535");
}

static void test_somebody_else(void **state)
{
	long long ints[BPFTUNE_INTS_MAX];

	(void)state;
	assert_int_equal(try(world.worker.now_ns, 50, 0), 0);
	answer(true);
	snprintf(world.values[1].value, sizeof(world.values[1].value), "500");
	remedies_settle(&world.worker);
	world.worker.running = &world.engine;
	assert_int_equal(bpftune_tried_from(&world.instance, OVERFLOWS, ints), -ENOENT);
	assert_int_equal(bpftune_take_back(&world.instance, OVERFLOWS, 2, NULL, 60, "a flood"), -EALREADY);
}

static void test_own_measure(void **state)
{
	struct bpftune_report intent;
	long long from = 0, ints[BPFTUNE_INTS_MAX];

	(void)state;
	assert_int_equal(bpftune_step_from(&world.instance, RATE, &from), -ENOENT);
	assert_int_equal(go_to(64), -EALREADY);
	assert_int_equal(go_to(10001), -ERANGE);
	assert_int_equal(bpftune_step_from(&world.instance, RATE, &from), -ENOENT);
	assert_int_equal(go_to(200), 0);
	assert_int_equal(bpftune_step_from(&world.instance, RATE, &from), -EBUSY);
	assert_int_equal(go_to(300), -EBUSY);
	answer(false);
	assert_int_equal(bpftune_step_from(&world.instance, RATE, &from), -EAGAIN); /* there is no step to judge */
	assert_int_equal(go_to(200), 0);
	intent = answer(true);
	assert_string_equal(intent.to, "4 16 200");
	assert_string_equal(intent.text, "7 Mbit/s");
	assert_int_equal(intent.scenario, 1);
	for (int i = 0; i < 3; i++)
		pass(80, 1000); /* the frame does not judge it, */
	answer(true);
	assert_int_equal(bpftune_step_from(&world.instance, RATE, &from), 0);
	assert_int_equal(from, 64);
	bpftune_keep_step(&world.instance, RATE);
	assert_int_equal(bpftune_step_from(&world.instance, RATE, &from), -EAGAIN);
	assert_int_equal(go_to(800), 0);
	answer(true);
	assert_int_equal(bpftune_step_from(&world.instance, RATE, &from), 0);
	assert_int_equal(from, 200);
	assert_int_equal(go_to(from), 0);
	assert_string_equal(answer(true).to, "4 16 200");
	assert_int_equal(bpftune_step_from(&world.instance, RATE, &from), -EAGAIN);
	assert_int_equal(bpftune_tried_from(&world.instance, RATE, ints), 0);
	assert_int_equal(ints[2], 64);
	snprintf(world.values[3].value, sizeof(world.values[3].value), "4 16 100");
	remedies_settle(&world.worker);
	world.worker.running = &world.engine;
	assert_int_equal(bpftune_step_from(&world.instance, RATE, &from), -ENOENT);
	assert_int_equal(bpftune_step_from(&world.instance, ARRAY_SIZE(remedies), &from), -EINVAL);
}

static void test_own_measure_in_a_dry_run(void **state)
{
	struct bpftune_report report;
	long long from = 0;

	(void)state;
	world.worker.dry_run = true;
	assert_int_equal(go_to(200), 0);
	assert_true(take_report(&report));
	assert_int_equal(report.kind, BPFTUNE_WOULD);
	assert_int_equal(bpftune_step_from(&world.instance, RATE, &from), -EAGAIN);
	assert_int_equal(go_to(200), -EALREADY); /* it was said */
	assert_int_equal(bpftune_step_from(&world.instance, RATE, &from), -EAGAIN);
}

static void test_not_ours(void **state)
{
	(void)state;
	world.instance.shares_netns = true;
	assert_int_equal(try(world.worker.now_ns, 50, 0), -EPERM);
	world.instance.shares_netns = false;
	world.values[1].value[0] = '\0'; /* unreadable */
	assert_int_equal(try(world.worker.now_ns, 50, 0), -EINVAL);
	assert_int_equal(bpftune_try(&world.instance, ARRAY_SIZE(remedies), 1, NULL, NULL, "none"), -EINVAL);
	pass(0, 0);
	assert_nothing();
}

static int widen_again(uint64_t trouble)
{
	world.worker.now_ns += SECOND;
	return try_remedy(RANGE, world.worker.now_ns, trouble, 100);
}

/* The tuner says what a step is; what becomes of the step is the same. */
static void test_steps_of_the_tuner(void **state)
{
	long long from;

	(void)state;
	assert_int_equal(widen_again(50), 0);
	assert_string_equal(answer(true).to, "18 31");
	assert_int_equal(bpftune_step_from(&world.instance, RANGE, &from), 0);
	assert_int_equal(from, 30);
	assert_int_equal(widen_again(20), 0);
	assert_string_equal(answer(true).to, "16 32");
	assert_int_equal(widen_again(20), -EAGAIN);
	assert_string_equal(answer(true).to, "18 31"); /* undone: exactly what it was */
	range_wall = 17;
	world.worker.now_ns += SECOND;
	assert_int_equal(widen_again(20), -ENOSPC);
	pass(0, 0);
	assert_nothing();
	world.worker.now_ns += 10 * MINUTE;
	pass(0, 0);
	assert_string_equal(answer(true).to, "20 30");
	assert_int_equal(widen_again(50), 0);
	assert_string_equal(answer(true).to, "18 31"); /* it returns */
	world.worker.now_ns += 20 * MINUTE;
	pass(0, 0);
	assert_string_equal(answer(true).to, "20 30");
	range_wall = 18;
	assert_int_equal(widen_again(50), -ENOSPC); /* it does not: there is no room for it any more */
	assert_nothing();
}

static void test_tables_that_do_not_fit(void **state)
{
	static const struct bpftune_remedy wrong[] = {
		{ .tunable = ARRAY_SIZE(tunables) },
		{ .scenario = ARRAY_SIZE(scenarios) },
		{ .value = 1 },
		{ .trouble = { .name = "overflows" } },
		{ .tunable = 3, .value = BPFTUNE_ALL_VALUES, .is_measured = true },
		{ .tunable = 6, .value = BPFTUNE_WIDTH },
		{ .tunable = 3, .value = BPFTUNE_WIDTH, .next = widen },
		{ .tunable = 6, .value = BPFTUNE_WIDTH, .next = widen, .is_measured = true },
	};
	struct engine engine = { .tuner = &tuner };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		tuner.remedies = &wrong[i];
		tuner.n_remedies = 1;
		assert_int_equal(remedies_start(&world.worker, &engine), -EINVAL);
	}
	tuner.n_remedies = BPFTUNE_REMEDIES_MAX + 1;
	assert_int_equal(remedies_start(&world.worker, &engine), -E2BIG);
	tuner.remedies = remedies;
	tuner.n_remedies = ARRAY_SIZE(remedies);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_tuner_knows_what_is_needed),
		TEST(test_tuner_counts),
		TEST(test_steps_of_the_tuner),
		TEST(test_taken_back),
		TEST(test_relieved),
		TEST(test_cap),
		TEST(test_somebody_else),
		TEST(test_own_measure),
		TEST(test_own_measure_in_a_dry_run),
		TEST(test_not_ours),
		TEST(test_tables_that_do_not_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
