// SPDX-License-Identifier: GPL-2.0-or-later
/* What names nothing that exists is counted, and goes nowhere; what may not be written is refused. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "supervisor/learnt.h"
#include "supervisor/route.h"
#include "supervisor/supervisor.h"

static const struct bpftune_tunable tunables[] = { { .name = "a.x", .n_ints = 1 } };
static const struct bpftune_scenario scenarios[] = { { .name = "near" } };
static const struct bpftune_tuner tuner = {
	.name = "only",
	.tunables = tunables,
	.n_tunables = ARRAY_SIZE(tunables),
	.scenarios = scenarios,
	.n_scenarios = ARRAY_SIZE(scenarios),
};

/* A supervisor of one instance, whose worker is a pipe. */
struct fixture {
	struct supervisor s;
	struct instance *instance;
	int read_fd;
	char dir[256]; /* the ledger's */
};

static void complain(void *arg, const char *text)
{
	(void)arg;
	fail_msg("the ledger complains: %s", text);
}

static int open_supervisor(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	const char *tmp = getenv("TMPDIR");
	int fds[2];

	*state = fixture;
	if (!fixture || pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return -1;
	fixture->s.plugins = (struct plugins){ .n = 1, .tuners = { &tuner } };
	fixture->s.host = (struct bpftune_host){ .cgroup_fd = -1, .netns_fd = -1, .owned_fd = -1, .own_pids_fd = -1,
						 .taken_fd = -1, .shared_fds = { -1, -1, -1 } };
	snprintf(fixture->dir, sizeof(fixture->dir), "%s/route.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(fixture->dir) || ledger_open(&fixture->s.ledger, fixture->dir, complain, NULL) < 0)
		return -1;
	log_open(LOG_SINK_STDERR);
	fixture->instance = instance_new(&fixture->s.registry, 101, 2001);
	if (!fixture->instance)
		return -1;
	fixture->read_fd = fds[0];
	fixture->instance->child.event_fd = fds[1];
	fixture->instance->child.state = CHILD_READY;
	return 0;
}

static int close_supervisor(void **state)
{
	struct fixture *fixture = *state;
	char path[300];

	close(fixture->read_fd);
	close(fixture->instance->child.event_fd);
	instance_free(&fixture->s.registry, fixture->instance);
	streams_free(&fixture->s.streams);
	ledger_close(&fixture->s.ledger);
	snprintf(path, sizeof(path), "%s/ledger", fixture->dir);
	unlink(path);
	rmdir(fixture->dir);
	free(fixture);
	return 0;
}

static void test_events(void **state)
{
	static const struct {
		const char *what;
		struct bpftune_event event;
		bool routed;
	} cases[] = {
		{ "by cookie", { .netns_cookie = 101 }, true },
		{ "by instance", { .instance = 1, .netns_cookie = 101 }, true },
		{ "in a namespace made inside it", { .instance = 1, .netns_cookie = 999 }, false },
		{ "unknown cookie", { .netns_cookie = 102 }, false },
		{ "no cookie", { .netns_cookie = 0 }, false },
		{ "unknown instance", { .instance = 2, .netns_cookie = 101 }, false },
		{ "unknown tuner", { .netns_cookie = 101, .tuner = 1 }, false },
		{ "tuner past any", { .netns_cookie = 101, .tuner = BPFTUNE_TUNERS_MAX }, false },
		{ "an order from below", { .netns_cookie = 101, .tuner = BPFTUNE_FROM_SUPERVISOR }, false },
		{ "unknown scenario", { .netns_cookie = 101, .scenario = 1 }, false },
	};
	struct fixture *fixture = *state;
	const struct counters *counters = &fixture->s.counters;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct counters before = *counters;
		struct bpftune_event got;
		bool arrived;

		route_event(&fixture->s, &cases[i].event);
		arrived = read(fixture->read_fd, &got, sizeof(got)) == sizeof(got);
		if (arrived != cases[i].routed || counters->received != before.received + 1 ||
		    counters->routed != before.routed + cases[i].routed ||
		    counters->unroutable != before.unroutable + !cases[i].routed)
			fail_msg("%s: %s", cases[i].what, arrived ? "arrived" : "went nowhere");
		if (arrived)
			assert_memory_equal(&got, &cases[i].event, sizeof(got));
	}
}

static void test_a_tuner_that_is_off(void **state)
{
	static const enum tuner_state states[] = { TUNER_MANUAL, TUNER_PAUSED, TUNER_OFF };
	struct fixture *fixture = *state;

	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		supervisor_set_tuner_state(&fixture->s, fixture->instance, 0, states[i], "a test");
		route_event(&fixture->s, &(struct bpftune_event){ .netns_cookie = 101 });
	}
	assert_int_equal(fixture->s.counters.received, ARRAY_SIZE(states));
	assert_int_equal(fixture->s.counters.routed, 0);
	assert_int_equal(fixture->s.counters.unroutable, 0);
}

static void test_unknown_reports(void **state)
{
	static const uint16_t kinds[] = { 0, BPFTUNE_LOG + 1, 255, UINT16_MAX };
	struct fixture *fixture = *state;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		route_report(&fixture->s, fixture->instance, &(struct bpftune_report){ .kind = kinds[i] });
		assert_int_equal(fixture->s.counters.unknown_reports, i + 1);
	}
}

static struct bpftune_event answer(struct fixture *fixture, const struct bpftune_report *report)
{
	struct bpftune_event event;

	route_report(&fixture->s, fixture->instance, report);
	assert_int_equal(read(fixture->read_fd, &event, sizeof(event)), sizeof(event));
	assert_int_equal(event.tuner, BPFTUNE_FROM_SUPERVISOR);
	assert_int_equal(event.netns_cookie, 101);
	return event;
}

/* Every intent has its answer, which names what it is about. */
static void test_intents(void **state)
{
	struct fixture *fixture = *state;
	struct bpftune_report value = { .kind = BPFTUNE_VALUE, .to = "1" };
	struct bpftune_report intent = { .kind = BPFTUNE_INTENT, .from = "1", .to = "2" }, absurd = intent;
	struct bpftune_event event;
	struct bpftune_owner owner;

	assert_int_equal(answer(fixture, &intent).scenario, BPFTUNE_REFUSE); /* its value is not known yet */
	route_report(&fixture->s, fixture->instance, &value);
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

static void test_no_grant_when_stopping(void **state)
{
	struct fixture *fixture = *state;
	struct bpftune_report value = { .kind = BPFTUNE_VALUE, .to = "1" };
	struct bpftune_report intent = { .kind = BPFTUNE_INTENT, .from = "1", .to = "2" };

	route_report(&fixture->s, fixture->instance, &value);
	fixture->s.stopping = true;
	assert_int_equal(answer(fixture, &intent).scenario, BPFTUNE_REFUSE);
	assert_false(ledger_find(&fixture->s.ledger, 101, "a.x")->intended);
}

static void test_no_grant_when_off(void **state)
{
	static const enum tuner_state states[] = { TUNER_MANUAL, TUNER_PAUSED, TUNER_OFF, TUNER_ACTIVE };
	struct fixture *fixture = *state;
	struct bpftune_report value = { .kind = BPFTUNE_VALUE, .to = "1" };
	struct bpftune_report intent = { .kind = BPFTUNE_INTENT, .from = "1", .to = "2" };

	route_report(&fixture->s, fixture->instance, &value);
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		supervisor_set_tuner_state(&fixture->s, fixture->instance, 0, states[i], NULL);
		assert_int_equal(answer(fixture, &intent).scenario,
				 states[i] == TUNER_ACTIVE ? BPFTUNE_GRANT : BPFTUNE_REFUSE);
	}
}

/* What cannot be on record is not written. */
static void test_no_grant_without_ledger(void **state)
{
	struct fixture *fixture = *state;
	struct bpftune_report value = { .kind = BPFTUNE_VALUE, .to = "1" };
	struct bpftune_report intent = { .kind = BPFTUNE_INTENT, .from = "1", .to = "2" };

	route_report(&fixture->s, fixture->instance, &value);
	close_fdp(&fixture->s.ledger.fd);
	assert_int_equal(answer(fixture, &intent).scenario, BPFTUNE_REFUSE);
}

static void test_outcomes(void **state)
{
	struct fixture *fixture = *state;
	struct bpftune_report value = { .kind = BPFTUNE_VALUE, .to = "1" };
	struct bpftune_report intent = { .kind = BPFTUNE_INTENT, .from = "1", .to = "1000" };
	struct bpftune_report change = { .kind = BPFTUNE_CHANGE, .from = "1", .to = "512" };
	const struct ledger_entry *entry;

	route_report(&fixture->s, fixture->instance, &value);
	entry = ledger_find(&fixture->s.ledger, 101, "a.x");
	route_report(&fixture->s, fixture->instance, &change); /* not asked for */
	assert_string_equal(entry->current, "1");
	assert_int_equal(answer(fixture, &intent).scenario, BPFTUNE_GRANT);
	route_report(&fixture->s, fixture->instance, &change);
	assert_string_equal(entry->current, "512");
	assert_string_equal(ledger_last(entry)->scenario, "near");
	assert_int_equal(supervisor_tuner_state(&fixture->s, fixture->instance, 0), TUNER_ACTIVE);
}

/* The worker finds that somebody else was there in between: then it is theirs. */
static void test_stale_outcome(void **state)
{
	struct fixture *fixture = *state;
	struct bpftune_report value = { .kind = BPFTUNE_VALUE, .to = "1" };
	struct bpftune_report intent = { .kind = BPFTUNE_INTENT, .from = "1", .to = "2" };
	struct bpftune_report change = { .kind = BPFTUNE_CHANGE, .from = "1", .to = "7", .error = -ESTALE };
	const struct ledger_entry *entry;

	route_report(&fixture->s, fixture->instance, &value);
	answer(fixture, &intent);
	route_report(&fixture->s, fixture->instance, &change);
	entry = ledger_find(&fixture->s.ledger, 101, "a.x");
	assert_string_equal(entry->current, "7");
	assert_string_equal(entry->initial, "1");
	assert_int_equal(ledger_changes(entry), 0);
	assert_int_equal(supervisor_tuner_state(&fixture->s, fixture->instance, 0), TUNER_MANUAL);
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

		route_report(&fixture->s, fixture->instance, &(struct bpftune_report){ .kind = BPFTUNE_VALUE, .to = "1" });
		for (size_t j = 0; cases[i].steps[j].kind; j++) {
			struct bpftune_report report = { .kind = cases[i].steps[j].kind, .from = "1" };
			struct bpftune_written written = { .comm = "sh" };
			struct bpftune_event event = { .netns_cookie = 101, .pid = 42, .tuner = BPFTUNE_FROM_WATCH,
						       .scenario = BPFTUNE_SYSCTL_WRITTEN };

			strcpy(report.to, cases[i].steps[j].value);
			strcpy(written.value, cases[i].steps[j].value);
			memcpy(event.payload, &written, sizeof(written));
			if (report.kind == WRITTEN)
				route_event(&fixture->s, &event);
			else
				route_report(&fixture->s, fixture->instance, &report);
		}
		entry = ledger_find(&fixture->s.ledger, 101, "a.x");
		now = ledger_get_state(&fixture->s.ledger, 101, "only");
		if (strcmp(entry->current, cases[i].current) || ledger_changes(entry) != cases[i].changes)
			fail_msg("%s: %s, %u changes", cases[i].what, entry->current, ledger_changes(entry));
		if (entry->foreign != !!cases[i].why)
			fail_msg("%s: a rollback would %s it", cases[i].what, entry->foreign ? "leave" : "undo");
		if (cases[i].why ? !now || now->state != TUNER_MANUAL || strcmp(now->why, cases[i].why) : now != NULL)
			fail_msg("%s: %s", cases[i].what, now ? now->why : "active");
		ledger_gone(&fixture->s.ledger, 101);
		fixture->instance->unnamed = 0;
	}
}

/* A container's worker asks; the host's is the one that hears it, with who asked. */
static void test_requests(void **state)
{
	struct fixture *fixture = *state;
	struct instance *asker = instance_new(&fixture->s.registry, 102, 2002);
	struct bpftune_report request = { .kind = BPFTUNE_REQUEST, .event_ns = 5, .text = "payload" };
	struct bpftune_event event;

	route_report(&fixture->s, asker, &request);
	assert_int_equal(read(fixture->read_fd, &event, sizeof(event)), sizeof(event));
	assert_int_equal(event.tuner, 0);
	assert_int_equal(event.netns_cookie, 101);
	assert_int_equal(event.asker, asker->pub.id);
	assert_int_equal(event.time_ns, 5);
	assert_string_equal((const char *)event.payload, "payload");

	request.scenario = 9;
	route_report(&fixture->s, asker, &request);
	request.tuner = 9;
	route_report(&fixture->s, asker, &request);
	assert_int_equal(fixture->s.counters.unroutable, 2);
	request.tuner = request.scenario = 0;
	supervisor_set_tuner_state(&fixture->s, fixture->instance, 0, TUNER_MANUAL, "an administrator's");
	route_report(&fixture->s, asker, &request);
	assert_int_equal(read(fixture->read_fd, &event, sizeof(event)), -1);
	instance_free(&fixture->s.registry, asker);
}

/* Bounded for each tuner; the least recently told goes; only another verdict that says so is news. */
static void test_learnt(void **state)
{
	struct fixture *fixture = *state;
	struct bpftune_report report = { .kind = BPFTUNE_VERDICT, .text = "is so\n" };
	struct bpftune_verdict verdict = { .value = { 1 } };
	struct learnt_key first = { .about = "about 0" };
	const struct learnt *newest;

	for (int i = 0; i < LEARNT_MAX; i++) {
		snprintf(report.from, sizeof(report.from), "about %d", i);
		route_report(&fixture->s, fixture->instance, &report);
	}
	assert_false(learnt_put(NULL, fixture->instance, &first, "told again", NULL));
	assert_true(learnt_put(NULL, fixture->instance, &first, "decided", &verdict));
	assert_false(learnt_put(NULL, fixture->instance, &first, "as before", &verdict));
	verdict.value[1] = 1;
	assert_false(learnt_put(NULL, fixture->instance, &first, "as before", &verdict));
	newest = ELMT_FROM_HH(fixture->instance->learnt->hh.tbl, fixture->instance->learnt->hh.tbl->tail);
	assert_int_equal(newest->verdict.value[1], 1);
	verdict.value[1] = 2;
	assert_true(learnt_put(NULL, fixture->instance, &first, "decided anew", &verdict));
	strcpy(report.from, "one more");
	route_report(&fixture->s, fixture->instance, &report);
	assert_int_equal(HASH_COUNT(fixture->instance->learnt), LEARNT_MAX);
	assert_string_equal(fixture->instance->learnt->key.about, "about 2");
	newest = ELMT_FROM_HH(fixture->instance->learnt->hh.tbl, fixture->instance->learnt->hh.tbl->tail);
	assert_string_equal(newest->key.about, "one more");
	assert_string_equal(newest->text, "is so\\x0a");

	report.tuner = 1; /* there is none */
	route_report(&fixture->s, fixture->instance, &report);
	report.tuner = 0;
	report.from[0] = '\0';
	route_report(&fixture->s, fixture->instance, &report);
	assert_int_equal(fixture->s.counters.unknown_reports, 2);
	supervisor_set_tuner_state(&fixture->s, fixture->instance, 0, TUNER_PAUSED, NULL);
	strcpy(report.from, "too late");
	route_report(&fixture->s, fixture->instance, &report);
	assert_string_equal(newest->key.about, "one more");
	assert_int_equal(HASH_COUNT(fixture->instance->learnt), LEARNT_MAX);
}

/* The host's instance may be the first to go at the end. */
static void test_request_without_host(void **state)
{
	struct fixture *fixture = *state;
	struct instance *asker = instance_new(&fixture->s.registry, 102, 2002);

	close(fixture->instance->child.event_fd);
	instance_free(&fixture->s.registry, fixture->instance);
	fixture->instance = asker;
	route_report(&fixture->s, asker, &(struct bpftune_report){ .kind = BPFTUNE_REQUEST });
}

#define on_a_supervisor(test) cmocka_unit_test_setup_teardown(test, open_supervisor, close_supervisor)

int main(void)
{
	const struct CMUnitTest tests[] = {
		on_a_supervisor(test_events),
		on_a_supervisor(test_a_tuner_that_is_off),
		on_a_supervisor(test_unknown_reports),
		on_a_supervisor(test_intents),
		on_a_supervisor(test_no_grant_when_stopping),
		on_a_supervisor(test_no_grant_when_off),
		on_a_supervisor(test_no_grant_without_ledger),
		on_a_supervisor(test_outcomes),
		on_a_supervisor(test_stale_outcome),
		on_a_supervisor(test_written),
		on_a_supervisor(test_requests),
		on_a_supervisor(test_learnt),
		on_a_supervisor(test_request_without_host),
	};

	return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
