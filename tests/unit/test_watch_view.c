// SPDX-License-Identifier: GPL-2.0-or-later
/* The pages of `bpftune watch`, on terminals of many sizes, and what keys do. */
#include "tests/unit/fake_screen.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_any_size),
		TEST(test_table),
		TEST(test_opened),
		TEST(test_log),
		TEST(test_select),
		TEST(test_filter),
		TEST(test_sort),
		TEST(test_only),
	};

	return cmocka_run_group_tests_name("watch_view", tests, NULL, NULL);
}
