// SPDX-License-Identifier: GPL-2.0-or-later
/* What the kernel tells of somebody else's writes. */
#include "tests/unit/fake_changes.h"

static const struct bpftune_report intent = { .kind = BPFTUNE_INTENT, .from = "1", .to = "2", .text = "because" };

static void write_tunable(struct fixture *fixture, uint16_t tunable, const char *value)
{
	struct bpftune_written written = { .owner = { .tunable = tunable }, .comm = "sh" };
	struct bpftune_event event = { .netns_cookie = COOKIE, .pid = 42, .tuner = BPFTUNE_FROM_WATCH,
				       .scenario = BPFTUNE_SYSCTL_WRITTEN };

	strcpy(written.value, value);
	memcpy(event.payload, &written, sizeof(written));
	changes_written(&fixture->changes, &event);
}

static void write_as_sh(struct fixture *fixture, const char *value)
{
	write_tunable(fixture, NETNS_WIDE, value);
}

/* The kernel tells who writes, most often before the worker reports what has become of it. */
static void test_written(void **state)
{
	enum { WRITTEN = 99, VALUE = BPFTUNE_VALUE, INTENT = BPFTUNE_INTENT, CHANGE = BPFTUNE_CHANGE };
	static const struct {
		const char *what;
		struct {
			int kind; /* 0: no more */
			const char *value;
		} steps[5];
		const char *current, *why; /* NULL: active */
		unsigned int changes;
	} cases[] = {
		{ "told of first", { { WRITTEN, "7" }, { VALUE, "7" } }, "7", "a.x was set to 7 by sh (pid 42)", 0 },
		{ "read first", { { VALUE, "7" }, { WRITTEN, "7" } }, "7", "a.x was set to 7 by sh (pid 42)", 0 },
		{ "read only", { { VALUE, "7" } }, "7", "a.x was set to 7 by somebody else", 0 },
		{ "in other blanks", { { WRITTEN, " 1" }, { VALUE, "1" } }, "1", NULL, 0 },
		{ "read between", { { INTENT, "2" }, { VALUE, "1" }, { CHANGE, "2" } }, "2", NULL, 1 },
		{ "over ours", { { INTENT, "2" }, { WRITTEN, "7" }, { CHANGE, "7" }, { VALUE, "7" } },
		  "7", "a.x was set to 7 by sh (pid 42)", 1 },
		{ "over ours, told of late", { { INTENT, "2" }, { WRITTEN, "7" }, { CHANGE, "2" }, { VALUE, "7" } },
		  "7", "a.x was set to 7 by sh (pid 42)", 1 },
		{ "ours undone", { { INTENT, "2" }, { WRITTEN, "1" }, { CHANGE, "2" }, { VALUE, "1" } },
		  "1", "a.x was set to 1 by sh (pid 42)", 1 },
		{ "ours undone before it was read back", { { INTENT, "2" }, { WRITTEN, "1" }, { CHANGE, "1" }, { VALUE, "1" } },
		  "1", "a.x was set to 1 by sh (pid 42)", 1 },
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct ledger_entry *entry;
		const struct ledger_state *now;

		report_value(fixture, "1");
		for (size_t j = 0; cases[i].steps[j].kind; j++) {
			struct bpftune_report step = { .kind = cases[i].steps[j].kind, .from = "1" };

			strcpy(step.to, cases[i].steps[j].value);
			if (step.kind == WRITTEN)
				write_as_sh(fixture, step.to);
			else
				report(fixture, &step);
		}
		entry = entry_of(fixture);
		now = ledger_get_state(&fixture->changes.ledger, COOKIE, "only");
		if (strcmp(entry->current, cases[i].current) || ledger_changes(entry) != cases[i].changes)
			fail_msg("%s: %s, %u changes", cases[i].what, entry->current, ledger_changes(entry));
		if (entry->foreign != !!cases[i].why)
			fail_msg("%s: a rollback would %s it", cases[i].what, entry->foreign ? "leave" : "undo");
		if (cases[i].why ? !now || now->state != TUNER_MANUAL || strcmp(now->why, cases[i].why) : now != NULL)
			fail_msg("%s: %s", cases[i].what, now ? now->why : "active");
		ledger_gone(&fixture->changes.ledger, COOKIE);
		changes_free(&fixture->changes, fixture->instance);
	}
}

/* Somebody else wrote over ours before it was read back: the line of our change has our value. */
static void test_line_of_a_change_that_was_written_over(void **state)
{
	struct fixture *fixture = *state;

	report_value(fixture, "1");
	answer(fixture, &intent);
	write_as_sh(fixture, "7");
	assert_int_equal(next_order(fixture).scenario, BPFTUNE_READ);
	fixture->n_log = 0;
	report(fixture, &(struct bpftune_report){ .kind = BPFTUNE_CHANGE, .from = "1", .to = "7" });
	assert_change_line(only_line(fixture), "2", "because");
}

/* The kernel refuses what somebody else writes: our value stays ours. */
static void test_written_in_vain(void **state)
{
	struct fixture *fixture = *state;

	report_value(fixture, "1");
	ledger_foreign(&fixture->changes.ledger, COOKIE, "a.x", "-1");
	report_value(fixture, "1");
	assert_false(entry_of(fixture)->foreign);
}

static void look_again(struct fixture *fixture, uint16_t tunable, const char *value)
{
	struct bpftune_report record = { .kind = BPFTUNE_VALUE, .tunable = tunable, .scenario = BPFTUNE_LOOK_AGAIN,
					 .event_ns = uv_hrtime() };

	copy_text(record.to, sizeof(record.to), value);
	report(fixture, &record);
}

/* A tuner that stepped aside for a write that never arrived is back in service, but not before the write had its time.
 */
static void test_step_aside_is_undone(void **state)
{
	struct fixture *fixture = *state;
	struct bpftune_report early = { .kind = BPFTUNE_VALUE, .scenario = BPFTUNE_LOOK_AGAIN, .event_ns = uv_hrtime(), .to = "1" };

	report_value(fixture, "1");
	write_as_sh(fixture, "999");
	assert_int_equal(tuner_state(fixture), TUNER_MANUAL);
	report_value(fixture, "1");
	assert_int_equal(tuner_state(fixture), TUNER_MANUAL);
	report(fixture, &early); /* asked for before the write */
	assert_int_equal(tuner_state(fixture), TUNER_MANUAL);
	look_again(fixture, 0, "1");
	assert_int_equal(tuner_state(fixture), TUNER_ACTIVE);
	assert_int_equal(fixture->taken, 0);
	assert_int_equal(fixture->n_log, 3); /* manual, steps aside, is back */
	/* Once more at once: no line. */
	write_as_sh(fixture, "999");
	assert_int_equal(tuner_state(fixture), TUNER_MANUAL);
	look_again(fixture, 0, "1");
	assert_int_equal(tuner_state(fixture), TUNER_ACTIVE);
	assert_int_equal(fixture->n_log, 3);
	/* One that arrives has its lines. */
	write_as_sh(fixture, "7");
	assert_int_equal(fixture->n_log, 3);
	look_again(fixture, 0, "7");
	assert_int_equal(fixture->n_log, 5);
	assert_int_equal(tuner_state(fixture), TUNER_MANUAL);
	/* It stays so, whatever fails later. */
	write_as_sh(fixture, "999");
	look_again(fixture, 0, "7");
	assert_int_equal(tuner_state(fixture), TUNER_MANUAL);
}

/* What was written to another tunable of the tuner has arrived. */
static void test_step_aside_stays(void **state)
{
	struct fixture *fixture = *state;
	struct bpftune_report other = { .kind = BPFTUNE_VALUE, .tunable = HOST_WIDE, .to = "1" };

	report_value(fixture, "1");
	report(fixture, &other);
	write_as_sh(fixture, "999");
	strcpy(other.to, "2");
	report(fixture, &other);
	look_again(fixture, 0, "1");
	assert_int_equal(tuner_state(fixture), TUNER_MANUAL);
	assert_int_equal(changes_resume(&fixture->changes, fixture->instance, NULL), 1);
	for (int i = 0; i < 3; i++) /* the write, and what is resumed */
		assert_int_equal(next_order(fixture).scenario, BPFTUNE_READ);
	look_again(fixture, HOST_WIDE, "2");
	look_again(fixture, 0, "1");
	assert_int_equal(tuner_state(fixture), TUNER_ACTIVE);
}

static void report_of(struct fixture *fixture, enum bpftune_report_kind kind, const char *to, int error)
{
	struct bpftune_report record = { .kind = kind, .tunable = HOST_WIDE, .from = "100", .error = error };

	strcpy(record.to, to);
	report(fixture, &record);
}

static const struct ledger_entry *base(const struct fixture *fixture)
{
	return ledger_find(&fixture->changes.ledger, COOKIE, "b.host");
}

/* Somebody else's value is where the tuner goes on from if it is higher than what there was, or is about to be. */
static void test_higher_is_base(void **state)
{
	static const struct {
		const char *intended, *written;
		bool is_base;
	} cases[] = {
		{ NULL, "101", true },	 { NULL, "99", false },	  { NULL, "100", true }, /* no news */
		{ NULL, "1x", false },	 { "200", "201", true }, { "200", "200", false },
		{ "200", "150", false }, { "200", "99", false },
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		report_of(fixture, BPFTUNE_VALUE, "100", 0);
		if (cases[i].intended) {
			report_of(fixture, BPFTUNE_INTENT, cases[i].intended, 0);
			assert_int_equal(next_order(fixture).scenario, BPFTUNE_GRANT);
		}
		fake->taken = WATCH_REPORTED;
		write_tunable(fixture, HOST_WIDE, cases[i].written);
		assert_int_equal(next_order(fixture).scenario, BPFTUNE_READ);
		if (tuner_state(fixture) != (cases[i].is_base ? TUNER_ACTIVE : TUNER_MANUAL))
			fail_msg("%s while %s is intended", cases[i].written, cases[i].intended ? cases[i].intended : "nothing");
		ledger_gone(&fixture->changes.ledger, COOKIE);
		changes_free(&fixture->changes, fixture->instance);
	}
}

/* What it found is written down as an initial value, which a rollback goes back to. */
static void test_base_is_initial(void **state)
{
	struct fixture *fixture = *state;

	report_of(fixture, BPFTUNE_VALUE, "100", 0);
	write_tunable(fixture, HOST_WIDE, "300");
	assert_int_equal(fake->taken, 0);
	assert_string_equal(base(fixture)->current, "100"); /* the kernel may not take it */
	report_of(fixture, BPFTUNE_VALUE, "300", 0);
	assert_string_equal(base(fixture)->initial, "300");
	assert_false(base(fixture)->foreign);
	assert_non_null(strstr(only_line(fixture)->text, "b.host to 300"));
	/* One that nobody told of, found when it was about to be changed. */
	report_of(fixture, BPFTUNE_INTENT, "400", 0);
	report_of(fixture, BPFTUNE_CHANGE, "500", -ESTALE);
	assert_string_equal(base(fixture)->initial, "500");
	assert_int_equal(tuner_state(fixture), TUNER_ACTIVE);
	/* Not where the tuner has stepped aside. */
	write_tunable(fixture, HOST_WIDE, "50");
	write_tunable(fixture, HOST_WIDE, "600");
	report_of(fixture, BPFTUNE_VALUE, "600", 0);
	assert_int_equal(tuner_state(fixture), TUNER_MANUAL);
	assert_string_equal(base(fixture)->initial, "500");
}

/* Nothing is said of a module that is not there. */
static void test_absent(void **state)
{
	struct fixture *fixture = *state;

	report_of(fixture, BPFTUNE_VALUE, "", -ENOENT);
	assert_int_equal(fixture->n_log, 0);
	report_of(fixture, BPFTUNE_VALUE, "", -EACCES);
	only_line(fixture);
	report(fixture, &(struct bpftune_report){ .kind = BPFTUNE_VALUE, .error = -ENOENT });
	only_line(fixture);
}

/* Many writes are one line and their number; the ledger's file does not grow by them. */
static void test_many_writes(void **state)
{
	struct fixture *fixture = *state;
	size_t bytes;
	char value[16];

	report_value(fixture, "1");
	write_as_sh(fixture, "2");
	report_value(fixture, "2");
	assert_int_equal(fixture->n_log, 2);
	bytes = fixture->changes.ledger.file_bytes;
	for (int i = 3; i < 100; i++) {
		assert_int_equal(next_order(fixture).scenario, BPFTUNE_READ);
		snprintf(value, sizeof(value), "%d", i);
		write_as_sh(fixture, value);
		report_value(fixture, value);
		assert_string_equal(entry_of(fixture)->current, value);
	}
	assert_int_equal(fixture->n_log, 2);
	assert_int_equal(fixture->changes.ledger.file_bytes, bytes);
	fixture->loop.time += 1000;
	write_as_sh(fixture, "100");
	assert_int_equal(fixture->n_log, 3);
	assert_string_equal(fixture->log[2].text, "a.x was set to 100 by sh (pid 42) (after 97 more writes)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		on_changes(test_written),
		on_changes(test_line_of_a_change_that_was_written_over),
		on_changes(test_written_in_vain),
		on_changes(test_step_aside_is_undone),
		on_changes(test_step_aside_stays),
		on_changes(test_higher_is_base),
		on_changes(test_base_is_initial),
		on_changes(test_absent),
		on_changes(test_many_writes),
	};

	return cmocka_run_group_tests_name("report_written", tests, NULL, NULL);
}
