// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "supervisor/cli/metrics.h"

static char *text_of_all(struct metrics *metrics, enum metrics_format format)
{
	size_t size;
	char *text;

	assert_true(metrics_complete(metrics));
	text = metrics_text(metrics, format, &size);
	assert_non_null(text);
	assert_int_equal(size, strlen(text));
	return text;
}

static void assert_has(const char *text, const char *line)
{
	const char *found = strstr(text, line);

	if (!found || (found > text && found[-1] != '\n'))
		fail_msg("no line begins with '%s' in:\n%s", line, text);
}

static json_t *instance(int id, const char *name, const char *owner)
{
	return json_pack("{s:i s:s s:s s:{s:s s:i} s:[{s:s s:s}]}", "id", id, "name", name, "owner", owner, "worker",
			 "state", "ready", "restarts", 2, "tuners", "name", "udp", "state", "manual");
}

static bool add(struct metrics *metrics, json_t *json)
{
	bool is_shown = metrics_add_instance(metrics, json);

	json_decref(json);
	return is_shown;
}

/* --- formats ------------------------------------------------------------------------------------ */

static void test_openmetrics(void **state)
{
	struct metrics *metrics = metrics_new();
	char *text;

	(void)state;
	metrics_put(metrics, METRIC_EVENTS_LOST, 3, NULL);
	metrics_put(metrics, METRIC_BUILD, 1, LABELS("version", "1", "kernel", ""));
	text = text_of_all(metrics, METRICS_OPENMETRICS);
	assert_has(text, "# TYPE bpftune_events_lost counter\nbpftune_events_lost_total 3\n");
	assert_has(text, "# TYPE bpftune_build info\nbpftune_build_info{version=\"1\"} 1\n");
	assert_string_equal(text + strlen(text) - 6, "# EOF\n");
	free(text);
	metrics_free(metrics);
}

static void test_prometheus(void **state)
{
	struct metrics *metrics = metrics_new();
	char *text;

	(void)state;
	metrics_put(metrics, METRIC_EVENTS_LOST, 3, NULL);
	metrics_put(metrics, METRIC_BUILD, 1, LABELS("version", "1"));
	text = text_of_all(metrics, METRICS_PROMETHEUS);
	assert_has(text, "# TYPE bpftune_events_lost_total counter\nbpftune_events_lost_total 3\n");
	assert_has(text, "# TYPE bpftune_build_info gauge\nbpftune_build_info{version=\"1\"} 1\n");
	assert_null(strstr(text, "EOF"));
	free(text);
	metrics_free(metrics);
}

static void test_numbers(void **state)
{
	static const struct {
		double value;
		const char *text;
	} cases[] = {
		{ 0, "0" },
		{ 1, "1" },
		{ -1, "-1" },
		{ 4294967296.0, "4294967296" },
		{ 9007199254740991.0, "9007199254740991" },
		{ 0.5, "0.5" },
		{ 1.25e-7, "1.25e-07" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct metrics *metrics = metrics_new();
		char line[64], *text;

		metrics_put(metrics, METRIC_UPTIME, cases[i].value, NULL);
		text = text_of_all(metrics, METRICS_OPENMETRICS);
		snprintf(line, sizeof(line), "bpftune_uptime_seconds %s\n", cases[i].text);
		assert_has(text, line);
		free(text);
		metrics_free(metrics);
	}
}

/* --- labels ------------------------------------------------------------------------------------- */

static void test_label_is_escaped(void **state)
{
	struct metrics *metrics = metrics_new();
	char *text;

	(void)state;
	metrics_put(metrics, METRIC_WORKER_READY, 1, LABELS("container", "a\"} 1\nbpftune_up 0\\"));
	text = text_of_all(metrics, METRICS_OPENMETRICS);
	assert_has(text, "bpftune_worker_ready{container=\"a\\\"} 1\\nbpftune_up 0\\\\\"} 1\n");
	assert_null(strstr(text, "\nbpftune_up 0"));
	free(text);
	metrics_free(metrics);
}

/* Never within a character: U+00E9 has two bytes. */
static void test_label_is_cut(void **state)
{
	(void)state;
	for (size_t before = METRICS_LABEL_BYTES - 3; before <= METRICS_LABEL_BYTES + 1; before++) {
		struct metrics *metrics = metrics_new();
		char name[METRICS_LABEL_BYTES + 16] = "", line[2 * METRICS_LABEL_BYTES], *text;
		size_t kept = before + 2 <= METRICS_LABEL_BYTES ? before + 2 : before;

		memset(name, 'x', before);
		strcat(name, "\xc3\xa9");
		if (kept > METRICS_LABEL_BYTES)
			kept = METRICS_LABEL_BYTES;
		metrics_put(metrics, METRIC_WORKER_READY, 1, LABELS("container", name));
		text = text_of_all(metrics, METRICS_OPENMETRICS);
		snprintf(line, sizeof(line), "bpftune_worker_ready{container=\"%.*s\"} 1\n", (int)kept, name);
		assert_has(text, line);
		free(text);
		metrics_free(metrics);
	}
}

/* --- instances ---------------------------------------------------------------------------------- */

static void test_instance(void **state)
{
	struct metrics *metrics = metrics_new();
	json_t *json = instance(7, "web", "/web");
	json_t *status = json_pack("{s:[{s:s s:s} {s:s s:s}]}", "tuners", "name", "udp", "state", "active", "name", "frag",
				   "state", "active");
	char *text;

	(void)state;
	metrics_add_status(metrics, status);
	json_decref(status);
	json_object_set_new(json, "container_id", json_string("abc"));
	json_object_set_new(json, "tunables",
			    json_pack("[{s:s s:s s:s s:s s:i s:{s:i s:i}} {s:s s:s s:s s:s s:i}]", "name", "net.a",
				      "tuner", "udp", "initial", "4096 16384 65536", "current", "4096 16384 262144",
				      "changes", 3, "scenarios", "up", 2, "down", 1, "name", "net.b", "tuner", "udp",
				      "initial", "1", "current", "1", "changes", 0));
	json_object_set_new(json, "learnt",
			    json_pack("[{s:s s:b} {s:s s:b} {s:s s:b}]", "tuner", "tcp_init", "in_effect", 1, "tuner",
				      "tcp_init", "in_effect", 1, "tuner", "tcp_cong", "in_effect", 0));
	assert_true(add(metrics, json));
	metrics_add_totals(metrics);
	text = text_of_all(metrics, METRICS_OPENMETRICS);
	assert_has(text, "bpftune_container_info{container=\"web\",id=\"7\",container_id=\"abc\"} 1\n");
	assert_has(text, "bpftune_worker_ready{container=\"web\"} 1\n");
	assert_has(text, "bpftune_worker_restarts_total{container=\"web\"} 2\n");
	assert_has(text,
		   "bpftune_changes_total{container=\"web\",tuner=\"udp\",tunable=\"net.a\",scenario=\"up\"} 2\n");
	assert_has(text, "bpftune_tunable_value{container=\"web\",tunable=\"net.a\",index=\"2\"} 262144\n");
	assert_has(text, "bpftune_tunable_initial_value{container=\"web\",tunable=\"net.a\",index=\"2\"} 65536\n");
	assert_has(text, "bpftune_tuner_manual{container=\"web\",tuner=\"udp\"} 1\n");
	assert_has(text, "bpftune_decisions{container=\"web\",tuner=\"tcp_init\"} 2\n");
	assert_has(text, "bpftune_tuner_instances{tuner=\"udp\",state=\"manual\"} 1\n");
	assert_has(text, "bpftune_tuner_instances{tuner=\"udp\",state=\"active\"} 0\n");
	assert_has(text, "bpftune_tuner_instances{tuner=\"frag\",state=\"active\"} 1\n");
	assert_has(text, "bpftune_workers{state=\"ready\"} 1\n");
	assert_null(strstr(text, "net.b"));
	assert_null(strstr(text, "tcp_cong"));
	free(text);
	metrics_free(metrics);
}

static void test_owner_with_too_many(void **state)
{
	struct metrics *metrics = metrics_new();
	char name[16], *text;

	(void)state;
	assert_true(add(metrics, instance(1, "host", "/crowd")));
	for (int i = 0; i < 2 * METRICS_OWNER_MAX; i++) {
		snprintf(name, sizeof(name), "c%d", i);
		assert_int_equal(add(metrics, instance(2 + i, name, "/crowd")), i < METRICS_OWNER_MAX);
	}
	assert_true(add(metrics, instance(1000, "other", "/other")));
	for (int i = 0; i < 2 * METRICS_OWNER_MAX; i++) {
		snprintf(name, sizeof(name), "r%d", i);
		assert_true(add(metrics, instance(2000 + i, name, "root of the host")));
	}
	metrics_add_totals(metrics);
	text = text_of_all(metrics, METRICS_OPENMETRICS);
	assert_has(text, "bpftune_instances 258\n");
	assert_has(text, "bpftune_instances_left_out 64\n");
	assert_has(text, "bpftune_workers{state=\"ready\"} 258\n");
	free(text);
	metrics_free(metrics);
}

static void test_too_many_in_all(void **state)
{
	struct metrics *metrics = metrics_new();
	char name[16];

	(void)state;
	for (int i = 0; i < METRICS_CONTAINERS_MAX + 2; i++) {
		snprintf(name, sizeof(name), "r%d", i);
		assert_int_equal(add(metrics, instance(2 + i, name, "root of the host")), i < METRICS_CONTAINERS_MAX);
	}
	metrics_free(metrics);
}

/* A scrape with two samples of one name and labels is refused as a whole. */
static void test_two_of_one_name(void **state)
{
	struct metrics *metrics = metrics_new();
	char name[METRICS_LABEL_BYTES + 16] = "";

	(void)state;
	assert_true(add(metrics, instance(2, "web", "/a")));
	assert_false(add(metrics, instance(3, "web", "/b")));
	memset(name, 'x', METRICS_LABEL_BYTES);
	strcat(name, "1");
	assert_true(add(metrics, instance(4, name, "/a")));
	name[METRICS_LABEL_BYTES] = '2';
	assert_false(add(metrics, instance(5, name, "/a")));
	metrics_free(metrics);
}

/* --- the supervisor ----------------------------------------------------------------------------- */

/* A tuner that was taken away and came back is there twice. */
static void test_tuner_that_is_back(void **state)
{
	struct metrics *metrics = metrics_new();
	json_t *status = json_pack(
		"{s:s s:s s:f s:b s:{s:i} s:[{s:s s:s s:[{s:s s:s s:b}]} {s:s s:s s:[{s:s s:s s:b s:i s:i s:i}]}]}",
		"version", "1", "kernel", "6", "uptime_s", 2.5, "dry_run", 1, "events", "lost", 4, "tuners", "name",
		"udp", "state", "removed", "hooks", "program", "p", "attach", "a", "attached", 0, "name", "udp",
		"state", "active", "hooks", "program", "p", "attach", "a", "attached", 1, "runs", 10, "timed", 5, "ns",
		2500);
	char *text;

	(void)state;
	metrics_add_status(metrics, status);
	json_decref(status);
	text = text_of_all(metrics, METRICS_OPENMETRICS);
	assert_has(text, "bpftune_up 1\n");
	assert_has(text, "bpftune_uptime_seconds 2.5\n");
	assert_has(text, "bpftune_dry_run 1\n");
	assert_has(text, "bpftune_events_lost_total 4\n");
	assert_has(text, "bpftune_tuners{state=\"removed\"} 1\n");
	assert_has(text, "bpftune_bpf_attached{tuner=\"udp\",program=\"p\",attach=\"a\"} 1\n");
	assert_null(strstr(text, "attach=\"a\"} 0"));
	assert_has(text, "bpftune_bpf_runs_total{tuner=\"udp\",program=\"p\",attach=\"a\"} 10\n");
	assert_has(text, "bpftune_bpf_run_time_seconds_total{tuner=\"udp\",program=\"p\",attach=\"a\"} 2.5e-06\n");
	free(text);
	metrics_free(metrics);
}

static void test_limits(void **state)
{
	json_t *json =
		json_pack("{s:s s:[{s:s s:s s:s s:i} {s:s s:n s:s s:i} {s:s s:n s:s s:i}]}", "name", "web",
			  "limits_met", "name", "A", "tuner", "udp", "since", "namespace", "count", 5, "name", "B",
			  "tuner", "since", "namespace", "count", 0, "name", "C", "tuner", "since", "now", "count", 9);
	char *text = metrics_of_limits(json);

	(void)state;
	assert_string_equal(text, "bpftune_limits_met_total{container=\"web\",limit=\"A\",tuner=\"udp\"} 5\n");
	free(text);
	json_decref(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_openmetrics),
		cmocka_unit_test(test_prometheus),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_label_is_escaped),
		cmocka_unit_test(test_label_is_cut),
		cmocka_unit_test(test_instance),
		cmocka_unit_test(test_owner_with_too_many),
		cmocka_unit_test(test_too_many_in_all),
		cmocka_unit_test(test_two_of_one_name),
		cmocka_unit_test(test_tuner_that_is_back),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
