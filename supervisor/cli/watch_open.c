// SPDX-License-Identifier: GPL-2.0-or-later
/* One instance: what was changed there, the limits that it meets, and its log. */
#include <stdio.h>
#include <string.h>

#include "ipc/cleanup.h"
#include "supervisor/cli/ask.h"
#include "supervisor/cli/watch_view.h"

#define INDENT 4

/* --- what is known of it ------------------------------------------------------------------------ */

static void add_tuner(struct watch_lines *lines, json_t *tuner)
{
	_cleanup_free_ char *text = NULL;

	if (strcmp(text_of(tuner, "state"), "active") != 0 &&
	    asprintf(&text, "tuner %s: %s: %s", text_of(tuner, "name"), text_of(tuner, "state"),
		     text_of(tuner, "why")) >= 0)
		watch_lines_fold(lines, WATCH_PLAIN, INDENT, text);
}

static void add_tunable(struct watch_lines *lines, json_t *tunable)
{
	json_int_t changes = number_of(tunable, "changes");

	if (changes)
		watch_lines_add(lines, WATCH_PLAIN, "%s %s -> %s, %lld change%s", text_of(tunable, "name"),
				text_of(tunable, "initial"), text_of(tunable, "current"), (long long)changes,
				changes == 1 ? "" : "s");
}

static void add_limit(struct watch_lines *lines, json_t *limit)
{
	double per_second = json_number_value(json_object_get(limit, "per_second"));
	char count[32], now[32] = "";
	const struct watch_cell cells[] = {
		{ .text = text_of(limit, "name"), .width = 32 },
		{ .text = count, .width = 12, .is_right = true },
		{ .text = now, .width = 12, .is_right = true },
		{ .text = text_of(limit, "tuner") },
	};

	if (!number_of(limit, "count") || !strcmp(text_of(limit, "since"), "now"))
		return;
	snprintf(count, sizeof(count), "%lld", (long long)number_of(limit, "count"));
	if (per_second > 0)
		snprintf(now, sizeof(now), "%.1f/s", per_second);
	watch_lines_row(lines, per_second > 0 ? WATCH_STRONG : WATCH_PLAIN, cells, ARRAY_SIZE(cells));
}

static void add_learnt(struct watch_lines *lines, json_t *learnt)
{
	_cleanup_free_ char *text = NULL;

	if (json_is_true(json_object_get(learnt, "in_effect")) &&
	    asprintf(&text, "%s: %s: %s", text_of(learnt, "tuner"), text_of(learnt, "about"),
		     text_of(learnt, "text")) >= 0)
		watch_lines_fold(lines, WATCH_PLAIN, INDENT, text);
}

/* A title, and a line or more for each item that there is something to tell of; none: no title. */
static void add_part(struct watch_lines *lines, const char *title, json_t *items,
		     void (*add)(struct watch_lines *lines, json_t *item))
{
	size_t before = lines->n, i;
	json_t *item;

	watch_lines_add(lines, WATCH_DIM, "%s", title);
	json_array_foreach (items, i, item)
		add(lines, item);
	if (lines->n == before + 1)
		watch_lines_cut(lines, before);
}

static void add_facts(const struct watch_opened *opened, struct watch_lines *lines)
{
	json_t *instance = opened->instance;
	const char *why = text_of(instance, "limits_met_why");

	if (!instance)
		return;
	add_part(lines, "TUNERS THAT ARE NOT ACTIVE", json_object_get(instance, "tuners"), add_tuner);
	add_part(lines, "TUNABLES, INITIAL -> CURRENT", json_object_get(instance, "tunables"), add_tunable);
	add_part(lines, "LIMITS MET, IN ALL AND NOW", json_object_get(instance, "limits_met"), add_limit);
	if (*why)
		watch_lines_add(lines, WATCH_PLAIN, "limits met: not known: %s", why);
	add_part(lines, "DECISIONS IN EFFECT", json_object_get(instance, "learnt"), add_learnt);
}

/* --- the page ----------------------------------------------------------------------------------- */

static void add_records(const struct watch_opened *opened, struct watch_lines *lines)
{
	json_t *record;
	size_t i;

	json_array_foreach (opened->records, i, record) {
		_cleanup_free_ char *text = watch_record_text(record);

		if (text)
			watch_lines_fold(lines, *text_of(record, "tunable") ? WATCH_PLAIN : WATCH_DIM, 9, text);
	}
}

static void add_title(const struct watch_view *view, struct watch_lines *lines)
{
	const struct watch_row *row = watch_rows_find(&view->rows, view->opened.id);
	json_t *instance = view->opened.instance;
	const char *name = row && row->name ? row->name : text_of(instance, "name");
	const char *runtime = text_of(instance, "runtime");

	watch_lines_add(lines, WATCH_TITLE, "%s: id %llu%s%s, %s%s", name, (unsigned long long)view->opened.id,
			*runtime ? ", " : "", runtime, view->opened.has_ended ? "it has ended" : "worker ",
			view->opened.has_ended ? ""
			: row && row->worker   ? row->worker
					       : "not known yet");
}

static void add_log_title(const struct watch_opened *opened, struct watch_lines *lines)
{
	char missed[64] = "";

	if (opened->missed)
		snprintf(missed, sizeof(missed), "; %lld records were missed", (long long)opened->missed);
	watch_lines_add(lines, WATCH_DIM, "LOG%s%s", opened->back ? ", scrolled back (End: the newest)" : "", missed);
}

/* The facts get half of the page, or what the log leaves of it. */
static void add_both(struct watch_view *view, struct watch_lines *lines, size_t room, struct watch_lines *facts,
		     struct watch_lines *log)
{
	struct watch_opened *opened = &view->opened;
	size_t half = room / 2, for_facts = log->n + 1 < room - half ? room - log->n - 1 : half, for_log;

	if (facts->n > for_facts && for_facts) {
		watch_lines_move(lines, facts, 0, for_facts - 1);
		watch_lines_add(lines, WATCH_DIM, "and %zu lines more, which 'bpftune status' shows",
				facts->n - for_facts + 1);
	} else {
		watch_lines_move(lines, facts, 0, for_facts);
		for_facts = facts->n;
	}
	for_log = room > for_facts + 1 ? room - for_facts - 1 : 0;
	view->page = for_log;
	if (opened->back + for_log > log->n)
		opened->back = log->n > for_log ? log->n - for_log : 0;
	add_log_title(opened, lines);
	watch_lines_move(lines, log, log->n - opened->back > for_log ? log->n - opened->back - for_log : 0, for_log);
}

void watch_open_lines(struct watch_view *view, struct watch_lines *lines, size_t height)
{
	struct watch_lines facts = { .width = lines->width }, log = { .width = lines->width };

	add_facts(&view->opened, &facts);
	add_records(&view->opened, &log);
	add_title(view, lines);
	add_both(view, lines, height ? (height > 2 ? height - 2 : 0) : facts.n + log.n + 1, &facts, &log);
	while (lines->n + 1 < height) {
		size_t before = lines->n;

		watch_lines_add(lines, WATCH_PLAIN, "%s", "");
		if (lines->n == before)
			break; /* no memory */
	}
	if (height)
		watch_lines_add(lines, WATCH_TITLE, "Up/Down scroll the log  End newest  %sq quit",
				view->is_only ? "" : "Esc back  ");
	watch_lines_cut(&facts, 0);
	watch_lines_cut(&log, 0);
}
