// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "supervisor/operator/log_budget.h"

static unsigned int count_allowed(struct owner_log *log, uint64_t now_ms, unsigned int n)
{
	unsigned int allowed = 0, left_out;

	for (unsigned int i = 0; i < n; i++)
		allowed += log_budget_allows(log, now_ms, &left_out);
	return allowed;
}

static void test_burst_and_rate(void **state)
{
	struct owner_log log = { 0 };
	unsigned int left_out;

	(void)state;
	assert_int_equal(count_allowed(&log, 1000, 2 * LOG_BUDGET_BURST), LOG_BUDGET_BURST);
	assert_int_equal(count_allowed(&log, 1000 + LOG_BUDGET_MS - 1, 10), 0);
	assert_true(log_budget_allows(&log, 1000 + LOG_BUDGET_MS, &left_out));
	assert_int_equal(left_out, LOG_BUDGET_BURST + 10);
	assert_int_equal(count_allowed(&log, 1000 + 11 * LOG_BUDGET_MS, 100), 10);
	/* Whoever has been silent for long has no more than that. */
	assert_int_equal(count_allowed(&log, 1000000000, 2 * LOG_BUDGET_BURST), LOG_BUDGET_BURST);
}

/* Many at once are taken as a whole or not at all. */
static void test_bucket(void **state)
{
	struct bucket bucket = { 0 };

	(void)state;
	assert_true(bucket_is_full(&bucket, 0));
	assert_false(bucket_take(&bucket, 11, 100, 10, 0));
	assert_true(bucket_take(&bucket, 8, 100, 10, 0));
	assert_false(bucket_take(&bucket, 3, 100, 10, 0));
	assert_true(bucket_has(&bucket, 100, 10, 0));
	assert_true(bucket_take(&bucket, 2, 100, 10, 0));
	assert_false(bucket_has(&bucket, 100, 10, 99));
	assert_true(bucket_has(&bucket, 100, 10, 100));
	assert_false(bucket_is_full(&bucket, 999));
	assert_true(bucket_is_full(&bucket, 1000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_burst_and_rate),
		cmocka_unit_test(test_bucket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
