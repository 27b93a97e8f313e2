// SPDX-License-Identifier: GPL-2.0-or-later
/* What names nothing that exists is counted, and goes nowhere; what may not be written is refused. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <syslog.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "supervisor/changes/learnt.h"
#include "supervisor/workers/capacity.h"
#include "supervisor/workers/route.h"
#include "supervisor/supervisor.h"

/* The last tunable and the last scenario are past the tuner's own. */
enum { NETNS_WIDE, HOST_WIDE, N_TUNABLES };
static const struct bpftune_tunable tunables[] = {
	{ .name = "a.x", .n_ints = 1 }, { .name = "b.host", .scope = BPFTUNE_SCOPE_HOST }, { .name = "none" },
};
static const struct bpftune_scenario scenarios[] = { { .name = "near" }, { .name = "none" } };
static const struct bpftune_tuner tuner = {
	.name = "only",
	.tunables = tunables,
	.n_tunables = N_TUNABLES,
	.scenarios = scenarios,
	.n_scenarios = 1,
};

struct line {
	uint64_t instance;
	int severity;
	char tuner[16], scenario[16], text[BPFTUNE_TEXT_BYTES + 64];
};

/* A supervisor of one instance, whose worker is a pipe. */
struct fixture {
	struct supervisor s;
	struct instance *instance;
	int read_fd;
	char dir[256]; /* the ledger's */
	struct line log[8];
	unsigned int n_log;
};

static void complain(void *arg, const char *text)
{
	(void)arg;
	fail_msg("the ledger complains: %s", text);
}

static void note_line(void *arg, const struct log_record *record)
{
	struct fixture *fixture = arg;
	struct line *line = &fixture->log[fixture->n_log++ % ARRAY_SIZE(fixture->log)];

	*line = (struct line){ .instance = record->instance, .severity = record->severity };
	snprintf(line->tuner, sizeof(line->tuner), "%s", record->tuner ? record->tuner : "");
	snprintf(line->scenario, sizeof(line->scenario), "%s", record->scenario ? record->scenario : "");
	snprintf(line->text, sizeof(line->text), "%s", record->text);
}

/* The only line since this was last called. */
static const struct line *only_line(struct fixture *fixture)
{
	assert_int_equal(fixture->n_log, 1);
	fixture->n_log = 0;
	return &fixture->log[0];
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
	fixture->s.streams.told = note_line;
	fixture->s.streams.arg = fixture;
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
	static const uint16_t kinds[] = { 0, BPFTUNE_VERDICT + 1, 255, UINT16_MAX };
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
		struct bpftune_report intent = { .kind = BPFTUNE_INTENT, .tunable = cases[i].tunable,
						 .scenario = cases[i].scenario, .from = "1", .to = "2" };

		fixture->instance->pub.id = cases[i].is_host ? INSTANCE_HOST : 2;
		fixture->instance->pub.shares_netns = cases[i].shares_netns;
		route_report(&fixture->s, fixture->instance, &value);
		if (cases[i].shares_netns)
			assert_null(fixture->s.ledger.entries);
		if (answer(fixture, &intent).scenario != cases[i].answer)
			fail_msg("%s: wrong answer", cases[i].what);
		ledger_gone(&fixture->s.ledger, 101);
	}
	fixture->instance->pub.id = INSTANCE_HOST;
	fixture->instance->pub.shares_netns = false;
}

/* Reports about tuners and tunables that do not exist. */
static void test_about_nothing(void **state)
{
	static const uint16_t kinds[] = { BPFTUNE_VALUE, BPFTUNE_CHANGE, BPFTUNE_WOULD };
	struct fixture *fixture = *state;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct bpftune_report report = { .kind = kinds[i], .tunable = N_TUNABLES, .to = "1" };

		route_report(&fixture->s, fixture->instance, &report);
		report.tunable = 0;
		report.tuner = 1;
		route_report(&fixture->s, fixture->instance, &report);
	}
	assert_null(fixture->s.ledger.entries);
	assert_int_equal(fixture->n_log, 0);
	route_report(&fixture->s, fixture->instance, &(struct bpftune_report){ .kind = BPFTUNE_CHANGE, .to = "1" });
	assert_null(fixture->s.ledger.entries); /* the outcome of no intent */
}

static void test_ready(void **state)
{
	struct fixture *fixture = *state;
	struct bpftune_report ready = { .kind = BPFTUNE_READY };

	fixture->instance->child.pid = 42;
	fixture->instance->child.state = CHILD_RETIRING;
	route_report(&fixture->s, fixture->instance, &ready);
	assert_int_equal(fixture->n_log, 0);
	fixture->instance->child.state = CHILD_STARTING;
	route_report(&fixture->s, fixture->instance, &ready);
	assert_string_equal(only_line(fixture)->text, "worker 42 is ready");
	assert_int_equal(fixture->instance->child.state, CHILD_READY);
}

/* A field without a NUL is cut. */
static void test_unterminated(void **state)
{
	struct fixture *fixture = *state;
	struct bpftune_report report;

	route_report(&fixture->s, fixture->instance, &(struct bpftune_report){ .kind = BPFTUNE_VALUE, .to = "1" });
	memset(&report, 'x', sizeof(report));
	report.tuner = report.tunable = report.scenario = 0;
	report.kind = BPFTUNE_INTENT;
	assert_int_equal(answer(fixture, &report).scenario, BPFTUNE_GRANT);
	assert_int_equal(strlen(fixture->s.ledger.entries->intent.from), BPFTUNE_VALUE_BYTES - 1);
	assert_int_equal(strlen(fixture->s.ledger.entries->intent.to), BPFTUNE_VALUE_BYTES - 1);
	report.kind = BPFTUNE_LOG;
	route_report(&fixture->s, fixture->instance, &report);
	assert_int_equal(strlen(only_line(fixture)->text), BPFTUNE_TEXT_BYTES - 1);
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

/* The tunable still has the old value: nobody else has written. */
static void test_stale_outcome_of_the_same_value(void **state)
{
	struct fixture *fixture = *state;
	struct bpftune_report value = { .kind = BPFTUNE_VALUE, .to = "1" };
	struct bpftune_report intent = { .kind = BPFTUNE_INTENT, .from = "1", .to = "2" };
	struct bpftune_report change = { .kind = BPFTUNE_CHANGE, .from = "1", .to = "1", .error = -ESTALE };

	route_report(&fixture->s, fixture->instance, &value);
	answer(fixture, &intent);
	route_report(&fixture->s, fixture->instance, &change);
	assert_int_equal(fixture->n_log, 0);
	assert_int_equal(supervisor_tuner_state(&fixture->s, fixture->instance, 0), TUNER_ACTIVE);
}

/* The log says what failed, and on which tunable; the tuner stays active. */
static void test_failures(void **state)
{
	static const struct {
		uint16_t kind;
		int error;
		const char *text;
	} cases[] = {
		{ BPFTUNE_VALUE, -EACCES, "cannot read a.x: Permission denied" },
		{ BPFTUNE_CHANGE, -EROFS, "cannot write a.x: /proc/sys is read-only here (mount it read-write)" },
		{ BPFTUNE_CHANGE, -ENOENT, "cannot write a.x: this namespace has no such tunable" },
		{ BPFTUNE_CHANGE, -EINVAL, "cannot write a.x: the kernel does not take 2" },
		{ BPFTUNE_CHANGE, -EACCES, "cannot write a.x: Permission denied" },
		{ BPFTUNE_CHANGE, -EPERM, "cannot write a.x: Operation not permitted" },
	};
	struct fixture *fixture = *state;
	struct bpftune_report value = { .kind = BPFTUNE_VALUE, .to = "1" };
	struct bpftune_report intent = { .kind = BPFTUNE_INTENT, .from = "1", .to = "2" };
	struct bpftune_event event;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct bpftune_report failure = { .kind = cases[i].kind, .error = cases[i].error, .from = "1", .to = "2" };

		route_report(&fixture->s, fixture->instance, &value);
		if (failure.kind == BPFTUNE_CHANGE)
			answer(fixture, &intent);
		route_report(&fixture->s, fixture->instance, &failure);
		assert_string_equal(only_line(fixture)->text, cases[i].text);
		assert_string_equal(ledger_find(&fixture->s.ledger, 101, "a.x")->current, "1");
		assert_int_equal(supervisor_tuner_state(&fixture->s, fixture->instance, 0), TUNER_ACTIVE);
		assert_int_equal(read(fixture->read_fd, &event, sizeof(event)), -1);
	}
}

/* A change on the host that a container's worker asked for is in both logs. */
static void test_change_that_was_asked_for(void **state)
{
	struct fixture *fixture = *state;
	struct instance *asker = instance_new(&fixture->s.registry, 102, 2002);
	struct bpftune_report value = { .kind = BPFTUNE_VALUE, .to = "1" };
	struct bpftune_report intent = { .kind = BPFTUNE_INTENT, .from = "1", .to = "2", .text = "because" };
	struct bpftune_report change = { .kind = BPFTUNE_CHANGE, .from = "1", .to = "2" };

	route_report(&fixture->s, fixture->instance, &value);
	answer(fixture, &intent);
	route_report(&fixture->s, fixture->instance, &change);
	assert_string_equal(fixture->log[0].scenario, "near");
	assert_string_equal(only_line(fixture)->text, "because");
	change.asker = asker->pub.id;
	answer(fixture, &intent);
	route_report(&fixture->s, fixture->instance, &change);
	assert_int_equal(fixture->n_log, 2);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(fixture->log[i].instance, i ? asker->pub.id : fixture->instance->pub.id);
		assert_string_equal(fixture->log[i].text, "because; asked for by netns-2002");
	}
	instance_free(&fixture->s.registry, asker);
}

static void test_dry_run(void **state)
{
	struct fixture *fixture = *state;
	struct bpftune_report would = { .kind = BPFTUNE_WOULD, .from = "1", .to = "2", .text = "because" };
	struct bpftune_report verdict = { .kind = BPFTUNE_VERDICT, .from = "a host", .to = { 1 }, .text = "is so" };

	route_report(&fixture->s, fixture->instance, &would);
	assert_string_equal(only_line(fixture)->text, "would change: because");
	route_report(&fixture->s, fixture->instance, &verdict);
	assert_string_equal(only_line(fixture)->text, "a host: is so");
	fixture->s.options.dry_run = true;
	strcpy(verdict.from, "another");
	route_report(&fixture->s, fixture->instance, &verdict);
	assert_string_equal(only_line(fixture)->text, "would decide: another: is so");
	verdict.kind = BPFTUNE_LEARNT;
	strcpy(verdict.from, "a third");
	route_report(&fixture->s, fixture->instance, &verdict);
	assert_int_equal(fixture->n_log, 0); /* only `bpftune status` shows what is no verdict */
}

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
		struct bpftune_report report = { .kind = BPFTUNE_LOG, .tuner = cases[i].tuner, .severity = cases[i].severity };
		const struct line *line;

		snprintf(report.text, sizeof(report.text), "line %zu", i);
		route_report(&fixture->s, fixture->instance, &report);
		line = only_line(fixture);
		assert_string_equal(line->text, report.text);
		assert_string_equal(line->tuner, cases[i].logged_tuner);
		assert_int_equal(line->severity, cases[i].logged_severity);
	}
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

/* The kernel refuses what somebody else writes: our value stays ours. */
static void test_written_in_vain(void **state)
{
	struct fixture *fixture = *state;
	struct bpftune_report value = { .kind = BPFTUNE_VALUE, .to = "1" };

	route_report(&fixture->s, fixture->instance, &value);
	ledger_foreign(&fixture->s.ledger, 101, "a.x", "-1");
	route_report(&fixture->s, fixture->instance, &value);
	assert_false(ledger_find(&fixture->s.ledger, 101, "a.x")->foreign);
}

/* An event of a container without a worker, whose owner has as many workers as the limit allows. */
static void test_unserved(void **state)
{
	struct fixture *fixture = *state;
	struct supervisor *s = &fixture->s;
	struct instance *late = NULL;

	assert_int_equal(uv_loop_init(&s->loop), 0);
	uv_timer_init(&s->loop, &s->watch.slow);
	for (uint64_t i = 0; i <= ROOM_WORKERS_PER_OWNER_MAX; i++) {
		late = instance_new(&s->registry, 200 + i, 3000 + i);
		assert_non_null(late);
		late->child.pid = i < ROOM_WORKERS_PER_OWNER_MAX ? 1000 : 0;
	}
	route_event(s, &(struct bpftune_event){ .netns_cookie = late->pub.netns_cookie });
	assert_int_equal(s->counters.unserved, 1);
	assert_int_equal(late->unserved, -EUSERS);
	assert_int_equal(late->child.queue.n, 1);
	route_event(s, &(struct bpftune_event){ .netns_cookie = 101 });
	assert_int_equal(s->counters.unserved, 1);
	for (uint64_t i = 0; i <= ROOM_WORKERS_PER_OWNER_MAX; i++)
		instance_free(&s->registry, instance_by_cookie(&s->registry, 200 + i));
	uv_close((uv_handle_t *)&s->watch.slow, NULL);
	uv_run(&s->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&s->loop), 0);
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
	request.tuner = 1;
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
		on_a_supervisor(test_whose_tunable),
		on_a_supervisor(test_about_nothing),
		on_a_supervisor(test_ready),
		on_a_supervisor(test_unterminated),
		on_a_supervisor(test_no_grant_when_stopping),
		on_a_supervisor(test_no_grant_when_off),
		on_a_supervisor(test_no_grant_without_ledger),
		on_a_supervisor(test_outcomes),
		on_a_supervisor(test_stale_outcome),
		on_a_supervisor(test_stale_outcome_of_the_same_value),
		on_a_supervisor(test_failures),
		on_a_supervisor(test_change_that_was_asked_for),
		on_a_supervisor(test_dry_run),
		on_a_supervisor(test_log_lines),
		on_a_supervisor(test_written),
		on_a_supervisor(test_written_in_vain),
		on_a_supervisor(test_unserved),
		on_a_supervisor(test_requests),
		on_a_supervisor(test_learnt),
		on_a_supervisor(test_request_without_host),
	};

	return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
