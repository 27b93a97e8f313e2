// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "supervisor/operator/log_budget.h"

static unsigned int count_allowed(struct log_owner **owners, const char *name, uint64_t now_ms, unsigned int n)
{
	unsigned int allowed = 0, left_out;

	for (unsigned int i = 0; i < n; i++)
		allowed += log_budget_allows(owners, name, now_ms, &left_out);
	return allowed;
}

static void test_burst_and_rate(void **state)
{
	struct log_owner *owners = NULL;
	unsigned int left_out;

	(void)state;
	assert_int_equal(count_allowed(&owners, "a", 1000, 2 * LOG_BUDGET_BURST), LOG_BUDGET_BURST);
	assert_int_equal(count_allowed(&owners, "a", 1000 + LOG_BUDGET_MS - 1, 10), 0);
	assert_true(log_budget_allows(&owners, "a", 1000 + LOG_BUDGET_MS, &left_out));
	assert_int_equal(left_out, LOG_BUDGET_BURST + 10);
	assert_int_equal(count_allowed(&owners, "a", 1000 + 11 * LOG_BUDGET_MS, 100), 10);
	/* Whoever has been silent for long has no more than that. */
	assert_int_equal(count_allowed(&owners, "a", 1000000000, 2 * LOG_BUDGET_BURST), LOG_BUDGET_BURST);
	log_budget_free(&owners);
	assert_null(owners);
}

static void test_each_owner_has_its_own(void **state)
{
	struct log_owner *owners = NULL;

	(void)state;
	assert_int_equal(count_allowed(&owners, "a", 0, 2 * LOG_BUDGET_BURST), LOG_BUDGET_BURST);
	assert_int_equal(count_allowed(&owners, "", 0, 2 * LOG_BUDGET_BURST), LOG_BUDGET_BURST);
	log_budget_free(&owners);
}

/* Many owners that come and go are forgotten, but for those that have spent something. */
static void test_idle_owners_are_forgotten(void **state)
{
	struct log_owner *owners = NULL;
	uint64_t now_ms = 0;

	(void)state;
	assert_int_equal(count_allowed(&owners, "flood", 0, 2 * LOG_BUDGET_BURST), LOG_BUDGET_BURST);
	for (unsigned int i = 0; i < 3 * LOG_BUDGET_OWNERS; i++) {
		char name[32];

		snprintf(name, sizeof(name), "owner %u", i);
		assert_int_equal(count_allowed(&owners, name, now_ms, 1), 1);
		if (i % LOG_BUDGET_OWNERS == 0)
			now_ms += LOG_BUDGET_MS;
	}
	assert_true(HASH_COUNT(owners) <= 2 * LOG_BUDGET_OWNERS);
	assert_true(count_allowed(&owners, "flood", now_ms, LOG_BUDGET_BURST) < LOG_BUDGET_BURST / 2);
	log_budget_free(&owners);
}

/* Also those of which records were left out, and that never came again: containers come and go for years. */
static void test_silenced_owners_are_forgotten(void **state)
{
	struct log_owner *owners = NULL;

	(void)state;
	for (uint64_t i = 0; i < 2 * LOG_BUDGET_OWNERS; i++) {
		char name[32];

		snprintf(name, sizeof(name), "owner %u", (unsigned int)i);
		count_allowed(&owners, name, i * LOG_BUDGET_BURST * LOG_BUDGET_MS, LOG_BUDGET_BURST + 1);
	}
	assert_true(HASH_COUNT(owners) <= LOG_BUDGET_OWNERS);
	log_budget_free(&owners);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_burst_and_rate),
		cmocka_unit_test(test_each_owner_has_its_own),
		cmocka_unit_test(test_idle_owners_are_forgotten),
		cmocka_unit_test(test_silenced_owners_are_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
