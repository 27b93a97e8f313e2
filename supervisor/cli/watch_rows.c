// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/cli/watch_rows.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "ipc/cleanup.h"
#include "supervisor/cli/ask.h"
#include "supervisor/cli/figure.h"
#include "supervisor/cli/report.h"

const char *const watch_order_names[WATCH_ORDERS] = {
	[WATCH_BY_TROUBLE] = "trouble",
	[WATCH_BY_LATEST] = "latest",
	[WATCH_BY_CHANGES] = "changes",
	[WATCH_BY_NAME] = "name",
};

struct watch_row *watch_rows_find(const struct watch_rows *rows, uint64_t id)
{
	struct watch_row *row;

	HASH_FIND(hh, rows->by_id, &id, sizeof(id), row);
	return row;
}

static void forget(struct watch_rows *rows, struct watch_row *row)
{
	HASH_DEL(rows->by_id, row);
	rows->n_shown = 0; /* it may be among them */
	free(row->name);
	free(row->runtime);
	free(row->worker);
	json_decref(row->changed);
	json_decref(row->last);
	free(row);
}

/* NULL: no memory. */
static struct watch_row *get(struct watch_rows *rows, uint64_t id)
{
	struct watch_row *row = watch_rows_find(rows, id);

	if (row)
		return row;
	row = calloc(1, sizeof(*row));
	if (!row)
		return NULL;
	row->id = id;
	row->listing = rows->listing;
	row->changed = json_array();
	HASH_ADD(hh, rows->by_id, id, sizeof(row->id), row);
	return row;
}

static void replace(char **text, const char *with)
{
	if (*text && !strcmp(*text, with))
		return;
	free(*text);
	*text = strdup(with);
}

/* --- what the supervisor tells ------------------------------------------------------------------ */

void watch_rows_begin(struct watch_rows *rows)
{
	rows->listing++;
}

void watch_rows_end(struct watch_rows *rows)
{
	struct watch_row *row, *next;

	HASH_ITER (hh, rows->by_id, row, next)
		if (row->listing != rows->listing)
			forget(rows, row);
}

void watch_rows_forget(struct watch_rows *rows, uint64_t id)
{
	struct watch_row *row = watch_rows_find(rows, id);

	if (row)
		forget(rows, row);
}

static void take_tunables(struct watch_row *row, json_t *tunables)
{
	json_t *tunable;
	size_t i;

	row->changes = 0;
	json_array_clear(row->changed);
	json_array_foreach (tunables, i, tunable) {
		row->changes += number_of(tunable, "changes");
		if (number_of(tunable, "changes"))
			json_array_append(row->changed, tunable);
	}
}

/* The one that is met most often. A rate over more than a minute says little of now: then another look is due. */
static void take_limits(struct watch_row *row, json_t *limits, double now_s)
{
	bool has_rate = false;
	json_t *limit;
	size_t i;

	if (!json_is_array(limits))
		return; /* nobody has asked, or the worker does not answer */
	row->limit[0] = '\0';
	row->limit_rate = 0;
	row->limit_s = now_s;
	json_array_foreach (limits, i, limit) {
		double rate = json_number_value(json_object_get(limit, "per_second"));
		double over_s = json_number_value(json_object_get(limit, "over_s"));

		has_rate |= over_s > 0 && over_s <= WATCH_RECENT_S;
		if (rate <= row->limit_rate || over_s > WATCH_RECENT_S)
			continue;
		row->limit_rate = rate;
		snprintf(row->limit, sizeof(row->limit), "%s", text_of(limit, "name"));
	}
	if (i && !has_rate && !row->looks_due)
		row->looks_due = 1;
}

/* Of a listing. Who meets a limit mostly makes events. */
static void take_events(struct watch_row *row, json_int_t events)
{
	if (events > row->events)
		row->looks_due = 2;
	row->events = events;
}

void watch_rows_take(struct watch_rows *rows, json_t *instance, double now_s)
{
	struct watch_row *row = get(rows, number_of(instance, "id"));

	if (!row)
		return;
	row->listing = rows->listing;
	replace(&row->name, text_of(instance, "name"));
	replace(&row->runtime, text_of(instance, "runtime"));
	replace(&row->worker, text_of(json_object_get(instance, "worker"), "state"));
	take_tunables(row, json_object_get(instance, "tunables"));
	if (!json_object_get(instance, "limits_met"))
		take_events(row, number_of(json_object_get(instance, "worker"), "events"));
	else if (row->looks_due)
		row->looks_due--;
	take_limits(row, json_object_get(instance, "limits_met"), now_s);
}

/* Until the next listing tells it, too. */
static void take_change(struct watch_row *row, json_t *record)
{
	json_t *tunable;
	size_t i;

	row->changes++;
	json_array_foreach (row->changed, i, tunable) {
		if (strcmp(text_of(tunable, "name"), text_of(record, "tunable")) != 0)
			continue;
		/* It may be shared with whoever has the listing. */
		tunable = json_copy(tunable);
		json_object_set_new(tunable, "changes", json_integer(number_of(tunable, "changes") + 1));
		json_object_set(tunable, "current", json_object_get(record, "to"));
		json_array_set_new(row->changed, i, tunable);
		return;
	}
	json_array_append_new(row->changed,
			      json_pack("{s:s s:s s:s s:i}", "name", text_of(record, "tunable"), "initial",
					text_of(record, "from"), "current", text_of(record, "to"), "changes", 1));
}

void watch_rows_record(struct watch_rows *rows, json_t *record, bool live)
{
	uint64_t id = number_of(record, "instance");
	struct watch_row *row = live && id ? get(rows, id) : watch_rows_find(rows, id);
	double time_s;

	if (!row)
		return;
	if (!row->name)
		replace(&row->name, text_of(record, "container"));
	if (number_of(record, "severity") > LOG_NOTICE || !report_time(record, &time_s))
		return;
	if (live && *text_of(record, "tunable"))
		take_change(row, record);
	json_decref(row->last);
	row->last = json_incref(record);
	row->last_s = time_s;
}

/* --- what a container suffers from -------------------------------------------------------------- */

enum {
	RANK_TOLD = 1,
	RANK_MET,
	RANK_NO_WORKER = 1000
};

static void print_figure(const struct figure *figure, char *ret_text, size_t size)
{
	if (!strcmp(figure->name, "Mbit/s"))
		snprintf(ret_text, size, "%.*f Mbit/s", figure->value < 100, figure->value);
	else
		snprintf(ret_text, size, "%.*f per 100", figure->value < 10, figure->value);
}

/* Of rates that differ by less than a factor of two none is before the other: rows do not change places all the time.
 */
static struct watch_trouble trouble_of(const struct watch_row *row, double now_s)
{
	struct watch_trouble trouble = { 0 };
	struct figure figure;

	if (row->worker && !strcmp(row->worker, "backoff")) {
		trouble.rank = RANK_NO_WORKER;
		snprintf(trouble.what, sizeof(trouble.what), "its worker died");
	} else if (row->limit_rate > 0 && now_s - row->limit_s <= WATCH_RECENT_S) {
		trouble.rank = RANK_MET + (int)log2(1 + row->limit_rate);
		snprintf(trouble.what, sizeof(trouble.what), "%s", row->limit);
		snprintf(trouble.rate, sizeof(trouble.rate), "%.*f/s", row->limit_rate < 100, row->limit_rate);
	} else if (row->last && now_s - row->last_s <= WATCH_RECENT_S && *text_of(row->last, "scenario") &&
		   strcmp(text_of(row->last, "scenario"), "rollback") != 0) {
		trouble.rank = RANK_TOLD;
		snprintf(trouble.what, sizeof(trouble.what), "%s", text_of(row->last, "scenario"));
		if (figure_of_reason(text_of(row->last, "text"), &figure))
			print_figure(&figure, trouble.rate, sizeof(trouble.rate));
	}
	return trouble;
}

/* --- order and filter --------------------------------------------------------------------------- */

static const struct watch_row *row_at(const void *at)
{
	return *(struct watch_row *const *)at;
}

static int by_id(const void *a, const void *b)
{
	return row_at(a)->id < row_at(b)->id ? -1 : row_at(a)->id > row_at(b)->id;
}

static int by_name(const void *a, const void *b)
{
	const char *x = row_at(a)->name, *y = row_at(b)->name;
	int order = strcmp(x ? x : "", y ? y : "");

	return order ? order : by_id(a, b);
}

static int by_changes(const void *a, const void *b)
{
	json_int_t x = row_at(a)->changes, y = row_at(b)->changes;

	return x != y ? (x > y ? -1 : 1) : by_id(a, b);
}

static int by_latest(const void *a, const void *b)
{
	double x = row_at(a)->last_s, y = row_at(b)->last_s;

	return x != y ? (x > y ? -1 : 1) : by_changes(a, b);
}

static int by_trouble(const void *a, const void *b)
{
	int x = row_at(a)->trouble.rank, y = row_at(b)->trouble.rank;

	return x != y ? y - x : by_latest(a, b);
}

static int (*const compare[WATCH_ORDERS])(const void *a, const void *b) = {
	[WATCH_BY_TROUBLE] = by_trouble,
	[WATCH_BY_LATEST] = by_latest,
	[WATCH_BY_CHANGES] = by_changes,
	[WATCH_BY_NAME] = by_name,
};

static bool has(const char *text, const char *part)
{
	return text && strcasestr(text, part);
}

static bool make_room(struct watch_rows *rows)
{
	size_t n = HASH_COUNT(rows->by_id);
	struct watch_row **shown;

	if (n <= rows->capacity)
		return true;
	shown = reallocarray(rows->shown, 2 * n, sizeof(struct watch_row *));
	if (!shown)
		return false;
	rows->shown = shown;
	rows->capacity = 2 * n;
	return true;
}

void watch_rows_arrange(struct watch_rows *rows, enum watch_order order, bool reversed, const char *filter,
			double now_s)
{
	struct watch_row *row, *next;

	rows->n_shown = rows->n_in_trouble = 0;
	if (!make_room(rows))
		return;
	HASH_ITER (hh, rows->by_id, row, next) {
		row->trouble = trouble_of(row, now_s);
		rows->n_in_trouble += row->trouble.rank > 0;
		if (!*filter || has(row->name, filter) || has(row->runtime, filter) || has(row->trouble.what, filter))
			rows->shown[rows->n_shown++] = row;
	}
	if (rows->n_shown)
		qsort(rows->shown, rows->n_shown, sizeof(struct watch_row *), compare[order]);
	for (size_t i = 0; reversed && i < rows->n_shown / 2; i++) {
		row = rows->shown[i];
		rows->shown[i] = rows->shown[rows->n_shown - 1 - i];
		rows->shown[rows->n_shown - 1 - i] = row;
	}
}

void watch_rows_clear(struct watch_rows *rows)
{
	struct watch_row *row, *next;

	HASH_ITER (hh, rows->by_id, row, next)
		forget(rows, row);
	free(rows->shown);
	*rows = (struct watch_rows){ 0 };
}
