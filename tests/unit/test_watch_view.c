// SPDX-License-Identifier: GPL-2.0-or-later
/* The pages of `bpftune watch`, on terminals of many sizes, and what keys do. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <unistr.h>
#include <uniwidth.h>

#include "ipc/cleanup.h"
#include "supervisor/cli/watch_view.h"

#define NOW_S 1795831200.0 /* 2026-11-28T02:00:00Z */

struct screen {
	struct watch_view view;
	struct watch_lines lines;
	size_t height;
};

static struct screen screen;

static int set_up(void **state)
{
	(void)state;
	screen = (struct screen){ .lines = { .width = 80 }, .height = 24 };
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	watch_view_clear(&screen.view);
	watch_lines_cut(&screen.lines, 0);
	return 0;
}

static void draw(void)
{
	watch_view_lines(&screen.view, &screen.lines, screen.height, NOW_S);
}

static bool shows(const char *text)
{
	for (size_t i = 0; i < screen.lines.n; i++)
		if (strstr(screen.lines.items[i].text, text))
			return true;
	return false;
}

static void expect_shown(const char *text)
{
	draw();
	if (shows(text))
		return;
	for (size_t i = 0; i < screen.lines.n; i++)
		print_message("%s\n", screen.lines.items[i].text);
	fail_msg("no \"%s\"", text);
}

static void expect_not_shown(const char *text)
{
	draw();
	if (shows(text))
		fail_msg("\"%s\"", text);
}

static void type(const char *keys)
{
	for (; *keys; keys++)
		assert_true(watch_view_key(&screen.view, *keys));
}

static void press(uint32_t key)
{
	assert_true(watch_view_key(&screen.view, key));
	draw();
}

#define TUNABLE "{\"name\": \"net.core.somaxconn\", \"initial\": \"128\", \"current\": \"%d\", \"changes\": %d}"

static void take(int id, int changes, const char *more)
{
	char text[1024];
	json_t *instance;

	snprintf(
		text, sizeof(text),
		"{\"id\": %d, \"name\": \"c%d\", \"runtime\": \"runc\", \"worker\": {\"state\": \"ready\"}, \"tunables\": [" TUNABLE
		"]%s}",
		id, id, 128 + changes, changes, more);
	instance = json_loads(text, 0, NULL);
	assert_non_null(instance);
	watch_view_instance(&screen.view, instance, NOW_S);
	json_decref(instance);
}

static void take_many(int n)
{
	for (int i = 1; i <= n; i++)
		take(i, 0, "");
	draw();
}

static json_t *record_of(int instance, const char *text)
{
	return json_pack("{s:i s:s s:s s:i s:s s:s s:s s:s s:s}", "instance", instance, "container", "c", "time",
			 "2026-11-28T01:59:50.000+00:00", "severity", 5, "tuner", "listen", "tunable",
			 "net.core.somaxconn", "from", "128", "to", "256", "text", text);
}

static void take_record(int instance, const char *text)
{
	json_t *records = json_pack("[o]", record_of(instance, text));

	watch_view_records(&screen.view, records, 0);
	watch_rows_record(&screen.view.rows, json_array_get(records, 0), false);
	json_decref(records);
}

static int selected(void)
{
	size_t place;
	const struct watch_row *row = watch_view_selected(&screen.view, &place);

	return row ? (int)row->id : 0;
}

/* --- pages -------------------------------------------------------------------------------------- */

static void expect_fit(size_t opened)
{
	static const int widths[] = { 1, 2, 7, 40, 80, 99, 100, 250 };

	for (size_t i = 0; i < ARRAY_SIZE(widths); i++)
		for (size_t height = 1; height < 60; height += height < 30 ? 1 : 7) {
			screen.lines.width = widths[i];
			screen.height = height;
			draw();
			if (screen.lines.n != height)
				fail_msg("%zu lines of %zu, opened: %zu", screen.lines.n, height, opened);
			for (size_t j = 0; j < height; j++)
				assert_true(u8_strwidth((const uint8_t *)screen.lines.items[j].text, "UTF-8") <=
					    widths[i]);
		}
}

/* Every line of a page is there, and none is wider than the terminal. */
static void test_any_size(void **state)
{
	(void)state;
	expect_fit(0);
	take_many(30);
	take(7, 3,
	     ", \"limits_met\": [{\"name\": \"TcpExtListenOverflows\", \"count\": 7, \"per_second\": 12.0, \"over_s\": 2.0}]");
	expect_fit(0);
	watch_view_open(&screen.view, 7);
	expect_fit(7);
	take(7, 3,
	     ", \"limits_met\": [{\"name\": \"TcpExtListenOverflows\", \"count\": 7, \"per_second\": 12.0, \"over_s\": 2.0}]");
	for (int i = 0; i < 40; i++)
		take_record(7,
			    "a queue of 128 connections was full; and so on, until this takes two lines of a terminal");
	expect_fit(7);
	for (int i = 0; i < 5; i++) {
		press(WATCH_KEY_PAGE_UP);
		expect_fit(7);
	}
}

static void test_table(void **state)
{
	json_t *status = json_pack("{s:s s:f s:b s:{s:i s:i}}", "version", "1.2", "uptime_s", 7300.0, "dry_run", 1,
				   "events", "received", 100, "lost", 3);

	(void)state;
	watch_view_status(&screen.view, status, NOW_S - 2);
	json_object_set_new(json_object_get(status, "events"), "received", json_integer(150));
	watch_view_status(&screen.view, status, NOW_S);
	json_decref(status);
	take(1, 0, "");
	take(2, 5, ", \"limits_met\": [{\"name\": \"TcpExtListenOverflows\", \"per_second\": 12.5, \"over_s\": 2.0}]");
	take_record(2, "a queue was full");
	expect_shown("bpftune 1.2, up 2h, dry run: 2 instances, 1 in trouble; 25.0 events/s, 3 lost");
	expect_shown("  ID NAME                     SUFFERS FROM                    RATE  CHG  AGO");
	assert_string_equal(screen.lines.items[2].text,
			    "   2 c2                       TcpExtListenOverflows         12.5/s    5  10s");
	assert_string_equal(screen.lines.items[3].text,
			    "   1 c1                       -                                       0    -");
	/* About the first. */
	expect_shown("c2: runc, worker ready, 5 changes");
	expect_shown("  net.core.somaxconn 128 -> 133");
	expect_shown("01:59:50 listen: net.core.somaxconn 128 -> 256 (): a queue was full");
	expect_not_shown("LAST CHANGE");
	screen.lines.width = 120;
	expect_shown("12.5/s    5  10s net.core.somaxconn 128 -> 133");
	/* No terminal: all of it. */
	screen.lines.width = INT_MAX;
	screen.height = 0;
	take_many(100);
	assert_int_equal(screen.lines.n, 102);
	expect_not_shown("quit");
}

static void test_opened(void **state)
{
	(void)state;
	take(2, 5, "");
	watch_view_open(&screen.view, 2);
	expect_shown("c2: id 2, worker ready");
	take(2, 5,
	     ", \"limits_met\": [{\"name\": \"A\", \"count\": 7, \"per_second\": 12.5, \"tuner\": \"listen\"}, {\"name\": \"B\", \"count\": 0},"
	     " {\"name\": \"C\", \"count\": 5, \"since\": \"now\"}], \"tuners\": [{\"name\": \"udp\", \"state\": \"manual\", \"why\": \"somebody\"},"
	     " {\"name\": \"frag\", \"state\": \"active\"}], \"learnt\": [{\"tuner\": \"tcp_init\", \"about\": \"10.0.0.1\", \"text\": \"fast\","
	     " \"in_effect\": true}, {\"tuner\": \"tcp_init\", \"about\": \"10.0.0.2\", \"text\": \"slow\", \"in_effect\": false}]");
	expect_shown("c2: id 2, runc, worker ready");
	expect_shown("tuner udp: manual: somebody");
	expect_shown("net.core.somaxconn 128 -> 133, 5 changes");
	expect_shown("A                                           7       12.5/s listen");
	expect_shown("tcp_init: 10.0.0.1: fast");
	expect_not_shown("frag");
	expect_not_shown("10.0.0.2");
	expect_not_shown("B  ");
	expect_not_shown("C  ");
	take_record(2, "a queue was full");
	take_record(3, "of another");
	expect_shown("01:59:50 listen: net.core.somaxconn 128 -> 256 (): a queue was full");
	expect_not_shown("of another");
	screen.view.opened.has_ended = true;
	expect_shown("c2: id 2, runc, it has ended");
	press(WATCH_KEY_ESCAPE);
	expect_shown("SUFFERS FROM");
}

/* The newest records are shown, until somebody scrolls back; the facts leave room for them. */
static void test_log(void **state)
{
	char text[32];

	(void)state;
	watch_view_open(&screen.view, 2);
	take(2, 5, ", \"limits_met\": null, \"limits_met_why\": \"its worker does not answer\"");
	for (int i = 0; i < WATCH_RECORDS + 10; i++) {
		snprintf(text, sizeof(text), "record %d.", i);
		take_record(2, text);
	}
	assert_int_equal(json_array_size(screen.view.opened.records), WATCH_RECORDS);
	expect_shown("limits met: not known: its worker does not answer");
	expect_shown("record 521.");
	press(WATCH_KEY_UP);
	expect_shown("scrolled back");
	expect_not_shown("record 521.");
	press(WATCH_KEY_HOME);
	expect_shown("record 10.");
	press(WATCH_KEY_DOWN);
	expect_not_shown("record 10.");
	press(WATCH_KEY_END);
	expect_shown("record 521.");
	watch_view_records(&screen.view, NULL, 7);
	expect_shown("7 records were missed");
	screen.height = 7;
	expect_shown("record 521.");
	expect_shown("and 2 lines more");
}

/* --- keys --------------------------------------------------------------------------------------- */

static void test_select(void **state)
{
	(void)state;
	draw();
	press(WATCH_KEY_DOWN);
	press(WATCH_KEY_ENTER);
	assert_int_equal(screen.view.opened.id, 0); /* there is none */
	take_many(30);
	assert_int_equal(selected(), 1);
	press(WATCH_KEY_UP);
	assert_int_equal(selected(), 1);
	press(WATCH_KEY_DOWN);
	type("jj");
	assert_int_equal(selected(), 4);
	type("k");
	assert_int_equal(selected(), 3);
	press(WATCH_KEY_PAGE_DOWN);
	assert_int_equal(selected(), 3 + (24 - 8 - 3) - 1);
	press(WATCH_KEY_PAGE_UP);
	assert_int_equal(selected(), 3);
	press(WATCH_KEY_END);
	assert_int_equal(selected(), 30);
	expect_shown("  30 c30");
	expect_not_shown("   3 c3");
	/* It stays selected when it goes up, and the page follows. */
	take(30, 1, ", \"worker\": {\"state\": \"backoff\"}");
	draw();
	assert_int_equal(selected(), 30);
	assert_int_equal(screen.view.top, 0);
	/* Whatever is first is, if the first was selected. */
	press(WATCH_KEY_DOWN);
	press(WATCH_KEY_HOME);
	take(29, 2, ", \"worker\": {\"state\": \"backoff\"}");
	draw();
	assert_int_equal(selected(), 29);
	press(WATCH_KEY_ENTER);
	assert_int_equal(screen.view.opened.id, 29);
	assert_false(watch_view_key(&screen.view, 'q'));
}

static void test_filter(void **state)
{
	(void)state;
	take_many(30);
	press('/');
	type("C2q"); /* which ends nothing */
	press(WATCH_KEY_ERASE);
	press(0xe9);
	press(WATCH_KEY_UP); /* no character */
	press('\t');
	assert_string_equal(screen.view.filter, "C2\xc3\xa9");
	press(WATCH_KEY_ERASE);
	expect_shown("filter: C2_");
	expect_shown("11 shown");
	for (int i = 0; i < 200; i++)
		press(0x6f22); /* of three bytes: no part of one stays */
	assert_int_equal(strlen(screen.view.filter), 2 + 3 * 20);
	for (int i = 0; i < 20; i++)
		press(WATCH_KEY_ERASE);
	press(WATCH_KEY_ENTER);
	expect_shown("/ filter: C2");
	expect_not_shown("  c1");
	press(WATCH_KEY_ESCAPE);
	expect_shown("   1 c1");
	press('/');
	press(WATCH_KEY_ERASE);
	type("x");
	expect_not_shown("   1 c1");
	press(WATCH_KEY_ESCAPE);
	expect_shown("   1 c1");
	assert_false(watch_view_key(&screen.view, 'q'));
}

static void test_sort(void **state)
{
	static const char *const orders[] = { "(trouble)", "(latest)", "(changes)", "(name)", "(trouble)" };

	(void)state;
	take_many(3);
	take(3, 7, "");
	for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
		expect_shown(orders[i]);
		press('s');
	}
	press('s');
	expect_shown("(changes)");
	assert_int_equal(selected(), 3);
	press('r');
	expect_shown("(reverse changes)");
	assert_int_equal(selected(), 2);
}

/* `bpftune watch CONTAINER` has no table to go back to. */
static void test_only(void **state)
{
	(void)state;
	watch_view_open(&screen.view, 2);
	screen.view.is_only = true;
	press(WATCH_KEY_ESCAPE);
	press(WATCH_KEY_ERASE);
	assert_int_equal(screen.view.opened.id, 2);
	expect_not_shown("Esc");
	assert_false(watch_view_key(&screen.view, 'q'));
}

static void take_listed(int id, int events)
{
	json_t *instance = json_pack("{s:i s:o s:{s:s s:i}}", "id", id, "name", json_sprintf("c%d", id), "worker", "state",
				     "ready", "events", events);

	watch_view_instance(&screen.view, instance, NOW_S);
	json_decref(instance);
}

/* Who had events is asked about first, twice, which makes a rate; then all have their turn. */
static void test_names_of_who_had_events(void **state)
{
	uint64_t ids[101];

	(void)state;
	take_many(99);
	take_listed(50, 3);
	take_listed(60, 1);
	draw();
	for (int i = 0; i < 2; i++) {
		assert_int_equal(watch_view_asked(&screen.view, ids), WATCH_AT_ONCE);
		assert_int_equal(ids[WATCH_ON_PAGE], 50);
		assert_int_equal(ids[WATCH_ON_PAGE + 1], 60);
		take(50, 0, ", \"limits_met\": []");
		take(60, 0, ", \"limits_met\": null"); /* its worker says nothing */
		take_listed(50, 3);
	}
	watch_view_asked(&screen.view, ids);
	assert_int_not_equal(ids[WATCH_ON_PAGE], 50);
	for (int id = 20; id < 60; id++)
		take_listed(id, 4);
	draw();
	assert_int_equal(watch_view_asked(&screen.view, ids), WATCH_AT_ONCE);
	assert_int_equal(ids[WATCH_ON_PAGE + WATCH_STIRRED - 1], 23);
	for (int i = WATCH_ON_PAGE + WATCH_STIRRED; i < WATCH_AT_ONCE; i++)
		assert_true(ids[i] < 20 || ids[i] > 59);
}

/* However many have events all the time, everybody is asked about; two looks at one that has are a round apart. */
static void test_nobody_starves(void **state)
{
	uint64_t ids[100];
	unsigned int asked[100] = { 0 }, last[100] = { 0 }, pairs = 0;

	(void)state;
	take_many(99);
	for (unsigned int round = 1; round <= 200; round++) {
		size_t n = watch_view_asked(&screen.view, ids);

		for (size_t i = 0; i < n; i++) {
			int id = (int)ids[i];

			pairs += id >= 50 && id < 80 && last[id] == round - 1;
			last[id] = round;
			asked[id]++;
			take(id, 0, ", \"limits_met\": [{\"name\": \"n\", \"count\": 7, \"per_second\": 0.0, \"over_s\": 2.0}]");
		}
		for (int id = 50; id < 80 && round % 3 == 0; id++)
			take_listed(id, (int)round);
		draw();
	}
	for (int id = 1; id < 100; id++)
		assert_in_range(asked[id], 5, 200);
	assert_in_range(pairs, 300, 800);
}

/* Without a rate of now another look is due, a single one. */
static void test_look_without_a_rate(void **state)
{
	static const char *const first[] = {
		", \"limits_met\": [{\"name\": \"n\", \"count\": 7, \"per_second\": null, \"over_s\": null}]",
		", \"limits_met\": [{\"name\": \"n\", \"count\": 7, \"per_second\": 3.0, \"over_s\": 330.0}]",
	};
	uint64_t ids[100];

	(void)state;
	take_many(99);
	for (int i = 0; i < 2; i++) {
		take(50, 0, first[i]);
		draw();
		watch_view_asked(&screen.view, ids);
		assert_int_equal(ids[WATCH_ON_PAGE], 50);
		take(50, 0, ", \"limits_met\": [{\"name\": \"n\", \"count\": 7, \"per_second\": 0.0, \"over_s\": 2.0}]");
		watch_view_asked(&screen.view, ids);
		assert_int_not_equal(ids[WATCH_ON_PAGE], 50);
	}
}

/* Those on the page are asked about in turn, more often than everybody else. */
static void test_names(void **state)
{
	uint64_t ids[101];
	unsigned int asked[101] = { 0 };
	size_t n;

	(void)state;
	assert_int_equal(watch_view_asked(&screen.view, ids), 0);
	take_many(100);
	press(WATCH_KEY_END);
	for (int i = 0; i < 15; i++) {
		n = watch_view_asked(&screen.view, ids);
		assert_int_equal(n, WATCH_AT_ONCE);
		for (size_t j = 0; j < n; j++)
			asked[ids[j]]++;
	}
	for (int id = 1; id <= 100; id++) /* 15 times 10 of 13, and 15 times 6 of the 87 others */
		assert_in_range(asked[id], id > 87 ? 11 : 1, id > 87 ? 12 : 2);
	/* A terminal without room for a row is not one that has room for all. */
	screen.height = 3;
	draw();
	assert_int_equal(watch_view_asked(&screen.view, ids), WATCH_AT_ONCE);
	/* On no terminal the page has all. */
	screen.height = 0;
	draw();
	assert_int_equal(watch_view_asked(&screen.view, ids), 100);
	watch_view_open(&screen.view, 7);
	assert_int_equal(watch_view_asked(&screen.view, ids), 1);
	assert_int_equal(ids[0], 7);
	screen.view.opened.has_ended = true;
	assert_int_equal(watch_view_asked(&screen.view, ids), 0);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_any_size), TEST(test_table), TEST(test_opened), TEST(test_log),   TEST(test_select),
		TEST(test_filter),   TEST(test_sort),  TEST(test_only),	  TEST(test_names),	TEST(test_names_of_who_had_events),	TEST(test_nobody_starves),	TEST(test_look_without_a_rate),
	};

	return cmocka_run_group_tests_name("watch_view", tests, NULL, NULL);
}
