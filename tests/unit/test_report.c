// SPDX-License-Identifier: GPL-2.0-or-later
/* What workers report, but for values and changes: a report that names nothing that exists is counted, or refused. */
#include "tests/unit/fake_changes.h"

static void test_unknown_reports(void **state)
{
	static const uint16_t kinds[] = { 0, BPFTUNE_MEMORY + 1, 255, UINT16_MAX,
					  BPFTUNE_READY /* is not for this room */ };
	struct fixture *fixture = *state;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		report(fixture, &(struct bpftune_report){ .kind = kinds[i] });
		assert_int_equal(fixture->changes.counters.unknown_reports, i + 1);
	}
}

/* Reports about tuners and tunables that do not exist. */
static void test_about_nothing(void **state)
{
	static const uint16_t kinds[] = { BPFTUNE_VALUE, BPFTUNE_CHANGE, BPFTUNE_WOULD };
	struct fixture *fixture = *state;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct bpftune_report record = { .kind = kinds[i], .tunable = N_TUNABLES, .to = "1" };

		report(fixture, &record);
		record.tunable = 0;
		record.tuner = 1;
		report(fixture, &record);
	}
	assert_null(fixture->changes.ledger.entries);
	assert_int_equal(fixture->n_log, 0);
	report(fixture, &(struct bpftune_report){ .kind = BPFTUNE_CHANGE, .to = "1" });
	assert_null(fixture->changes.ledger.entries); /* the outcome of no intent */
}

/* A field without a NUL is cut. */
static void test_unterminated(void **state)
{
	struct fixture *fixture = *state;
	struct bpftune_report record;

	report_value(fixture, "1");
	memset(&record, 'x', sizeof(record));
	record.tuner = record.tunable = record.scenario = 0;
	record.kind = BPFTUNE_INTENT;
	assert_int_equal(answer(fixture, &record).scenario, BPFTUNE_GRANT);
	assert_int_equal(strlen(entry_of(fixture)->history->intent.from), BPFTUNE_VALUE_BYTES - 1);
	assert_int_equal(strlen(entry_of(fixture)->history->intent.to), BPFTUNE_VALUE_BYTES - 1);
	record.kind = BPFTUNE_LOG;
	report(fixture, &record);
	assert_int_equal(strlen(only_line(fixture)->text), BPFTUNE_TEXT_BYTES - 1);
}

/* Neither the ledger nor a client of ours could have it; or a command that we show would be another. */
static void test_values_that_are_no_text(void **state)
{
	static const uint16_t kinds[] = { BPFTUNE_VALUE, BPFTUNE_CHANGE, BPFTUNE_WOULD, BPFTUNE_INTENT };
	static const char *const texts[] = { "\xe2\x82", "'; reboot '", "1\nreboot" };
	struct fixture *fixture = *state;

	report_value(fixture, "4096\t16384"); /* is text */
	for (size_t i = 0; i < 2 * ARRAY_SIZE(kinds) * ARRAY_SIZE(texts); i++) {
		struct bpftune_report record = { .kind = kinds[i / 2 % ARRAY_SIZE(kinds)], .from = "1", .to = "2" };

		snprintf(i % 2 ? record.from : record.to, sizeof(record.to), "%s", texts[i / 2 / ARRAY_SIZE(kinds)]);
		report(fixture, &record);
		if (record.kind == BPFTUNE_INTENT)
			assert_int_equal(next_order(fixture).scenario, BPFTUNE_REFUSE);
		assert_int_equal(fixture->changes.counters.unknown_reports, i + 1);
	}
	assert_string_equal(entry_of(fixture)->current, "4096\t16384");
	assert_false(entry_of(fixture)->intended);
	assert_no_order(fixture);
	assert_int_equal(fixture->n_log, 0);
}

/* --- intents ------------------------------------------------------------------------------------ */

static const struct bpftune_report intent = { .kind = BPFTUNE_INTENT, .from = "1", .to = "2" };

/* Every intent has its answer, which names what it is about. */
static void test_intents(void **state)
{
	struct fixture *fixture = *state;
	struct bpftune_report absurd = intent;
	struct bpftune_event event;
	struct bpftune_owner owner;

	assert_int_equal(answer(fixture, &intent).scenario, BPFTUNE_REFUSE); /* its value is not known yet */
	report_value(fixture, "1");
	assert_int_equal(answer(fixture, &intent).scenario, BPFTUNE_GRANT);
	assert_int_equal(answer(fixture, &intent).scenario, BPFTUNE_REFUSE); /* one is under way */
	absurd.tuner = 7;
	absurd.tunable = 9;
	event = answer(fixture, &absurd);
	memcpy(&owner, event.payload, sizeof(owner));
	assert_int_equal(event.scenario, BPFTUNE_REFUSE);
	assert_int_equal(owner.tuner, 7);
	assert_int_equal(owner.tunable, 9);
}

/* A container's worker may change its namespace's tunables; only the host's worker may change host-wide ones. */
static void test_whose_tunable(void **state)
{
	static const struct {
		const char *what;
		bool is_host, shares_netns;
		uint16_t tunable, scenario;
		enum bpftune_order answer;
	} cases[] = {
		{ "the host's own, on the host", true, false, HOST_WIDE, 0, BPFTUNE_GRANT },
		{ "a namespace's, on the host", true, false, NETNS_WIDE, 0, BPFTUNE_GRANT },
		{ "a namespace's, in a container", false, false, NETNS_WIDE, 0, BPFTUNE_GRANT },
		{ "the host's own, in a container", false, false, HOST_WIDE, 0, BPFTUNE_REFUSE },
		{ "in a container without a namespace", false, true, NETNS_WIDE, 0, BPFTUNE_REFUSE },
		{ "a tunable past the tuner's", true, false, N_TUNABLES, 0, BPFTUNE_REFUSE },
		{ "a scenario past the tuner's", true, false, NETNS_WIDE, 1, BPFTUNE_REFUSE },
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct bpftune_report value = { .kind = BPFTUNE_VALUE, .tunable = cases[i].tunable, .to = "1" };
		struct bpftune_report wish = intent;

		wish.tunable = cases[i].tunable;
		wish.scenario = cases[i].scenario;
		fixture->instance->view.id = cases[i].is_host ? INSTANCE_HOST : 2;
		fixture->instance->view.shares_netns = cases[i].shares_netns;
		report(fixture, &value);
		if (cases[i].shares_netns)
			assert_null(fixture->changes.ledger.entries);
		if (answer(fixture, &wish).scenario != cases[i].answer)
			fail_msg("%s: wrong answer", cases[i].what);
		ledger_gone(&fixture->changes.ledger, COOKIE);
	}
	fixture->instance->view.id = INSTANCE_HOST;
	fixture->instance->view.shares_netns = false;
}

static void test_no_grant_when_stopping(void **state)
{
	struct fixture *fixture = *state;

	report_value(fixture, "1");
	fixture->changes.stopping = true;
	assert_int_equal(answer(fixture, &intent).scenario, BPFTUNE_REFUSE);
	assert_false(entry_of(fixture)->intended);
}

static void test_no_grant_when_off(void **state)
{
	static const enum tuner_state states[] = { TUNER_MANUAL, TUNER_PAUSED, TUNER_OFF, TUNER_ACTIVE };
	struct fixture *fixture = *state;

	report_value(fixture, "1");
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		set_tuner_state(fixture, states[i], NULL);
		assert_int_equal(fixture->tuners_off, states[i] != TUNER_ACTIVE); /* told to the BPF programs */
		assert_int_equal(fixture->taken, states[i] == TUNER_MANUAL ? WATCH_REPORTED : 0);
		assert_int_equal(answer(fixture, &intent).scenario,
				 states[i] == TUNER_ACTIVE ? BPFTUNE_GRANT : BPFTUNE_REFUSE);
	}
}

/* What cannot be on record is not written. */
static void test_no_grant_without_ledger(void **state)
{
	struct fixture *fixture = *state;

	report_value(fixture, "1");
	close_fdp(&fixture->changes.ledger.fd);
	assert_int_equal(answer(fixture, &intent).scenario, BPFTUNE_REFUSE);
}

/* After `bpftune resume` the value found is the new initial one: it is read before anything is granted. */
static void test_no_grant_before_it_is_read(void **state)
{
	struct fixture *fixture = *state;
	struct bpftune_event event;
	struct bpftune_owner owner;

	report_value(fixture, "1");
	set_tuner_state(fixture, TUNER_MANUAL, NULL);
	assert_int_equal(changes_resume(&fixture->changes, fixture->instance, NULL), 1);
	for (uint16_t i = 0; i < N_TUNABLES; i++) {
		event = next_order(fixture);
		memcpy(&owner, event.payload, sizeof(owner));
		assert_int_equal(event.scenario, BPFTUNE_READ);
		assert_int_equal(owner.tunable, i);
	}
	assert_int_equal(answer(fixture, &intent).scenario, BPFTUNE_READ); /* once more */
	assert_int_equal(next_order(fixture).scenario, BPFTUNE_REFUSE);
	report_value(fixture, "1");
	assert_int_equal(answer(fixture, &intent).scenario, BPFTUNE_GRANT);
	assert_no_order(fixture);
}

/* --- log ---------------------------------------------------------------------------------------- */

static void test_log_lines(void **state)
{
	static const struct {
		uint16_t tuner;
		int severity;
		const char *logged_tuner;
		int logged_severity;
	} cases[] = {
		{ 0, LOG_EMERG, "only", LOG_EMERG },
		{ 0, LOG_DEBUG, "only", LOG_DEBUG },
		{ 0, LOG_EMERG - 1, "only", LOG_NOTICE },
		{ 0, LOG_DEBUG + 1, "only", LOG_NOTICE },
		{ 1, LOG_WARNING, "", LOG_WARNING },
		{ BPFTUNE_FROM_SUPERVISOR, LOG_ERR, "", LOG_ERR },
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct bpftune_report record = { .kind = BPFTUNE_LOG, .tuner = cases[i].tuner, .severity = cases[i].severity };
		const struct line *line;

		snprintf(record.text, sizeof(record.text), "line %zu", i);
		report(fixture, &record);
		line = only_line(fixture);
		assert_int_equal(line->instance, INSTANCE_HOST);
		assert_string_equal(line->container, "netns-2001");
		assert_string_equal(line->text, record.text);
		assert_string_equal(line->tuner, cases[i].logged_tuner);
		assert_int_equal(line->severity, cases[i].logged_severity);
	}
}

/* --- requests ----------------------------------------------------------------------------------- */

/* A container's worker asks; the host's is the one that hears it, with who asked. */
static void test_requests(void **state)
{
	struct fixture *fixture = *state;
	struct instance *asker = registry_add(&fixture->instances, 102, 2002);
	struct bpftune_report request = { .kind = BPFTUNE_REQUEST, .event_ns = 5, .text = "payload" };
	struct bpftune_tuner narrow = tuner;
	struct bpftune_event event;

	fixture->workers.n_ready = 5;
	fixture->instance->is_entered = true;
	changes_report(&fixture->changes, asker, &request);
	assert_int_equal(read(fixture->read_fd, &event, sizeof(event)), sizeof(event));
	assert_int_equal(event.n_askers, 4); /* the host is none */
	assert_int_equal(event.tuner, 0);
	assert_int_equal(event.netns_cookie, COOKIE);
	assert_int_equal(event.asker, asker->view.id);
	assert_int_equal(event.time_ns, 5);
	assert_string_equal((const char *)event.payload, "payload");

	narrow.n_tunables = 1; /* none of the host's scope */
	fixture->kernel.plugins.tuners[0] = &narrow;
	fixture->kernel.host.n_sharers = 2;
	changes_report(&fixture->changes, asker, &request);
	fixture->kernel.plugins.tuners[0] = &tuner;
	assert_int_equal(read(fixture->read_fd, &event, sizeof(event)), sizeof(event));
	assert_int_equal(event.n_askers, 2);

	request.scenario = 9;
	changes_report(&fixture->changes, asker, &request);
	request.tuner = 1;
	changes_report(&fixture->changes, asker, &request);
	assert_int_equal(fixture->changes.counters.unroutable, 2);
	request.tuner = request.scenario = 0;
	set_tuner_state(fixture, TUNER_MANUAL, "an administrator's");
	changes_report(&fixture->changes, asker, &request);
	assert_no_order(fixture);
}

/* The host's worker is told of the end of those that have asked. */
static void test_asker_ends(void **state)
{
	struct fixture *fixture = *state;
	struct instance *asker = registry_add(&fixture->instances, 102, 2002);
	struct instance *modest = registry_add(&fixture->instances, 103, 2003);
	struct bpftune_event event;
	uint64_t id;

	changes_report(&fixture->changes, asker, &(struct bpftune_report){ .kind = BPFTUNE_REQUEST });
	assert_int_equal(read(fixture->read_fd, &event, sizeof(event)), sizeof(event));
	changes_end(&fixture->changes, modest);
	assert_no_order(fixture);
	changes_end(&fixture->changes, asker);
	assert_int_equal(read(fixture->read_fd, &event, sizeof(event)), sizeof(event));
	assert_int_equal(event.tuner, BPFTUNE_FROM_SUPERVISOR);
	assert_int_equal(event.scenario, BPFTUNE_ASKER_GONE);
	memcpy(&id, event.payload, sizeof(id));
	assert_int_equal(id, asker->view.id);
	fixture->changes.stopping = true;
	changes_end(&fixture->changes, asker);
	assert_no_order(fixture);
}

/* What the host's worker says of a request is in both logs. */
static void test_log_about_a_request(void **state)
{
	struct fixture *fixture = *state;
	struct instance *asker = registry_add(&fixture->instances, 102, 2002);

	changes_report(&fixture->changes, fixture->instance, &(struct bpftune_report){
		.kind = BPFTUNE_LOG, .severity = LOG_INFO, .asker = asker->view.id, .text = "no" });
	assert_int_equal(fixture->n_log, 2);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(fixture->log[i].instance, i ? asker->view.id : fixture->instance->view.id);
		assert_int_equal(fixture->log[i].is_copy, i);
		assert_string_equal(fixture->log[i].text, "no; asked for by netns-2002");
	}
}

/* The host's instance may be the first to go at the end. */
static void test_request_without_host(void **state)
{
	struct fixture *fixture = *state;
	struct instance *asker = registry_add(&fixture->instances, 102, 2002);

	free_instance(fixture, fixture->instance);
	changes_report(&fixture->changes, asker, &(struct bpftune_report){ .kind = BPFTUNE_REQUEST });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		on_changes(test_unknown_reports),
		on_changes(test_about_nothing),
		on_changes(test_unterminated),
		on_changes(test_values_that_are_no_text),
		on_changes(test_intents),
		on_changes(test_whose_tunable),
		on_changes(test_no_grant_when_stopping),
		on_changes(test_no_grant_when_off),
		on_changes(test_no_grant_without_ledger),
		on_changes(test_no_grant_before_it_is_read),
		on_changes(test_log_lines),
		on_changes(test_requests),
		on_changes(test_request_without_host),
		on_changes(test_asker_ends),
		on_changes(test_log_about_a_request),
	};

	return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}
