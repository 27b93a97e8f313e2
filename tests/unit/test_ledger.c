// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "supervisor/ledger.h"

static const struct bpftune_tunable tunables[] = { { .name = "a.x" }, { .name = "a.y" } };
static const struct bpftune_scenario scenarios[] = { { .name = "near" }, { .name = "far" } };
static const struct bpftune_tuner first = {
	.name = "first",
	.tunables = tunables,
	.n_tunables = ARRAY_SIZE(tunables),
	.scenarios = scenarios,
	.n_scenarios = ARRAY_SIZE(scenarios),
};
static const struct bpftune_tuner second = {
	.name = "second",
	.tunables = tunables,
	.n_tunables = 1,
	.scenarios = scenarios,
	.n_scenarios = 1,
};
static const struct plugins plugins = { .n = 2, .tuners = { &first, &second } };

static int open_ledger(void **state)
{
	static struct ledger ledger;

	*state = &ledger;
	return ledger_open(&ledger, &plugins);
}

static int close_ledger(void **state)
{
	ledger_close(*state);
	return 0;
}

/* Of the first tuner's first tunable, unless the test says otherwise. */
static struct bpftune_report report_of(const char *from, const char *to)
{
	struct bpftune_report report = { .scenario = 1 };

	strcpy(report.from, from);
	strcpy(report.to, to);
	return report;
}

static bool value(struct ledger *ledger, const char *now)
{
	struct bpftune_report report = report_of("", now);

	return ledger_value(ledger, &report);
}

static int intent(struct ledger *ledger, const char *from, const char *to)
{
	struct bpftune_report report = report_of(from, to);

	return ledger_intent(ledger, &report, 1000);
}

static bool outcome(struct ledger *ledger, const char *to, int error)
{
	struct bpftune_report report = report_of("", to);

	report.error = error;
	return ledger_outcome(ledger, &report);
}

static void assert_entry(const struct ledger *ledger, const char *initial, const char *current, size_t n_changes,
			 bool intended)
{
	const struct ledger_entry *entry = ledger_entry(ledger, 0, 0);

	assert_true(entry->known);
	assert_string_equal(entry->initial, initial);
	assert_string_equal(entry->current, current);
	assert_int_equal(entry->n_changes, n_changes);
	assert_int_equal(entry->intended, intended);
}

static void test_initial_is_kept(void **state)
{
	struct ledger *ledger = *state;

	assert_false(ledger_entry(ledger, 0, 0)->known);
	assert_false(value(ledger, "1"));
	assert_entry(ledger, "1", "1", 0, false);
	assert_false(value(ledger, "1"));
	assert_int_equal(intent(ledger, "1", "2"), 0);
	assert_true(outcome(ledger, "2", 0));
	assert_false(value(ledger, "2")); /* a worker's successor reads again */
	assert_entry(ledger, "1", "2", 1, false);
	assert_false(ledger_entry(ledger, 0, 1)->known); /* the others do not notice */
	assert_false(ledger_entry(ledger, 1, 0)->known);
}

static void test_unreadable(void **state)
{
	struct ledger *ledger = *state;
	struct bpftune_report report = report_of("", "9");

	report.error = -ENOENT;
	assert_false(ledger_value(ledger, &report));
	assert_false(ledger_entry(ledger, 0, 0)->known);
	assert_int_equal(intent(ledger, "9", "10"), -EINVAL); /* nothing to go back to */
	value(ledger, "1");
	assert_false(ledger_value(ledger, &report));
	assert_entry(ledger, "1", "1", 0, false);
}

static void test_changes(void **state)
{
	static const char *const values[] = { "1", "2", "4", "8", "16", "32" };
	struct ledger *ledger = *state;
	const struct ledger_entry *entry = ledger_entry(ledger, 0, 0);
	size_t n = ARRAY_SIZE(values) - 1;

	value(ledger, values[0]);
	for (size_t i = 0; i < n; i++) {
		struct bpftune_report report = report_of(values[i], values[i + 1]);

		report.scenario = i % 2;
		assert_int_equal(ledger_intent(ledger, &report, 1000 + i), 0);
		assert_entry(ledger, "1", values[i], i, true); /* not before it is done */
		assert_true(ledger_outcome(ledger, &report));
		assert_entry(ledger, "1", values[i + 1], i + 1, false);
	}
	for (size_t i = 0; i < n; i++) {
		assert_string_equal(entry->changes[i].from, values[i]);
		assert_string_equal(entry->changes[i].to, values[i + 1]);
		assert_int_equal(entry->changes[i].scenario, i % 2);
		assert_int_equal(entry->changes[i].time_us, 1000 + i);
	}
}

/* The kernel rounds: what was read back counts. */
static void test_outcome_is_what_was_read_back(void **state)
{
	struct ledger *ledger = *state;

	value(ledger, "1");
	assert_int_equal(intent(ledger, "1", "1000"), 0);
	assert_true(outcome(ledger, "512", 0));
	assert_entry(ledger, "1", "512", 1, false);
	assert_string_equal(ledger_entry(ledger, 0, 0)->changes[0].to, "512");
}

static void test_failed_outcome(void **state)
{
	struct ledger *ledger = *state;

	value(ledger, "1");
	assert_int_equal(intent(ledger, "1", "2"), 0);
	assert_false(outcome(ledger, "2", -EACCES));
	assert_entry(ledger, "1", "1", 0, false);
	assert_int_equal(intent(ledger, "1", "3"), 0); /* and it may try again */
}

static void test_outcome_without_intent(void **state)
{
	struct ledger *ledger = *state;

	assert_false(outcome(ledger, "2", 0));
	value(ledger, "1");
	assert_false(outcome(ledger, "2", 0));
	assert_int_equal(intent(ledger, "1", "2"), 0);
	assert_true(outcome(ledger, "2", 0));
	assert_false(outcome(ledger, "3", 0)); /* once */
	assert_entry(ledger, "1", "2", 1, false);
}

static void test_busy(void **state)
{
	struct ledger *ledger = *state;
	struct bpftune_report other = report_of("1", "2");

	other.tunable = 1;
	value(ledger, "1");
	ledger_value(ledger, &other);
	assert_int_equal(intent(ledger, "1", "2"), 0);
	assert_int_equal(intent(ledger, "1", "3"), -EBUSY);
	assert_string_equal(ledger_entry(ledger, 0, 0)->intent.to, "2");
	assert_int_equal(ledger_intent(ledger, &other, 0), 0); /* each tunable for itself */
	assert_true(outcome(ledger, "2", 0));
	assert_int_equal(intent(ledger, "2", "3"), 0);
}

static void test_unknown(void **state)
{
	static const struct {
		uint16_t tuner, tunable, scenario;
		bool tunable_exists;
	} cases[] = {
		{ 0, 2, 0, false },	      { 1, 1, 0, false }, { 2, 0, 0, false },
		{ BPFTUNE_TUNERS_MAX, 0, 0, false }, { UINT16_MAX, 0, 0, false }, { 0, UINT16_MAX, 0, false },
		{ 0, 0, 2, true },	      { 1, 0, 1, true },  { 0, 0, UINT16_MAX, true },
	};
	struct ledger *ledger = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct bpftune_report report = report_of("1", "2");

		report.tuner = cases[i].tuner;
		report.tunable = cases[i].tunable;
		report.scenario = cases[i].scenario;
		assert_int_equal(ledger_entry(ledger, report.tuner, report.tunable) != NULL, cases[i].tunable_exists);
		assert_false(ledger_value(ledger, &report));
		assert_int_equal(ledger_intent(ledger, &report, 0), -EINVAL);
		assert_false(ledger_outcome(ledger, &report));
	}
}

/* A report comes from a process that may run a third party's code. */
static void test_unterminated_values(void **state)
{
	struct ledger *ledger = *state;
	const struct ledger_entry *entry = ledger_entry(ledger, 0, 0);
	struct bpftune_report report = { 0 };

	memset(report.to, 'a', sizeof(report.to));
	memset(report.from, 'b', sizeof(report.from));
	memset(report.text, 'c', sizeof(report.text));
	assert_false(ledger_value(ledger, &report));
	assert_false(ledger_value(ledger, &report)); /* it is the same when it is cut the same */
	assert_int_equal(ledger_intent(ledger, &report, 0), 0);
	assert_int_equal(strlen(entry->intent.from), BPFTUNE_VALUE_BYTES - 1);
	assert_int_equal(strlen(entry->intent.to), BPFTUNE_VALUE_BYTES - 1);
	assert_true(ledger_outcome(ledger, &report));
	assert_int_equal(strlen(entry->initial), BPFTUNE_VALUE_BYTES - 1);
	assert_int_equal(strlen(entry->current), BPFTUNE_VALUE_BYTES - 1);
	assert_int_equal(strlen(entry->changes[0].from), BPFTUNE_VALUE_BYTES - 1);
	assert_int_equal(strlen(entry->changes[0].to), BPFTUNE_VALUE_BYTES - 1);
}

/* A worker died between grant and outcome: what its successor reads tells whether it wrote. */
static void test_worker_died(void **state)
{
	static const struct {
		const char *what, *read;
		bool foreign;
		size_t changes;
	} cases[] = {
		{ "it had written", "2", false, 1 },
		{ "it had not", "1", false, 0 },
		{ "somebody else had", "3", true, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ledger *ledger = *state;

		value(ledger, "1");
		assert_int_equal(intent(ledger, "1", "2"), 0);
		if (value(ledger, cases[i].read) != cases[i].foreign)
			fail_msg("%s: foreign or not", cases[i].what);
		assert_entry(ledger, "1", cases[i].read, cases[i].changes, false);
		if (cases[i].changes) {
			assert_string_equal(ledger_entry(ledger, 0, 0)->changes[0].from, "1");
			assert_string_equal(ledger_entry(ledger, 0, 0)->changes[0].to, "2");
			assert_int_equal(ledger_entry(ledger, 0, 0)->changes[0].scenario, 1);
		}
		assert_false(outcome(ledger, "2", 0)); /* settled */
		assert_int_equal(intent(ledger, cases[i].read, "9"), 0);
		close_ledger(state);
		open_ledger(state);
	}
}

static void test_foreign_value(void **state)
{
	struct ledger *ledger = *state;

	value(ledger, "1");
	assert_true(value(ledger, "5"));
	assert_entry(ledger, "1", "5", 0, false);
	assert_false(value(ledger, "5")); /* said once */
	assert_true(value(ledger, "1"));
	assert_entry(ledger, "1", "1", 0, false);
}

static void test_no_tuners(void **state)
{
	static const struct plugins none;
	struct ledger ledger;

	(void)state;
	assert_int_equal(ledger_open(&ledger, &none), 0);
	assert_null(ledger_entry(&ledger, 0, 0));
	assert_false(value(&ledger, "1"));
	ledger_close(&ledger);
	ledger_close(&ledger);
}

#define on_a_ledger(test) cmocka_unit_test_setup_teardown(test, open_ledger, close_ledger)

int main(void)
{
	const struct CMUnitTest tests[] = {
		on_a_ledger(test_initial_is_kept),
		on_a_ledger(test_unreadable),
		on_a_ledger(test_changes),
		on_a_ledger(test_outcome_is_what_was_read_back),
		on_a_ledger(test_failed_outcome),
		on_a_ledger(test_outcome_without_intent),
		on_a_ledger(test_busy),
		on_a_ledger(test_unknown),
		on_a_ledger(test_unterminated_values),
		on_a_ledger(test_worker_died),
		on_a_ledger(test_foreign_value),
		cmocka_unit_test(test_no_tuners),
	};

	return cmocka_run_group_tests_name("ledger", tests, NULL, NULL);
}
