/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A view that is drawn on a screen of any size, and what fills it. */
#ifndef BPFTUNE_TESTS_UNIT_FAKE_SCREEN_H
#define BPFTUNE_TESTS_UNIT_FAKE_SCREEN_H

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

static inline int set_up(void **state)
{
	(void)state;
	screen = (struct screen){ .lines = { .width = 80 }, .height = 24 };
	return 0;
}

static inline int tear_down(void **state)
{
	(void)state;
	watch_view_clear(&screen.view);
	watch_lines_cut(&screen.lines, 0);
	return 0;
}

static inline void draw(void)
{
	watch_view_lines(&screen.view, &screen.lines, screen.height, NOW_S);
}

static inline bool shows(const char *text)
{
	for (size_t i = 0; i < screen.lines.n; i++)
		if (strstr(screen.lines.items[i].text, text))
			return true;
	return false;
}

static inline void expect_shown(const char *text)
{
	draw();
	if (shows(text))
		return;
	for (size_t i = 0; i < screen.lines.n; i++)
		print_message("%s\n", screen.lines.items[i].text);
	fail_msg("no \"%s\"", text);
}

static inline void expect_not_shown(const char *text)
{
	draw();
	if (shows(text))
		fail_msg("\"%s\"", text);
}

static inline void type(const char *keys)
{
	for (; *keys; keys++)
		assert_true(watch_view_key(&screen.view, *keys));
}

static inline void press(uint32_t key)
{
	assert_true(watch_view_key(&screen.view, key));
	draw();
}

#define TUNABLE "{\"name\": \"net.core.somaxconn\", \"initial\": \"128\", \"current\": \"%d\", \"changes\": %d}"

static inline void take(int id, int changes, const char *more)
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

static inline void take_many(int n)
{
	for (int i = 1; i <= n; i++)
		take(i, 0, "");
	draw();
}

static inline json_t *record_of(int instance, const char *text)
{
	return json_pack("{s:i s:s s:s s:i s:s s:s s:s s:s s:s}", "instance", instance, "container", "c", "time",
			 "2026-11-28T01:59:50.000+00:00", "severity", 5, "tuner", "listen", "tunable",
			 "net.core.somaxconn", "from", "128", "to", "256", "text", text);
}

static inline void take_record(int instance, const char *text)
{
	json_t *records = json_pack("[o]", record_of(instance, text));

	watch_view_records(&screen.view, records, 0);
	watch_rows_record(&screen.view.rows, json_array_get(records, 0), false);
	json_decref(records);
}

static inline int selected(void)
{
	size_t place;
	const struct watch_row *row = watch_view_selected(&screen.view, &place);

	return row ? (int)row->id : 0;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

#endif
