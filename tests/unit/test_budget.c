// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "worker/budget.h"

#define SECOND 1000000000ULL
#define HOUR (3600 * SECOND)

static const struct bpftune_owner memory = { 1, 0 }, limit = { 2, 0 }, other = { 2, 1 };
static const struct budget_rule pool = { .whole = 1000, .n_askers = 4, .adds_up = true };
static const struct budget_rule largest = { .whole = 1000, .n_askers = 4 };

/* Each has its share at most, however much it needs; a limit of each socket is as high as the largest. */
static void test_shares(void **state)
{
	struct budget budget = { 0 };

	(void)state;
	assert_int_equal(budget_granted(&budget, &limit, &largest), 0);
	budget_claim(&budget, &limit, 7, 100, SECOND);
	assert_int_equal(budget_granted(&budget, &limit, &largest), 100);
	budget_claim(&budget, &limit, 8, INT64_MAX, SECOND);
	assert_int_equal(budget_granted(&budget, &limit, &largest), 250);
	budget_claim(&budget, &memory, 7, 100, SECOND);
	budget_claim(&budget, &memory, 8, 10000, SECOND);
	assert_int_equal(budget_granted(&budget, &memory, &pool), 350);
	for (uint64_t asker = 9; asker < 20; asker++)
		budget_claim(&budget, &memory, asker, INT64_MAX, SECOND);
	assert_int_equal(budget_granted(&budget, &memory, &pool), 1000);
	assert_int_equal(budget_granted(&budget, &limit, &largest), 250);
	assert_int_equal(budget_granted(&budget, &other, &largest), 0);
}

/* Of the whole, but not of a share. */
static void test_the_host_itself(void **state)
{
	struct budget budget = { 0 };

	(void)state;
	budget_claim(&budget, &limit, BUDGET_HOST, 900, SECOND);
	assert_int_equal(budget_granted(&budget, &limit, &largest), 900);
	budget_claim(&budget, &limit, BUDGET_HOST, INT64_MAX, SECOND);
	assert_int_equal(budget_granted(&budget, &limit, &largest), 1000);
}

/* A share is that of as many as there are now, whoever asked before. */
static void test_more_containers(void **state)
{
	const struct budget_rule nobody_known = { .whole = 1000 }, poor = { .whole = 3, .n_askers = 4 };
	struct budget_rule rule = largest;
	struct budget budget = { 0 };

	(void)state;
	budget_claim(&budget, &limit, 7, 800, SECOND);
	assert_int_equal(budget_granted(&budget, &limit, &nobody_known), 800);
	assert_int_equal(budget_granted(&budget, &limit, &poor), 0);
	rule.n_askers = 1;
	assert_int_equal(budget_granted(&budget, &limit, &rule), 800);
	rule.n_askers = 10;
	assert_int_equal(budget_granted(&budget, &limit, &rule), 100);
}

static void test_end_of_a_container(void **state)
{
	struct budget budget = { 0 };

	(void)state;
	budget_claim(&budget, &limit, 7, 200, SECOND);
	budget_claim(&budget, &limit, 8, 100, SECOND);
	budget_claim(&budget, &memory, 7, 100, SECOND);
	assert_false(budget_end(&budget, 9));
	assert_true(budget_end(&budget, 7));
	assert_false(budget_end(&budget, 7));
	assert_int_equal(budget_granted(&budget, &limit, &largest), 100);
	assert_int_equal(budget_granted(&budget, &memory, &pool), 0);
	assert_true(budget_end(&budget, 8));
	assert_int_equal(budget.n, 0);
}

/* An hour after the last need, of which the largest counts. */
static void test_no_need(void **state)
{
	struct budget budget = { 0 };

	(void)state;
	budget_claim(&budget, &limit, 7, 200, HOUR);
	budget_claim(&budget, &limit, 8, 100, HOUR);
	budget_claim(&budget, &limit, 7, 50, HOUR + 60 * SECOND);
	assert_false(budget_expire(&budget, HOUR - SECOND)); /* two CPUs' clocks */
	assert_false(budget_expire(&budget, 2 * HOUR - 1));
	assert_true(budget_expire(&budget, 2 * HOUR));
	assert_int_equal(budget.n, 1);
	assert_int_equal(budget_granted(&budget, &limit, &largest), 200);
	assert_true(budget_expire(&budget, 2 * HOUR + 60 * SECOND));
	assert_int_equal(budget_granted(&budget, &limit, &largest), 0);
}

/* What was of no use is undone, and held off for longer each time; the others' claims stay. */
static void test_of_no_use(void **state)
{
	struct budget budget = { 0 };
	uint64_t now_ns = HOUR;

	(void)state;
	assert_false(budget_refuse(&budget, &memory, 7, now_ns));
	budget_claim(&budget, &memory, 7, 100, now_ns);
	budget_claim(&budget, &memory, 8, 50, now_ns);
	budget_claim(&budget, &limit, 7, 30, now_ns);
	assert_true(budget_refuse(&budget, &memory, 7, now_ns));
	assert_false(budget_refuse(&budget, &memory, 7, now_ns)); /* it has none: the hold stays as it is */
	assert_int_equal(budget_granted(&budget, &memory, &pool), 50);
	assert_int_equal(budget_granted(&budget, &limit, &largest), 30);
	for (uint64_t hold = 1; hold <= 4; hold *= 2) {
		budget_claim(&budget, &memory, 7, 100, now_ns + hold * SECOND - 1);
		assert_int_equal(budget_granted(&budget, &memory, &pool), 50);
		now_ns += hold * SECOND;
		budget_claim(&budget, &memory, 7, 100, now_ns);
		assert_int_equal(budget_granted(&budget, &memory, &pool), 150);
		assert_true(budget_refuse(&budget, &memory, 7, now_ns));
	}
	for (int i = 0; i < 20; i++) {
		now_ns += HOUR;
		budget_claim(&budget, &memory, 7, 100, now_ns);
		assert_true(budget_refuse(&budget, &memory, 7, now_ns));
	}
	assert_false(budget_expire(&budget, HOUR + 1));
	assert_true(budget_expire(&budget, now_ns + HOUR)); /* a hold ends with what is known of it */
	assert_int_equal(budget.n, 0);
}

static void test_no_claims(void **state)
{
	struct budget budget = { 0 };

	(void)state;
	budget_claim(&budget, &limit, 7, 0, SECOND);
	budget_claim(&budget, &limit, 7, -1, SECOND);
	assert_int_equal(budget.n, 0);
}

/* Who is still in need of what he has, says so: it counts on, and is no more than before. Who has nothing gets nothing. */
static void test_renewed(void **state)
{
	struct budget budget = { 0 };

	(void)state;
	budget_claim(&budget, &limit, 7, 100, SECOND);
	budget_claim(&budget, &limit, 7, 0, HOUR);
	for (uint64_t asker = 8; asker <= 2 * BUDGET_CLAIMS_MAX; asker++)
		budget_claim(&budget, &limit, asker, 0, HOUR);
	assert_int_equal(budget.n, 1);
	assert_false(budget_expire(&budget, HOUR + SECOND));
	assert_int_equal(budget_granted(&budget, &limit, &largest), 100);
	assert_true(budget_refuse(&budget, &limit, 7, HOUR + SECOND));
	budget_claim(&budget, &limit, 7, 0, HOUR + 3 * SECOND);
	assert_int_equal(budget_granted(&budget, &limit, &largest), 0);
	assert_false(budget_refuse(&budget, &limit, 7, HOUR + 3 * SECOND));
}

/* Of more than there is room for, the ones that needed it last are known. */
static void test_full(void **state)
{
	struct budget budget = { 0 };

	(void)state;
	for (uint64_t asker = 1; asker <= BUDGET_CLAIMS_MAX; asker++)
		budget_claim(&budget, &limit, asker, asker == 5 ? 200 : 10, asker * SECOND);
	budget_claim(&budget, &limit, 1, 10, HOUR);
	assert_int_equal(budget.n, BUDGET_CLAIMS_MAX);
	for (uint64_t asker = 1001; asker <= 1003; asker++)
		budget_claim(&budget, &limit, asker, 10, HOUR); /* in the place of 2, 3 and 4 */
	assert_int_equal(budget_granted(&budget, &limit, &largest), 200);
	budget_claim(&budget, &limit, 1004, 10, HOUR);
	assert_int_equal(budget_granted(&budget, &limit, &largest), 10);
	assert_int_equal(budget.n, BUDGET_CLAIMS_MAX);
	assert_true(budget_end(&budget, 1) && !budget_end(&budget, 2) && budget_end(&budget, 1001));
}

/* However many containers ask, what the host itself needs is known. */
static void test_full_of_containers(void **state)
{
	struct budget budget = { 0 };

	(void)state;
	budget_claim(&budget, &limit, BUDGET_HOST, 700, SECOND);
	for (uint64_t asker = 1; asker <= 3 * BUDGET_CLAIMS_MAX; asker++)
		budget_claim(&budget, &limit, asker, 10, asker * SECOND);
	assert_int_equal(budget_granted(&budget, &limit, &largest), 700);
	assert_int_equal(budget.n, BUDGET_CLAIMS_MAX);
	budget_forget(&budget, &memory);
	assert_int_equal(budget.n, BUDGET_CLAIMS_MAX);
	budget_forget(&budget, &limit);
	assert_int_equal(budget.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shares),
		cmocka_unit_test(test_the_host_itself),
		cmocka_unit_test(test_more_containers),
		cmocka_unit_test(test_end_of_a_container),
		cmocka_unit_test(test_no_need),
		cmocka_unit_test(test_of_no_use),
		cmocka_unit_test(test_no_claims),
		cmocka_unit_test(test_renewed),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_full_of_containers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
