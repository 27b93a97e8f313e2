// SPDX-License-Identifier: GPL-2.0-or-later
/* The table of all instances. */
#include <stdio.h>
#include <string.h>

#include "ipc/cleanup.h"
#include "supervisor/cli/ask.h"
#include "supervisor/cli/watch_view.h"

#define NAME_WIDTH 24
#define WIDTH_WITH_LAST 100 /* from that on there is a column for the latest change */
#define PANE_LINES 8	    /* about the row that is selected */
#define HEIGHT_WITH_PANE 18

/* "12s", "3m", "4h" or "5d". */
static const char *span(double seconds, char ret_text[16])
{
	static const struct {
		double least_s, of_s;
		const char *unit;
	} units[] = { { 86400, 86400, "d" }, { 3600, 3600, "h" }, { 60, 60, "m" }, { 0, 1, "s" } };
	size_t i = 0;

	while (i + 1 < ARRAY_SIZE(units) && seconds < units[i].least_s)
		i++;
	snprintf(ret_text, 16, "%.0f%s", seconds > 0 ? (double)(long long)(seconds / units[i].of_s) : 0, units[i].unit);
	return ret_text;
}

static void add_head(const struct watch_view *view, struct watch_lines *lines)
{
	const struct watch_head *head = &view->head;
	size_t n = HASH_COUNT(view->rows.by_id);
	char up[16], shown[32] = "";

	if (*view->filter)
		snprintf(shown, sizeof(shown), ", %zu shown", view->rows.n_shown);
	watch_lines_add(lines, WATCH_STRONG,
			"bpftune %s, up %s%s: %zu instance%s%s, %zu in trouble; %.1f events/s, %lld lost",
			head->version, span(head->up_s, up), head->is_dry_run ? ", dry run" : "", n, n == 1 ? "" : "s",
			shown, view->rows.n_in_trouble, head->events_per_s, (long long)head->lost);
}

enum {
	ID,
	NAME,
	TROUBLE,
	RATE,
	CHANGES,
	AGO,
	LAST,
	COLUMNS
};

static void add_row(struct watch_lines *lines, enum watch_style style, const char *const texts[COLUMNS])
{
	static const struct watch_cell columns[COLUMNS] = {
		[ID] = { .width = 4, .is_right = true },
		[NAME] = { .width = NAME_WIDTH },
		[TROUBLE] = { .width = 24 },
		[RATE] = { .width = 11, .is_right = true },
		[CHANGES] = { .width = 4, .is_right = true },
		[AGO] = { .width = 4, .is_right = true },
		[LAST] = { .width = 0 },
	};
	struct watch_cell cells[COLUMNS];

	memcpy(cells, columns, sizeof(cells));
	for (size_t i = 0; i < COLUMNS; i++)
		cells[i].text = texts[i];
	watch_lines_row(lines, style, cells, lines->width < WIDTH_WITH_LAST ? LAST : COLUMNS);
}

/* The tunable that was changed last: from its initial value to the current one. To be freed. */
static char *last_change(const struct watch_row *row)
{
	const char *name = row->last ? text_of(row->last, "tunable") : "";
	json_t *tunable, *found = NULL;
	char *text = NULL;
	size_t i;

	json_array_foreach (row->changed, i, tunable)
		if (!found || !strcmp(text_of(tunable, "name"), name))
			found = tunable;
	if (!found || asprintf(&text, "%s %s -> %s", text_of(found, "name"), text_of(found, "initial"),
			       text_of(found, "current")) < 0)
		return NULL;
	return text;
}

static void add_instance(struct watch_lines *lines, const struct watch_row *row, bool is_selected, double now_s)
{
	_cleanup_free_ char *last = last_change(row);
	char id[24], changes[24], ago[16] = "-";
	enum watch_style style = row->trouble.rank ? WATCH_STRONG : WATCH_PLAIN;
	const char *const texts[COLUMNS] = {
		[ID] = id,
		[NAME] = row->name,
		[TROUBLE] = row->trouble.rank ? row->trouble.what : "-",
		[RATE] = row->trouble.rate,
		[CHANGES] = changes,
		[AGO] = ago,
		[LAST] = last,
	};

	snprintf(id, sizeof(id), "%llu", (unsigned long long)row->id);
	snprintf(changes, sizeof(changes), "%lld", (long long)row->changes);
	if (row->last)
		span(now_s - row->last_s, ago);
	add_row(lines, is_selected ? WATCH_SELECTED : style, texts);
}

static void pad(struct watch_lines *lines, size_t n)
{
	while (lines->n < n) {
		size_t before = lines->n;

		watch_lines_add(lines, WATCH_PLAIN, "%s", "");
		if (lines->n == before)
			return; /* no memory */
	}
}

/* What the table has no room for, of one row: PANE_LINES. */
static void add_pane(struct watch_lines *lines, const struct watch_row *row)
{
	const size_t end = lines->n + PANE_LINES, most = 3;
	_cleanup_free_ char *last = NULL;
	json_t *tunable;
	size_t i;

	if (row) {
		watch_lines_add(lines, WATCH_STRONG, "%s: %s%sworker %s, %lld change%s", row->name ? row->name : "",
				row->runtime ? row->runtime : "", row->runtime && *row->runtime ? ", " : "",
				row->worker ? row->worker : "not known yet", (long long)row->changes,
				row->changes == 1 ? "" : "s");
		json_array_foreach (row->changed, i, tunable)
			if (i < most)
				watch_lines_add(lines, WATCH_PLAIN, "  %s %s -> %s", text_of(tunable, "name"),
						text_of(tunable, "initial"), text_of(tunable, "current"));
		if (json_array_size(row->changed) > most)
			watch_lines_add(lines, WATCH_PLAIN, "  and %zu more", json_array_size(row->changed) - most);
		last = row->last ? watch_record_text(row->last) : NULL;
		if (last)
			watch_lines_fold(lines, WATCH_PLAIN, 9, last);
	}
	watch_lines_cut(lines, lines->n > end ? end : lines->n);
	pad(lines, end);
}

static void add_foot(const struct watch_view *view, struct watch_lines *lines)
{
	if (view->is_typing)
		watch_lines_add(lines, WATCH_TITLE, "filter: %s_   (Enter: keep, Esc: no filter)", view->filter);
	else
		watch_lines_add(lines, WATCH_TITLE, "Enter open  / filter%s%s  s sort (%s%s)  r reverse  q quit",
				*view->filter ? ": " : "", view->filter, view->reversed ? "reverse " : "",
				watch_order_names[view->order]);
}

/* As little as it takes to have the row at that place on the page. */
static void scroll_to(struct watch_view *view, size_t place)
{
	size_t n = view->rows.n_shown;

	if (view->top + view->page > n)
		view->top = n > view->page ? n - view->page : 0;
	if (place < view->top)
		view->top = place;
	else if (view->page && place >= view->top + view->page)
		view->top = place + 1 - view->page;
}

void watch_table_lines(struct watch_view *view, struct watch_lines *lines, size_t height, double now_s)
{
	static const char *const titles[COLUMNS] = {
		"ID", "NAME", "SUFFERS FROM", "RATE", "CHG", "AGO", "LAST CHANGE"
	};
	const size_t pane = height >= HEIGHT_WITH_PANE ? PANE_LINES : 0;
	const struct watch_rows *rows = &view->rows;
	const struct watch_row *selected = NULL;
	size_t end, place = 0;

	watch_rows_arrange(&view->rows, view->order, view->reversed, view->filter, now_s);
	view->page = height > pane + 3 ? height - pane - 3 : height > 0; /* not all, in a terminal of three lines */
	view->top = height ? view->top : 0;
	if (height) {
		selected = watch_view_selected(view, &place);
		scroll_to(view, place);
	}
	add_head(view, lines);
	add_row(lines, WATCH_TITLE, titles);
	end = height && view->top + view->page < rows->n_shown ? view->top + view->page : rows->n_shown;
	for (size_t i = view->top; i < end; i++)
		add_instance(lines, rows->shown[i], rows->shown[i] == selected, now_s);
	if (!height)
		return;
	pad(lines, 2 + view->page);
	if (pane)
		add_pane(lines, selected);
	add_foot(view, lines);
}
