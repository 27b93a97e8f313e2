// SPDX-License-Identifier: GPL-2.0-or-later
/* Claims of host-scoped tunables, and their end. */
#include "tests/unit/fake_tuner.h"

/* Somebody needs so much more, of four who may ask. Gives what that comes to. */
static int need(unsigned int remedy, uint64_t asker, int64_t more)
{
	const struct bpftune_event event = { .asker = asker };

	world.engine.n_askers = 4;
	bpftune_claim(&world.instance, remedy, &event, more);
	return bpftune_try(&world.instance, remedy, 2, &event, NULL, "needed");
}

static void on_host(void)
{
	world.instance.id = BPFTUNE_HOST_ID;
}

static void end_asker(uint64_t asker)
{
	remedies_end_asker(&world.worker, asker);
	remedies_settle(&world.worker);
	world.worker.running = &world.engine;
}

/* A limit goes as far as the largest of those who need it, each up to its share; and back when they end. */
static void test_claims(void **state)
{
	struct bpftune_report intent;

	(void)state;
	on_host();
	assert_int_equal(bpftune_try(&world.instance, LIMIT, 2, NULL, NULL, "nobody needs it"), -ENOSPC);
	assert_int_equal(need(LIMIT, 7, 500), 0);
	intent = answer(true);
	assert_string_equal(intent.to, "1500");
	assert_int_equal(intent.asker, 7);
	assert_int_equal(need(LIMIT, 7, 500), -ENOSPC);
	assert_int_equal(need(LIMIT, 8, 1000000), 0);
	assert_string_equal(answer(true).to, "2000");
	assert_int_equal(need(LIMIT, 8, 1000000), -ENOSPC);
	assert_int_equal(need(LIMIT, BUDGET_HOST, 1000000), 0); /* the host itself is no container */
	assert_string_equal(answer(true).to, "5000");
	assert_true(remedies_may_decay(&world.worker));
	end_asker(9);
	end_asker(7);
	assert_nothing(); /* others need more */
	end_asker(BUDGET_HOST);
	intent = answer(true);
	assert_string_equal(intent.to, "2000");
	assert_true(intent.scenario == 2 && !intent.asker);
	end_asker(8);
	assert_string_equal(answer(true).to, "1000");
	assert_false(remedies_may_decay(&world.worker));
}

/* What one asker's claim has raised, and was of no use, goes back; what another one needs stays, and is not held off. */
static void test_disclaimed(void **state)
{
	const struct bpftune_event event = { .asker = 7 };
	struct bpftune_report intent;

	(void)state;
	on_host();
	assert_int_equal(bpftune_disclaim(&world.instance, POOL, 1, &event, "of no use"), -ENOENT);
	assert_int_equal(need(POOL, 8, 500), 0);
	assert_string_equal(answer(true).to, "1500");
	assert_int_equal(need(POOL, 7, 1000000), 0);
	assert_string_equal(answer(true).to, "2500");
	assert_int_equal(bpftune_disclaim(&world.instance, 99, 1, &event, "of no use"), -ENOENT);
	assert_int_equal(bpftune_disclaim(&world.instance, POOL, 1, &event, "%d of no use", 4), 0);
	intent = answer(true);
	assert_string_equal(intent.to, "1500");
	assert_string_equal(intent.text, "4 of no use");
	assert_true(intent.scenario == 1 && intent.asker == 7);
	assert_int_equal(bpftune_disclaim(&world.instance, POOL, 1, &event, "of no use"), -ENOENT);
	assert_int_equal(need(POOL, 7, 1000000), -ENOSPC);
	assert_int_equal(need(POOL, 8, 700), 0);
	assert_string_equal(answer(true).to, "1700");
	world.worker.now_ns += SECOND;
	assert_int_equal(need(POOL, 7, 1000000), 0);
	answer(true);
}

/* What was needed on top of a value that somebody else has replaced since says nothing of the next one. */
static void test_claims_on_another_value(void **state)
{
	(void)state;
	on_host();
	assert_int_equal(need(LIMIT, BUDGET_HOST, 3000), 0);
	assert_string_equal(answer(true).to, "4000");
	snprintf(world.values[4].value, sizeof(world.values[4].value), "2000");
	remedies_settle(&world.worker);
	world.worker.running = &world.engine;
	assert_int_equal(need(LIMIT, 7, 500), 0);
	assert_string_equal(answer(true).to, "2500");
}

/* What one needs of a pool is on top of what the others need. */
static void test_claims_of_a_pool(void **state)
{
	(void)state;
	on_host();
	assert_int_equal(need(POOL, 7, 1000000), 0);
	assert_string_equal(answer(true).to, "2000");
	assert_int_equal(need(POOL, 7, 1000000), -ENOSPC);
	assert_int_equal(need(POOL, 8, 500), 0);
	assert_string_equal(answer(true).to, "2500");
	end_asker(7);
	assert_string_equal(answer(true).to, "1000"); /* the highest value before a step that is within 1500 */
	assert_int_equal(need(POOL, 8, 500), 0);
	assert_string_equal(answer(true).to, "1500");
}

static void test_claims_end_after_an_hour(void **state)
{
	(void)state;
	on_host();
	assert_int_equal(need(LIMIT, 7, 500), 0);
	answer(true);
	world.worker.now_ns += 59 * MINUTE;
	pass(0, 0);
	assert_nothing();
	world.worker.now_ns += MINUTE;
	pass(0, 0);
	assert_string_equal(answer(true).to, "1000");
}

/* The end is not forgotten while a step is on its way. */
static void test_asker_ends_meanwhile(void **state)
{
	(void)state;
	on_host();
	assert_int_equal(need(LIMIT, 7, 500), 0);
	remedies_end_asker(&world.worker, 7);
	assert_string_equal(answer(true).to, "1500");
	assert_string_equal(answer(true).to, "1000");
}

/* Which container it was is not known to the next worker: within an hour it is as if the host needed it. */
static void test_claims_of_another_worker(void **state)
{
	(void)state;
	on_host();
	assert_int_equal(need(LIMIT, 7, 500), 0);
	answer(true);
	restart();
	assert_true(remedies_may_decay(&world.worker));
	end_asker(7);
	assert_nothing();
	assert_int_equal(need(LIMIT, 8, 400), -ENOSPC); /* that fits */
	world.worker.now_ns += 30 * MINUTE;
	assert_int_equal(need(LIMIT, 8, 400), -ENOSPC);
	world.worker.now_ns += 30 * MINUTE;
	pass(0, 0);
	assert_string_equal(answer(true).to, "1000"); /* 1400 never was a value; who needs it asks again */
	assert_int_equal(need(LIMIT, 8, 400), 0);
	assert_string_equal(answer(true).to, "1400");
}

/* A container's worker claims nothing, and neither does a tuner for a remedy that needs no claim. */
static void test_no_claims(void **state)
{
	(void)state;
	assert_int_equal(need(LIMIT, 0, 500), -EPERM);
	on_host();
	bpftune_claim(&world.instance, OVERFLOWS, &(struct bpftune_event){ 0 }, 500);
	bpftune_claim(&world.instance, 99, &(struct bpftune_event){ 0 }, 500);
	assert_null(world.worker.budget);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_claims),
		TEST(test_claims_of_a_pool),
		TEST(test_disclaimed),
		TEST(test_claims_end_after_an_hour),
		TEST(test_asker_ends_meanwhile),
		TEST(test_claims_of_another_worker),
		TEST(test_no_claims),
		TEST(test_claims_on_another_value),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
