// SPDX-License-Identifier: GPL-2.0-or-later
/* What workers report of values and changes. */
#include "tests/unit/fake_changes.h"

#include "supervisor/changes/account.h"

static const struct bpftune_report intent = { .kind = BPFTUNE_INTENT, .from = "1", .to = "2", .text = "because" };

static void test_outcomes(void **state)
{
	struct fixture *fixture = *state;
	struct bpftune_report large = { .kind = BPFTUNE_INTENT, .from = "1", .to = "1000" };
	struct bpftune_report change = { .kind = BPFTUNE_CHANGE, .from = "1", .to = "512" };
	const struct ledger_entry *entry;

	report_value(fixture, "1");
	entry = entry_of(fixture);
	report(fixture, &change); /* not asked for */
	assert_string_equal(entry->current, "1");
	assert_int_equal(answer(fixture, &large).scenario, BPFTUNE_GRANT);
	report(fixture, &change);
	assert_string_equal(entry->current, "512");
	assert_string_equal(ledger_last(entry)->scenario, "near");
	assert_int_equal(tuner_state(fixture), TUNER_ACTIVE);
}

/* The owner has put too much into the ledger's file: the change is refused, and what was recorded stays. */
static void test_owner_without_account(void **state)
{
	struct fixture *fixture = *state;
	const struct ledger_entry *entry;

	report_value(fixture, "1");
	while (account_change(&fixture->changes, fixture->instance))
		;
	assert_int_equal(only_line(fixture)->severity, LOG_WARNING);
	assert_int_equal(answer(fixture, &intent).scenario, BPFTUNE_REFUSE);
	entry = entry_of(fixture);
	assert_false(entry->intended);
	assert_int_equal(fixture->n_log, 0);
	fixture->loop.time += ACCOUNT_FILE_KIB * ACCOUNT_FILE_MS;
	assert_int_equal(answer(fixture, &intent).scenario, BPFTUNE_GRANT);
	assert_true(entry->intended);
}

/* The worker finds that somebody else was there in between: then it is theirs. */
static void test_stale_outcome(void **state)
{
	struct fixture *fixture = *state;
	struct bpftune_report change = { .kind = BPFTUNE_CHANGE, .from = "1", .to = "7", .error = -ESTALE };
	const struct ledger_entry *entry;

	report_value(fixture, "1");
	answer(fixture, &intent);
	report(fixture, &change);
	entry = entry_of(fixture);
	assert_string_equal(entry->current, "7");
	assert_string_equal(entry->initial, "1");
	assert_int_equal(ledger_changes(entry), 0);
	assert_int_equal(tuner_state(fixture), TUNER_MANUAL);
}

/* The tunable still has the old value: nobody else has written. */
static void test_stale_outcome_of_the_same_value(void **state)
{
	struct fixture *fixture = *state;
	struct bpftune_report change = { .kind = BPFTUNE_CHANGE, .from = "1", .to = "1", .error = -ESTALE };

	report_value(fixture, "1");
	answer(fixture, &intent);
	report(fixture, &change);
	assert_int_equal(fixture->n_log, 0);
	assert_int_equal(tuner_state(fixture), TUNER_ACTIVE);
}

/* The log says what failed, and on which tunable; the tuner stays active. */
static void test_failures(void **state)
{
	static const struct {
		uint16_t kind;
		int error;
		int severity;
		const char *text;
	} cases[] = {
		{ BPFTUNE_VALUE, -EACCES, LOG_WARNING, "cannot read a.x: Permission denied" },
		{ BPFTUNE_CHANGE, -EROFS, LOG_ERR, "cannot write a.x: /proc/sys is read-only here (mount it read-write)" },
		{ BPFTUNE_CHANGE, -ENOENT, LOG_ERR, "cannot write a.x: this namespace has no such tunable" },
		{ BPFTUNE_CHANGE, -EINVAL, LOG_ERR, "cannot write a.x: the kernel does not take 2" },
		{ BPFTUNE_CHANGE, -EACCES, LOG_ERR, "cannot write a.x: Permission denied" },
		{ BPFTUNE_CHANGE, -EPERM, LOG_ERR, "cannot write a.x: Operation not permitted" },
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct bpftune_report failure = { .kind = cases[i].kind, .error = cases[i].error, .from = "1", .to = "2" };
		const struct line *line;

		report_value(fixture, "1");
		if (failure.kind == BPFTUNE_CHANGE)
			answer(fixture, &intent);
		report(fixture, &failure);
		line = only_line(fixture);
		assert_string_equal(line->text, cases[i].text);
		assert_int_equal(line->severity, cases[i].severity);
		assert_int_equal(line->instance, INSTANCE_HOST);
		assert_string_equal(entry_of(fixture)->current, "1");
		assert_int_equal(tuner_state(fixture), TUNER_ACTIVE);
		assert_no_order(fixture);
	}
}

/* Our write was refused as somebody else took the tuner over, and the event that tells who has not come: the value tells. */
static void test_taken_over(void **state)
{
	struct fixture *fixture = *state;
	struct bpftune_report change = { .kind = BPFTUNE_CHANGE, .error = -EPERM, .from = "1" };
	struct bpftune_event event;
	struct bpftune_owner owner;

	report_value(fixture, "1");
	answer(fixture, &intent);
	fixture->taken = WATCH_REPORTED;
	event = answer(fixture, &change);
	memcpy(&owner, event.payload, sizeof(owner));
	assert_int_equal(event.scenario, BPFTUNE_READ);
	assert_int_equal(owner.tunable, NETNS_WIDE);
	assert_int_equal(fixture->n_log, 0);
	report_value(fixture, "7");
	assert_int_equal(tuner_state(fixture), TUNER_MANUAL);
	assert_int_equal(fixture->taken, WATCH_REPORTED);
}

/* They wrote what was there, so the tuner is not theirs. */
static void test_taken_over_by_nobody(void **state)
{
	struct fixture *fixture = *state;

	report_value(fixture, "1");
	fixture->taken = WATCH_REPORTED;
	report_value(fixture, "1");
	assert_int_equal(fixture->taken, 0);
	set_tuner_state(fixture, TUNER_MANUAL, NULL);
	report_value(fixture, "1");
	assert_int_equal(fixture->taken, WATCH_REPORTED);
}

/* An event of a write was lost: our own value may have been written by somebody else. */
static void test_writes_that_were_not_told(void **state)
{
	struct fixture *fixture = *state;

	report_value(fixture, "1");
	ledger_foreign(&fixture->changes.ledger, COOKIE, "a.x", "7");
	fixture->taken = WATCH_UNREPORTED;
	report_value(fixture, "1");
	assert_true(entry_of(fixture)->foreign);
	assert_int_equal(tuner_state(fixture), TUNER_MANUAL);
}

/* A worker that died between the grant and the outcome: the value that its successor reads at its start is the outcome. */
static void test_value_while_a_change_is_under_way(void **state)
{
	static const struct {
		enum child_state state;
		const char *current;
	} cases[] = { { CHILD_READY, "1" }, { CHILD_STARTING, "2" } };
	struct fixture *fixture = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		report_value(fixture, "1");
		answer(fixture, &intent);
		fixture->instance->child->state = cases[i].state;
		report_value(fixture, "2");
		assert_string_equal(entry_of(fixture)->current, cases[i].current);
		assert_int_equal(entry_of(fixture)->intended, cases[i].state == CHILD_READY);
		ledger_gone(&fixture->changes.ledger, COOKIE);
		fixture->instance->child->state = CHILD_READY;
	}
}

/* A change on the host that a container's worker asked for is in both logs; the sink takes one of them. */
static void test_change_that_was_asked_for(void **state)
{
	struct fixture *fixture = *state;
	struct instance *asker = registry_add(&fixture->instances, 102, 2002);
	struct bpftune_report change = { .kind = BPFTUNE_CHANGE, .from = "1", .to = "2" };

	report_value(fixture, "1");
	answer(fixture, &intent);
	report(fixture, &change);
	assert_string_equal(fixture->log[0].scenario, "near");
	assert_string_equal(only_line(fixture)->text, "because");
	change.asker = asker->view.id;
	answer(fixture, &intent);
	report(fixture, &change);
	assert_int_equal(fixture->n_log, 2);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(fixture->log[i].instance, i ? asker->view.id : fixture->instance->view.id);
		assert_int_equal(fixture->log[i].is_copy, i);
		assert_string_equal(fixture->log[i].text, "because; asked for by netns-2002");
	}
}

/* The line has the reason that was granted, and the value that was read back. */
static void test_line_of_a_change(void **state)
{
	struct fixture *fixture = *state;

	report_value(fixture, "1");
	answer(fixture, &intent);
	report(fixture, &(struct bpftune_report){ .kind = BPFTUNE_CHANGE, .from = "1", .to = "3", .text = "not asked for" });
	assert_change_line(only_line(fixture), "3", "because");
}

static void test_dry_run(void **state)
{
	struct fixture *fixture = *state;
	struct bpftune_report would = { .kind = BPFTUNE_WOULD, .from = "1", .to = "2", .text = "because" };

	report(fixture, &would);
	assert_change_line(only_line(fixture), "2", "would change: because");
	assert_null(fixture->changes.ledger.entries);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		on_changes(test_outcomes),
		on_changes(test_owner_without_account),
		on_changes(test_stale_outcome),
		on_changes(test_stale_outcome_of_the_same_value),
		on_changes(test_failures),
		on_changes(test_taken_over),
		on_changes(test_taken_over_by_nobody),
		on_changes(test_writes_that_were_not_told),
		on_changes(test_value_while_a_change_is_under_way),
		on_changes(test_change_that_was_asked_for),
		on_changes(test_line_of_a_change),
		on_changes(test_dry_run),
	};

	return cmocka_run_group_tests_name("report_change", tests, NULL, NULL);
}
