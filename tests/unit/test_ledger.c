// SPDX-License-Identifier: GPL-2.0-or-later
/* What the ledger knows of values, changes and tuners. */
#include "tests/unit/temporary_ledger.h"

/* --- values and changes ------------------------------------------------------------------------- */

static void test_initial_is_kept(void **state)
{
	struct ledger *ledger = ledger_of(state);

	assert_null(entry_of(ledger));
	assert_int_equal(value(ledger, "1"), LEDGER_FIRST);
	assert_entry(ledger, "1", "1", 0, false);
	assert_null(ledger_last(entry_of(ledger)));
	assert_int_equal(value(ledger, "1"), LEDGER_SAME);
	change(ledger, "1", "2");
	assert_int_equal(value(ledger, "2"), LEDGER_SAME); /* a worker's successor reads again */
	assert_entry(ledger, "1", "2", 1, false);
	assert_null(ledger_find(ledger, NETNS, "a.y")); /* the others do not notice */
	assert_null(ledger_find(ledger, NETNS + 1, NAME));
}

static void make_changes(struct ledger *ledger, unsigned int n)
{
	char from[16] = "0", to[16];

	value(ledger, from);
	for (unsigned int i = 1; i <= n; i++) {
		snprintf(to, sizeof(to), "%u", i);
		change(ledger, from, to);
		strcpy(from, to);
	}
}

static void test_changes(void **state)
{
	static const char *const values[] = { "1", "2", "4", "8", "16", "32" };
	struct ledger *ledger = ledger_of(state);
	size_t n = ARRAY_SIZE(values) - 1;

	value(ledger, values[0]);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(intent_by(ledger, values[i], values[i + 1], i % 2 ? "far" : "near"), 0);
		assert_entry(ledger, "1", values[i], i, true); /* not before it is done */
		outcome(ledger, values[i + 1], 0);
		assert_entry(ledger, "1", values[i + 1], i + 1, false);
		assert_row(ledger_last(entry_of(ledger)), values[i], values[i + 1], i % 2 ? "far" : "near");
	}
}

/* Of its changes the latest that was carried out is kept. */
static void test_last_change(void **state)
{
	struct ledger *ledger = ledger_of(state);

	make_changes(ledger, 10);
	assert_int_equal(intent_by(ledger, "10", "11", "far"), 0);
	outcome(ledger, NULL, -EACCES);
	assert_int_equal(intent_by(ledger, "10", "12", "far"), 0);
	for (int again = 0; again < 3; again++, assert_int_equal(reopen(*state), 0)) {
		assert_entry(ledger, "0", "10", 10, true);
		assert_row(ledger_last(entry_of(ledger)), "9", "10", "near");
	}
}

/* As the latest change has it; a ledger of a version that did not tell has no name. */
static void test_what_it_is_called(void **state)
{
	struct ledger *ledger = ledger_of(state);
	struct ledger_change change = {
		.netns_cookie = NETNS, .tunable = NAME, .tuner = "first", .scenario = "near", .from = "1", .to = "2"
	};

	value(ledger, "1");
	assert_null(ledger_find_netns(ledger, NETNS)->name);
	assert_int_equal(ledger_intent(ledger, &change), 0);
	assert_int_equal(reopen(*state), 0);
	assert_null(ledger_find_netns(ledger, NETNS)->name);
	outcome(ledger, "2", 0);
	change.container = "web \xff";
	assert_int_equal(ledger_intent(ledger, &change), 0);
	for (int again = 0; again < 3; again++, assert_int_equal(reopen(*state), 0)) {
		assert_string_equal(ledger_find_netns(ledger, NETNS)->name, "web \\xff");
		assert_null(ledger_find_netns(ledger, NETNS)->container_id);
	}
	outcome(ledger, "2", 0);
	change.container = change.container_id = "0123abc";
	assert_int_equal(ledger_intent(ledger, &change), 0);
	for (int again = 0; again < 2; again++, assert_int_equal(reopen(*state), 0)) {
		assert_string_equal(ledger_find_netns(ledger, NETNS)->name, "0123abc");
		assert_string_equal(ledger_find_netns(ledger, NETNS)->container_id, "0123abc");
	}
}

/* The kernel rounds: what was read back counts. */
static void test_outcome_is_what_was_read_back(void **state)
{
	struct ledger *ledger = ledger_of(state);

	value(ledger, "1");
	assert_int_equal(intent(ledger, "1", "1000"), 0);
	outcome(ledger, "512", 0);
	assert_entry(ledger, "1", "512", 1, false);
	assert_row(ledger_last(entry_of(ledger)), "1", "512", "near");
}

static void test_failed_outcome(void **state)
{
	struct ledger *ledger = ledger_of(state);

	value(ledger, "1");
	assert_int_equal(intent(ledger, "1", "2"), 0);
	outcome(ledger, "2", -EACCES);
	assert_entry(ledger, "1", "1", 0, false);
	assert_int_equal(intent(ledger, "1", "3"), 0); /* and it may try again */
}

static void test_outcome_without_intent(void **state)
{
	struct ledger *ledger = ledger_of(state);

	outcome(ledger, "2", 0);
	assert_null(entry_of(ledger));
	value(ledger, "1");
	outcome(ledger, "2", 0);
	assert_entry(ledger, "1", "1", 0, false);
	change(ledger, "1", "2");
	outcome(ledger, "3", 0); /* once */
	assert_entry(ledger, "1", "2", 1, false);
}

static void test_busy(void **state)
{
	struct ledger *ledger = ledger_of(state);
	struct ledger_change other = { .netns_cookie = NETNS, .tunable = "a.y", .tuner = "first", .scenario = "near",
				       .from = "1", .to = "2" };

	value(ledger, "1");
	ledger_value(ledger, NETNS, "a.y", "1");
	assert_int_equal(intent(ledger, "1", "2"), 0);
	assert_int_equal(intent(ledger, "1", "3"), -EBUSY);
	assert_string_equal(entry_of(ledger)->history->intent.to, "2");
	assert_int_equal(ledger_intent(ledger, &other), 0); /* each tunable for itself */
	other.netns_cookie++;
	ledger_value(ledger, NETNS + 1, "a.y", "1");
	assert_int_equal(ledger_intent(ledger, &other), 0); /* and each namespace */
	outcome(ledger, "2", 0);
	assert_int_equal(intent(ledger, "2", "3"), 0);
}

static void test_unknown(void **state)
{
	struct ledger *ledger = ledger_of(state);
	char too_long[LEDGER_NAME_BYTES + 1];

	memset(too_long, 'a', sizeof(too_long) - 1);
	too_long[sizeof(too_long) - 1] = '\0';
	assert_int_equal(intent(ledger, "1", "2"), -EINVAL); /* nothing to go back to */
	ledger_foreign(ledger, NETNS, NAME, "2");
	ledger_renew(ledger, NETNS, NAME);
	assert_null(entry_of(ledger));
	assert_int_equal(ledger_value(ledger, NETNS, too_long, "1"), LEDGER_SAME);
	assert_int_equal(ledger_value(ledger, NETNS, "", "1"), LEDGER_SAME);
	assert_null(ledger->entries);
	too_long[LEDGER_NAME_BYTES - 1] = '\0'; /* as long as may be */
	assert_int_equal(ledger_value(ledger, NETNS, too_long, "1"), LEDGER_FIRST);
	assert_int_equal(reopen(*state), 0);
	assert_non_null(ledger_find(ledger, NETNS, too_long));
}

/* A worker died between grant and outcome: what its successor reads tells whether it wrote. */
static void test_worker_died(void **state)
{
	static const struct {
		const char *what, *read, *recorded;
		unsigned int changes;
	} cases[] = {
		{ "it had written", "2", "2", 1 },
		{ "it had not", "1", "1", 0 },
		{ "it had, and the kernel rounded", "3", "3", 1 },
	};
	struct fixture *fixture = *state;
	struct ledger *ledger = &fixture->ledger;

	for (size_t i = 0; i < 2 * ARRAY_SIZE(cases); i++) {
		size_t n = i / 2;

		value(ledger, "1");
		assert_int_equal(intent(ledger, "1", "2"), 0);
		if (i % 2) /* the supervisor died with it */
			assert_int_equal(reopen(fixture), 0);
		assert_entry(ledger, "1", "1", 0, true);
		if (value(ledger, cases[n].read) != LEDGER_SAME)
			fail_msg("%s: foreign", cases[n].what);
		assert_entry(ledger, "1", cases[n].recorded, cases[n].changes, false);
		if (cases[n].changes)
			assert_row(ledger_last(entry_of(ledger)), "1", cases[n].recorded, "near");
		outcome(ledger, "9", 0); /* settled */
		assert_entry(ledger, "1", cases[n].recorded, cases[n].changes, false);
		assert_int_equal(reopen(fixture), 0); /* on disk as well */
		assert_entry(ledger, "1", cases[n].recorded, cases[n].changes, false);
		assert_int_equal(intent(ledger, cases[n].read, "9"), 0);
		ledger_gone(ledger, NETNS);
	}
}

static void test_foreign_value(void **state)
{
	struct ledger *ledger = ledger_of(state);

	value(ledger, "1");
	assert_int_equal(value(ledger, "5"), LEDGER_FOREIGN);
	assert_entry(ledger, "1", "5", 0, false);
	assert_int_equal(value(ledger, "5"), LEDGER_SAME); /* said once */
	ledger_foreign(ledger, NETNS, NAME, "6");
	assert_entry(ledger, "1", "6", 0, false);
	assert_int_equal(value(ledger, "1"), LEDGER_FOREIGN);
	assert_entry(ledger, "1", "1", 0, false);
}

/* Somebody else writes while a change of ours is under way; the kernel takes it or not. */
static void test_foreign_meanwhile(void **state)
{
	static const struct {
		const char *what, *theirs, *read_back; /* NULL: the worker died */
		const char *then_read;
		bool foreign;
		unsigned int changes;
	} cases[] = {
		{ "before ours was read back", "5", "5", "5", true, 1 },
		{ "after it", "5", "2", "5", true, 1 },
		{ "and it undid ours", "1", "2", "1", true, 1 },
		{ "at once", "1", "1", "1", true, 1 },
		{ "in words that the kernel understands", "0x5", "5", "5", true, 1 },
		{ "what the kernel does not take", "999", "2", "2", false, 1 },
		{ "and the worker died", "5", NULL, "5", true, 0 },
		{ "and it undid ours, and the worker died", "1", NULL, "1", true, 0 },
		{ "what the kernel does not take, then something else, and the worker died", "999", NULL, "7", true, 0 },
		{ "what the kernel does not take, and the worker died", "999", NULL, "1", false, 0 },
		{ "what the kernel does not take, and the worker died after its write", "999", NULL, "2", false, 1 },
	};
	struct ledger *ledger = ledger_of(state);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		value(ledger, "1");
		assert_int_equal(intent(ledger, "1", "2"), 0);
		ledger_foreign(ledger, NETNS, NAME, cases[i].theirs);
		if (cases[i].read_back)
			outcome(ledger, cases[i].read_back, 0);
		value(ledger, cases[i].then_read);
		assert_entry(ledger, "1", cases[i].then_read, cases[i].changes, false);
		if (entry_of(ledger)->foreign != cases[i].foreign)
			fail_msg("%s: %s", cases[i].what, cases[i].foreign ? "taken for ours" : "taken for theirs");
		if (cases[i].changes)
			assert_row(ledger_last(entry_of(ledger)), "1", "2", "near");
		ledger_gone(ledger, NETNS);
	}
}

/* What somebody else writes is told of before it is there. */
static void test_foreign_is_read_early(void **state)
{
	struct ledger *ledger = ledger_of(state);

	value(ledger, "1");
	change(ledger, "1", "2");
	ledger_foreign(ledger, NETNS, NAME, "5");
	assert_int_equal(value(ledger, "2"), LEDGER_SAME);
	assert_false(entry_of(ledger)->foreign);
	assert_int_equal(value(ledger, "5"), LEDGER_FOREIGN);
	assert_int_equal(value(ledger, "2"), LEDGER_FOREIGN); /* somebody's, too: theirs had been there */
	assert_true(entry_of(ledger)->foreign);
}

/* After ledger_doubt(), a value that equals ours counts as somebody else's. */
static void test_doubt(void **state)
{
	struct ledger *ledger = ledger_of(state);

	ledger_doubt(ledger, NETNS, NAME); /* nothing is known */
	value(ledger, "1");
	change(ledger, "1", "2");
	ledger_foreign(ledger, NETNS, NAME, "5");
	ledger_doubt(ledger, NETNS, NAME);
	assert_int_equal(value(ledger, "2"), LEDGER_FOREIGN);
	assert_true(entry_of(ledger)->foreign);
}

static void test_renew(void **state)
{
	struct fixture *fixture = *state;
	struct ledger *ledger = &fixture->ledger;

	value(ledger, "1");
	change(ledger, "1", "2");
	ledger_foreign(ledger, NETNS, NAME, "5");
	ledger_renew(ledger, NETNS, NAME);
	assert_entry(ledger, "1", "5", 1, false); /* not before it is read */
	assert_int_equal(reopen(fixture), 0);
	assert_int_equal(value(ledger, "5"), LEDGER_FIRST);
	assert_entry(ledger, "5", "5", 1, false);
	assert_int_equal(value(ledger, "6"), LEDGER_FOREIGN); /* once */
	assert_entry(ledger, "5", "6", 1, false);
}

static void test_scenarios_are_counted(void **state)
{
	struct ledger *ledger = ledger_of(state);
	const struct ledger_entry *entry;

	value(ledger, "0");
	for (unsigned int i = 0; i < 2 * LEDGER_SCENARIOS_MAX; i++) {
		char name[32], from[16], to[16];

		snprintf(name, sizeof(name), "scenario%u", i);
		for (unsigned int j = 0; j <= i % 2; j++) {
			snprintf(from, sizeof(from), "%u.%u", i, j);
			snprintf(to, sizeof(to), "%u.%u", i, j + 1);
			assert_int_equal(intent_by(ledger, from, to, name), 0);
			outcome(ledger, to, 0);
		}
	}
	for (int again = 0; again < 2; again++, assert_int_equal(reopen(*state), 0)) {
		entry = entry_of(ledger);
		assert_int_equal(ledger_changes(entry), 3 * LEDGER_SCENARIOS_MAX); /* none is lost */
		for (unsigned int i = 0; i + 1 < LEDGER_SCENARIOS_MAX; i++)
			assert_int_equal(entry->history->scenarios[i].changes, 1 + i % 2);
		assert_string_equal(entry->history->scenarios[0].name, "scenario0");
	}
}

static void test_values_are_cut(void **state)
{
	struct ledger *ledger = ledger_of(state);
	char text[2 * BPFTUNE_TEXT_BYTES];

	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(value(ledger, text), LEDGER_FIRST);
	assert_int_equal(strlen(entry_of(ledger)->initial), BPFTUNE_VALUE_BYTES - 1);
	assert_int_equal(ledger_intent(ledger, &(struct ledger_change){ .netns_cookie = NETNS, .tunable = NAME,
				       .tuner = text, .scenario = text, .from = text, .to = text, .reason = text }), 0);
	outcome(ledger, text, 0);
	assert_int_equal(reopen(*state), 0);
	assert_int_equal(ledger_changes(entry_of(ledger)), 1);
	assert_int_equal(strlen(ledger_last(entry_of(ledger))->reason), BPFTUNE_TEXT_BYTES - 1);
}

/* --- tuners' states ----------------------------------------------------------------------------- */

static void test_tuner_states(void **state)
{
	static const struct {
		enum tuner_state state;
		const char *name;
	} cases[] = {
		{ TUNER_MANUAL, "manual" }, { TUNER_PAUSED, "paused" }, { TUNER_OFF, "off" }, { TUNER_ACTIVE, "active" },
	};
	struct ledger *ledger = ledger_of(state);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_string_equal(tuner_state_name(cases[i].state), cases[i].name);
		ledger_set_state(ledger, NETNS, "first", cases[i].state, "why \"so\"");
		assert_int_equal(reopen(*state), 0);
		assert_int_equal(ledger_get_state(ledger, NETNS, "first")->state, cases[i].state);
		assert_string_equal(ledger_get_state(ledger, NETNS, "first")->why, "why \"so\"");
	}
	ledger_set_state(ledger, NETNS, "first", TUNER_ACTIVE, NULL);
	assert_string_equal(ledger_get_state(ledger, NETNS, "first")->why, "");
	assert_null(ledger_get_state(ledger, NETNS, "second"));
	assert_null(ledger_get_state(ledger, NETNS + 1, "first"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		on_a_ledger(test_initial_is_kept),
		on_a_ledger(test_changes),
		on_a_ledger(test_last_change),
		on_a_ledger(test_what_it_is_called),
		on_a_ledger(test_outcome_is_what_was_read_back),
		on_a_ledger(test_failed_outcome),
		on_a_ledger(test_outcome_without_intent),
		on_a_ledger(test_busy),
		on_a_ledger(test_unknown),
		on_a_ledger(test_worker_died),
		on_a_ledger(test_foreign_value),
		on_a_ledger(test_foreign_meanwhile),
		on_a_ledger(test_foreign_is_read_early),
		on_a_ledger(test_doubt),
		on_a_ledger(test_renew),
		on_a_ledger(test_scenarios_are_counted),
		on_a_ledger(test_values_are_cut),
		on_a_ledger(test_tuner_states),
	};

	return cmocka_run_group_tests_name("ledger", tests, NULL, NULL);
}
