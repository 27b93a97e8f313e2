// SPDX-License-Identifier: GPL-2.0-or-later
/* What `bpftune watch` knows of instances: what they suffer from, in which order, and when they are gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "supervisor/cli/watch_rows.h"

#define NOW_S 1795831200.0 /* 2026-11-28T02:00:00Z */
#define AT_01_59_50 "2026-11-28T01:59:50.000+00:00"

static struct watch_rows rows;

static int tear_down(void **state)
{
	(void)state;
	watch_rows_clear(&rows);
	return 0;
}

static json_t *json_of(const char *format, ...) __attribute__((format(printf, 1, 2)));
static json_t *json_of(const char *format, ...)
{
	char text[2048];
	va_list args;
	json_t *json;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	json = json_loads(text, 0, NULL);
	assert_non_null(json);
	return json;
}

static void take_instance(int id, const char *name, const char *more)
{
	json_t *instance =
		json_of("{\"id\": %d, \"name\": \"%s\", \"runtime\": null, \"worker\": {\"state\": \"ready\"}%s}", id,
			name, more);

	watch_rows_take(&rows, instance, NOW_S);
	json_decref(instance);
}

static void take_record(int instance, const char *time, int severity, const char *more, bool live)
{
	json_t *record = json_of("{\"instance\": %d, \"container\": \"c%d\", \"time\": \"%s\", \"severity\": %d%s}",
				 instance, instance, time, severity, more);

	watch_rows_record(&rows, record, live);
	json_decref(record);
}

/* The ids, in order: "2 1 3". */
static void expect_order(enum watch_order order, bool reversed, const char *filter, const char *ids)
{
	char found[128] = "", *at = found;

	watch_rows_arrange(&rows, order, reversed, filter, NOW_S);
	for (size_t i = 0; i < rows.n_shown; i++)
		at += snprintf(at, sizeof(found) - (at - found), "%s%d", i ? " " : "", (int)rows.shown[i]->id);
	assert_string_equal(found, ids);
}

#define MET(name, rate, over_s) "{\"name\": \"" name "\", \"per_second\": " rate ", \"over_s\": " over_s "}"
#define CHANGE(name, from, to, text)                                                                                   \
	", \"tuner\": \"t\", \"scenario\": \"full\", \"tunable\": \"" name "\", \"from\": \"" from "\", \"to\": \"" to \
	"\", \"text\": \"" text "\""

static void expect_trouble(int id, int is_in_trouble, const char *what, const char *rate)
{
	const struct watch_row *row = watch_rows_find(&rows, id);

	watch_rows_arrange(&rows, WATCH_BY_NAME, false, "", NOW_S);
	assert_non_null(row);
	assert_int_equal(row->trouble.rank > 0, is_in_trouble);
	assert_string_equal(row->trouble.what, what);
	assert_string_equal(row->trouble.rate, rate);
}

static void test_trouble(void **state)
{
	(void)state;
	take_instance(1, "host", "");
	take_instance(2, "web",
		      ", \"limits_met\": [" MET("A", "2.5", "2.0") "," MET("B", "900.0", "2.0") "," MET("C", "null",
													"null") "]");
	take_instance(3, "long", ", \"limits_met\": [" MET("A", "2.5", "61.0") "]");
	take_instance(4, "told", "");
	take_instance(5, "died", ", \"worker\": {\"state\": \"backoff\"}");
	take_instance(6, "silent", ", \"limits_met\": null");
	take_record(4, AT_01_59_50, 5, CHANGE("x", "1", "2", "full; 15.64 Mbit/s at a round trip of 4 ms"), false);
	expect_trouble(1, 0, "", "");
	expect_trouble(2, 1, "B", "900/s");
	expect_trouble(3, 0, "", "");
	expect_trouble(4, 1, "full", "15.6 Mbit/s");
	expect_trouble(5, 1, "its worker died", "");
	expect_trouble(6, 0, "", "");
	assert_int_equal(rows.n_in_trouble, 3);
	expect_order(WATCH_BY_TROUBLE, false, "", "5 2 4 1 3 6");
	expect_order(WATCH_BY_TROUBLE, true, "", "6 3 1 4 2 5");
	/* It is over. */
	take_instance(2, "web", ", \"limits_met\": [" MET("A", "0.0", "2.0") "]");
	expect_trouble(2, 0, "", "");
	take_record(4, AT_01_59_50, 5, ", \"scenario\": \"rollback\", \"text\": \"12 a per 48 b\"", true);
	expect_trouble(4, 0, "", "");
	take_record(4, AT_01_59_50, 5, ", \"scenario\": \"lost\", \"text\": \"12 a per 48 b\"", true);
	expect_trouble(4, 1, "lost", "25 per 100");
	take_record(4, "2026-11-28T02:58:00.000+01:00", 5, ", \"scenario\": \"lost\"", true);
	expect_trouble(4, 0, "", ""); /* two minutes ago */
}

/* What a listing says of an instance takes no limits away: it does not tell them. They are of now for a minute. */
static void test_limits_last(void **state)
{
	(void)state;
	take_instance(2, "web", ", \"limits_met\": [" MET("A", "2.5", "2.0") "]");
	take_instance(2, "web", "");
	expect_trouble(2, 1, "A", "2.5/s");
	watch_rows_arrange(&rows, WATCH_BY_NAME, false, "", NOW_S + 60);
	assert_int_equal(rows.n_in_trouble, 1);
	watch_rows_arrange(&rows, WATCH_BY_NAME, false, "", NOW_S + 61);
	assert_int_equal(rows.n_in_trouble, 0);
}

/* Rates that are nearly the same do not make rows change places. */
static void test_steady(void **state)
{
	(void)state;
	take_instance(2, "a", ", \"limits_met\": [" MET("A", "1100.0", "2.0") "]");
	take_instance(3, "b", ", \"limits_met\": [" MET("A", "1200.0", "2.0") "]");
	take_instance(4, "c", ", \"limits_met\": [" MET("A", "2200.0", "2.0") "]");
	expect_order(WATCH_BY_TROUBLE, false, "", "4 2 3");
}

#define CHANGED(n)                                           \
	", \"tunables\": [{\"name\": \"x\", \"changes\": " n \
	", \"initial\": \"1\", \"current\": \"2\"}, {\"name\": \"y\", \"changes\": 0}]"

static void test_order(void **state)
{
	(void)state;
	take_instance(1, "host", CHANGED("3"));
	take_instance(2, "Web", CHANGED("0"));
	take_instance(3, "db", CHANGED("7"));
	take_record(2, "2026-11-27T01:00:00.000+00:00", 4, "", false);
	take_record(1, "2026-11-27T00:00:00.000+00:00", 4, "", false);
	expect_order(WATCH_BY_NAME, false, "", "2 3 1");
	expect_order(WATCH_BY_NAME, true, "", "1 3 2");
	expect_order(WATCH_BY_CHANGES, false, "", "3 1 2");
	expect_order(WATCH_BY_LATEST, false, "", "2 1 3");
	expect_order(WATCH_BY_NAME, false, "wE", "2");
	expect_order(WATCH_BY_NAME, false, "nobody", "");
}

/* A change is in the table before the next listing. */
static void test_changes(void **state)
{
	const struct watch_row *row;
	json_t *x;

	(void)state;
	take_instance(2, "web", CHANGED("3"));
	take_record(2, AT_01_59_50, 5, CHANGE("x", "2", "4", ""), true);
	take_record(2, AT_01_59_50, 5, CHANGE("z", "7", "8", ""), true);
	take_record(2, AT_01_59_50, 6, ", \"text\": \"worker 1 is ready\"", true);
	row = watch_rows_find(&rows, 2);
	assert_int_equal(row->changes, 5);
	assert_int_equal(json_array_size(row->changed), 2);
	x = json_array_get(row->changed, 0);
	assert_string_equal(json_string_value(json_object_get(x, "initial")), "1");
	assert_string_equal(json_string_value(json_object_get(x, "current")), "4");
	assert_string_equal(json_string_value(json_object_get(row->last, "tunable")), "z");
	/* What a log of the past says was counted by the supervisor. */
	take_record(2, AT_01_59_50, 5, CHANGE("x", "2", "4", ""), false);
	assert_int_equal(row->changes, 5);
}

static void test_come_and_go(void **state)
{
	(void)state;
	watch_rows_begin(&rows);
	take_instance(1, "host", "");
	take_instance(2, "web", "");
	watch_rows_end(&rows);
	take_record(3, AT_01_59_50, 5, "", false); /* ended long ago */
	expect_order(WATCH_BY_NAME, false, "", "1 2");
	take_record(4, AT_01_59_50, 6, "", true); /* new */
	take_record(0, AT_01_59_50, 6, "", true); /* the supervisor itself */
	expect_order(WATCH_BY_NAME, false, "", "4 1 2");
	assert_string_equal(watch_rows_find(&rows, 4)->name, "c4");
	watch_rows_begin(&rows);
	take_instance(1, "host", "");
	take_instance(4, "called", "");
	watch_rows_end(&rows);
	assert_int_equal(rows.n_shown, 0); /* until it is arranged again: one of them is gone */
	expect_order(WATCH_BY_NAME, false, "", "4 1");
	assert_string_equal(watch_rows_find(&rows, 4)->name, "called");
	assert_null(watch_rows_find(&rows, 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_trouble, tear_down),
		cmocka_unit_test_teardown(test_limits_last, tear_down),
		cmocka_unit_test_teardown(test_steady, tear_down),
		cmocka_unit_test_teardown(test_order, tear_down),
		cmocka_unit_test_teardown(test_changes, tear_down),
		cmocka_unit_test_teardown(test_come_and_go, tear_down),
	};

	return cmocka_run_group_tests_name("watch_rows", tests, NULL, NULL);
}
