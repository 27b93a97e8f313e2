// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/cli/watch_view.h"

#include <stdio.h>
#include <string.h>
#include <unistr.h>

#include "supervisor/cli/ask.h"

/* --- what the supervisor tells ------------------------------------------------------------------ */

void watch_view_status(struct watch_view *view, json_t *status, double now_s)
{
	json_t *events = json_object_get(status, "events");
	json_int_t received = number_of(events, "received");
	struct watch_head *head = &view->head;

	if (head->told_s > 0 && now_s > head->told_s && received >= head->received)
		head->events_per_s = (double)(received - head->received) / (now_s - head->told_s);
	head->told_s = now_s;
	head->received = received;
	head->lost = number_of(events, "lost");
	head->up_s = json_number_value(json_object_get(status, "uptime_s"));
	head->is_dry_run = json_is_true(json_object_get(status, "dry_run"));
	snprintf(head->version, sizeof(head->version), "%s", text_of(status, "version"));
}

void watch_view_instance(struct watch_view *view, json_t *instance, double now_s)
{
	struct watch_opened *opened = &view->opened;

	watch_rows_take(&view->rows, instance, now_s);
	/* A listing does not tell the limits. */
	if (opened->id != (uint64_t)number_of(instance, "id") || !json_object_get(instance, "limits_met"))
		return;
	json_decref(opened->instance);
	opened->instance = json_incref(instance);
}

void watch_view_records(struct watch_view *view, json_t *records, json_int_t missed)
{
	struct watch_opened *opened = &view->opened;
	json_t *record;
	size_t i;

	if (!opened->records)
		opened->records = json_array();
	opened->missed += missed;
	/* A name may have gone to another container since. */
	json_array_foreach (records, i, record)
		if ((uint64_t)number_of(record, "instance") == opened->id)
			json_array_append(opened->records, record);
	while (json_array_size(opened->records) > WATCH_RECORDS)
		json_array_remove(opened->records, 0);
}

/* --- keys --------------------------------------------------------------------------------------- */

static void close_opened(struct watch_view *view)
{
	json_decref(view->opened.instance);
	json_decref(view->opened.records);
	view->opened = (struct watch_opened){ 0 };
}

void watch_view_open(struct watch_view *view, uint64_t id)
{
	close_opened(view);
	view->opened.id = id;
}

static void type_filter(struct watch_view *view, uint32_t key)
{
	size_t n = strlen(view->filter);
	uint8_t bytes[6];
	int taken;

	switch (key) {
	case WATCH_KEY_ESCAPE:
		view->filter[0] = '\0';
		view->is_typing = false;
		break;
	case WATCH_KEY_ENTER:
		view->is_typing = false;
		break;
	case WATCH_KEY_ERASE:
		while (n && ((unsigned char)view->filter[--n] & 0xc0) == 0x80) /* UTF-8: what follows the first byte */
			;
		view->filter[n] = '\0';
		break;
	default:
		taken = key < ' ' || key == 0x7f ? 0 : u8_uctomb(bytes, key, sizeof(bytes));
		if (taken > 0 && n + taken < sizeof(view->filter)) {
			memcpy(view->filter + n, bytes, taken);
			view->filter[n + taken] = '\0';
		}
	}
}

const struct watch_row *watch_view_selected(const struct watch_view *view, size_t *ret_place)
{
	const struct watch_rows *rows = &view->rows;
	size_t i = 0;

	while (view->selected && i < rows->n_shown && rows->shown[i]->id != view->selected)
		i++;
	*ret_place = i < rows->n_shown ? i : 0; /* the one that was selected has ended, or is filtered out */
	return rows->n_shown ? rows->shown[*ret_place] : NULL;
}

/* By so many rows, as far as there are rows. */
static void move(struct watch_view *view, long by)
{
	const struct watch_rows *rows = &view->rows;
	size_t i, last = rows->n_shown ? rows->n_shown - 1 : 0;

	watch_view_selected(view, &i);
	if (by < 0)
		i = (size_t)-by > i ? 0 : i + by;
	else
		i = (size_t)by > last - i ? last : i + by;
	view->selected = i ? rows->shown[i]->id : 0;
}

static void scroll(struct watch_view *view, long by)
{
	size_t *back = &view->opened.back;

	*back = by < 0 && (size_t)-by > *back ? 0 : *back + by;
}

#define FAR 1000000 /* further than any table is long */

/* Upwards is to the rows before, or further back in the log. */
static bool move_by_key(struct watch_view *view, uint32_t key)
{
	const long page = view->page > 1 ? (long)view->page - 1 : 1;
	const struct {
		uint32_t key;
		long up;
	} ways[] = {
		{ WATCH_KEY_UP, 1 },	     { 'k', 1 },
		{ WATCH_KEY_DOWN, -1 },	     { 'j', -1 },
		{ WATCH_KEY_PAGE_UP, page }, { WATCH_KEY_PAGE_DOWN, -page },
		{ WATCH_KEY_HOME, FAR },     { WATCH_KEY_END, -FAR },
	};

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		if (ways[i].key != key)
			continue;
		if (view->opened.id)
			scroll(view, ways[i].up);
		else
			move(view, -ways[i].up);
		return true;
	}
	return false;
}

static void key_of_table(struct watch_view *view, uint32_t key)
{
	const struct watch_row *row;
	size_t place;

	switch (key) {
	case WATCH_KEY_ENTER:
		row = watch_view_selected(view, &place);
		if (row)
			watch_view_open(view, row->id);
		break;
	case WATCH_KEY_ESCAPE:
		view->filter[0] = '\0';
		break;
	case '/':
		view->is_typing = true;
		break;
	case 's':
		view->order = (view->order + 1) % WATCH_ORDERS;
		break;
	case 'r':
		view->reversed = !view->reversed;
		break;
	}
}

bool watch_view_key(struct watch_view *view, uint32_t key)
{
	if (view->is_typing)
		type_filter(view, key);
	else if (key == 'q' || key == 'Q')
		return false;
	else if (move_by_key(view, key))
		return true;
	else if (!view->opened.id)
		key_of_table(view, key);
	else if ((key == WATCH_KEY_ESCAPE || key == WATCH_KEY_ERASE) && !view->is_only)
		close_opened(view);
	return true;
}

/* --- what is to be asked ------------------------------------------------------------------------ */

/* The place of a row that is not on the page: behind it, and around the end before it. */
static size_t place_of_other(const struct watch_view *view, size_t on_page, size_t other)
{
	return (view->top + on_page + other) % view->rows.n_shown;
}

static size_t add_page(struct watch_view *view, size_t on_page, size_t n_max, uint64_t *ids)
{
	size_t n = on_page < n_max ? on_page : n_max;

	for (size_t i = 0; i < n; i++, view->page_turn++)
		ids[i] = view->rows.shown[view->top + view->page_turn % on_page]->id;
	return n;
}

/* In turn, but none makes room for the next before it was looked at as often as is due. */
static size_t add_stirred(struct watch_view *view, size_t on_page, uint64_t *ids)
{
	size_t n = 0, others = view->rows.n_shown - on_page, done = 0;
	bool is_done = true;

	for (size_t i = 0; i < others && n < WATCH_STIRRED; i++) {
		const struct watch_row *row =
			view->rows.shown[place_of_other(view, on_page, (view->stirred_turn + i) % others)];

		if (!row->looks_due)
			continue;
		ids[n++] = row->id;
		is_done = is_done && row->looks_due == 1;
		done = is_done ? i + 1 : done;
	}
	view->stirred_turn += done;
	return n;
}

/* Those who had events, and all in turn. */
static size_t add_others(struct watch_view *view, size_t on_page, size_t n_max, uint64_t *ids)
{
	size_t n = add_stirred(view, on_page, ids), others = view->rows.n_shown - on_page;

	for (size_t i = 0; i < others && n < n_max; i++, view->turn++) {
		const struct watch_row *row = view->rows.shown[place_of_other(view, on_page, view->turn % others)];

		if (!row->looks_due)
			ids[n++] = row->id;
	}
	return n;
}

size_t watch_view_asked(struct watch_view *view, uint64_t *ids)
{
	const struct watch_rows *rows = &view->rows;
	size_t n, on_page = rows->n_shown > view->top ? rows->n_shown - view->top : 0;

	if (view->opened.id) {
		ids[0] = view->opened.id;
		return !view->opened.has_ended;
	}
	if (!view->page)
		return add_page(view, on_page, on_page, ids);
	on_page = on_page < view->page ? on_page : view->page;
	n = add_page(view, on_page, WATCH_ON_PAGE, ids);
	return n + add_others(view, on_page, WATCH_AT_ONCE - n, ids + n);
}

/* --- the page ----------------------------------------------------------------------------------- */

/* "2026-11-28T01:23:41.230+00:00": the time of day. */
static const char *time_of_day(const char *time)
{
	return strlen(time) >= 19 ? time + 11 : "";
}

char *watch_record_text(json_t *record)
{
	const char *colon = *text_of(record, "tuner") ? ": " : "";
	char *text = NULL;
	int n;

	if (*text_of(record, "tunable"))
		n = asprintf(&text, "%.8s %s%s%s %s -> %s (%s): %s", time_of_day(text_of(record, "time")),
			     text_of(record, "tuner"), colon, text_of(record, "tunable"), text_of(record, "from"),
			     text_of(record, "to"), text_of(record, "scenario"), text_of(record, "text"));
	else
		n = asprintf(&text, "%.8s %s%s%s", time_of_day(text_of(record, "time")), text_of(record, "tuner"),
			     colon, text_of(record, "text"));
	return n < 0 ? NULL : text;
}

void watch_view_lines(struct watch_view *view, struct watch_lines *lines, size_t height, double now_s)
{
	watch_lines_cut(lines, 0);
	if (view->opened.id)
		watch_open_lines(view, lines, height);
	else
		watch_table_lines(view, lines, height, now_s);
	if (height)
		watch_lines_cut(lines, height);
}

void watch_view_clear(struct watch_view *view)
{
	watch_rows_clear(&view->rows);
	close_opened(view);
}
