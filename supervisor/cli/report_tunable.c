// SPDX-License-Identifier: GPL-2.0-or-later
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ipc/cleanup.h"
#include "supervisor/cli/ask.h"
#include "supervisor/cli/figure.h"
#include "supervisor/cli/html.h"
#include "supervisor/cli/plot.h"
#include "supervisor/cli/report.h"

#define PLACES_MAX 4	 /* numbers of one value; tcp_mem has three */
#define BEFORE_MIN_S 2.0 /* before the first change: an axis has ticks at whole seconds */
#define SPAN_MIN_S 10.0	 /* of a plot's time */

/* The changes of one tunable, oldest first. */
struct history {
	const struct page *page;
	const char *name;
	json_t *tunable; /* NULL: the host's */
	json_t **changes;
	size_t n;
	double first_s, last_s; /* of the changes */
	double from_s, to_s;	/* of the plots */
};

bool report_time(json_t *record, double *ret_s)
{
	const char *text = text_of(record, "time"), *rest;
	double fraction = 0;
	struct tm tm = { 0 };
	char *end = NULL;
	long offset_s;

	rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	if (!rest)
		return false;
	if (*rest == '.') {
		fraction = strtod(rest, &end);
		rest = end;
	}
	if (!(fraction < 1) || !strptime(rest, "%z", &tm))
		return false;
	offset_s = tm.tm_gmtoff; /* which timegm() sets to 0 */
	*ret_s = (double)(timegm(&tm) - offset_s) + fraction;
	return true;
}

/* --- plots -------------------------------------------------------------------------------------- */

/* The points of the number at that place of the value. How many; 0: it never differs, or is no number. */
static size_t limit_points(const struct history *history, unsigned int place, struct plot_point *points)
{
	bool differs = false;
	double number;
	size_t n = 0;

	if (!figure_of_value(text_of(history->changes[0], "from"), place, &number))
		return 0;
	points[n++] = (struct plot_point){ .at_s = history->from_s, .value = number };
	for (size_t i = 0; i < history->n; i++) {
		struct plot_point *point = &points[n];

		*point = (struct plot_point){ 0 };
		report_time(history->changes[i], &point->at_s);
		if (!figure_of_value(text_of(history->changes[i], "to"), place, &point->value))
			return 0;
		point->is_marked = point->value != points[n - 1].value;
		differs |= point->is_marked;
		n++;
	}
	points[n] = points[n - 1];
	points[n].at_s = history->to_s;
	points[n++].is_marked = false;
	return differs ? n : 0;
}

static bool plot_limit(const struct history *history, struct plot_point *points)
{
	struct plot_line lines[PLACES_MAX];
	size_t n_lines = 0, capacity = history->n + 2;

	for (unsigned int place = 0; place < PLACES_MAX; place++) {
		struct plot_point *of_line = points + n_lines * capacity;
		size_t n = limit_points(history, place, of_line);

		if (n)
			lines[n_lines++] = (struct plot_line){ .points = of_line, .n = n };
	}
	if (!n_lines)
		return false;
	fprintf(history->page->out, "<figure><figcaption>the limit</figcaption>\n");
	plot_svg(history->page->out, &(struct plot){ .name = history->name,
						     .from_s = history->from_s,
						     .to_s = history->to_s,
						     .utc_offset_s = history->page->utc_offset_s,
						     .is_steps = true,
						     .lines = lines,
						     .n_lines = n_lines });
	fprintf(history->page->out, "</figure>\n");
	return true;
}

/* What each change's reason says was measured; as far as it is the same measure as the first. */
static bool plot_measure(const struct history *history, struct plot_point *points)
{
	struct figure figure, first = { 0 };
	struct plot_line line = { .points = points };
	FILE *out = history->page->out;

	for (size_t i = 0; i < history->n; i++) {
		if (!figure_of_reason(text_of(history->changes[i], "text"), &figure))
			continue;
		if (!line.n)
			first = figure;
		if (strcmp(figure.name, first.name) != 0)
			continue;
		points[line.n] = (struct plot_point){ .value = figure.value, .is_marked = true };
		report_time(history->changes[i], &points[line.n++].at_s);
	}
	if (!line.n)
		return false;
	fprintf(out, "<figure class=\"measure\"><figcaption>");
	html_text(out, first.name);
	fprintf(out, ", as measured before each change</figcaption>\n");
	plot_svg(out, &(struct plot){ .name = first.name,
				      .from_s = history->from_s,
				      .to_s = history->to_s,
				      .utc_offset_s = history->page->utc_offset_s,
				      .lines = &line,
				      .n_lines = 1 });
	fprintf(out, "</figure>\n");
	return true;
}

static void put_plots(const struct history *history)
{
	struct plot_point *points = calloc(PLACES_MAX * (history->n + 2), sizeof(*points));
	bool is_plotted = points && plot_limit(history, points);

	if (!is_plotted)
		fprintf(history->page->out,
			"<p class=\"note\">No plot: its values are no numbers, or did not change.</p>\n");
	if (!points || !plot_measure(history, points))
		fprintf(history->page->out,
			"<p class=\"note\">No plot of what it brought: the reasons of these changes name no rate, and no trouble "
			"per work.</p>\n");
	free(points);
}

/* --- what is known ------------------------------------------------------------------------------ */

static void put_time(const struct page *page, double at_s)
{
	time_t seconds = (time_t)floor(at_s) + page->utc_offset_s;
	struct tm tm;
	char text[40];

	if (gmtime_r(&seconds, &tm) && strftime(text, sizeof(text), "%b %d %H:%M:%S", &tm))
		fputs(text, page->out);
}

/* Where the plots end before now, or the log does not have all. */
static void put_what_is_not_known(const struct history *h)
{
	FILE *out = h->page->out;
	long long changes = number_of(h->tunable, "changes");
	const char *current = text_of(h->tunable, "current"), *last = text_of(h->changes[h->n - 1], "to");

	fprintf(out, "<p class=\"note\">");
	if (h->tunable && changes > (long long)h->n)
		fprintf(out, "The log has kept %zu of %lld changes: what was before the first of these is not known. ",
			h->n, changes);
	if (!h->tunable)
		fprintf(out, "This is the host's tunable: the changes are those that this container has asked for. ");
	if (h->tunable && !h->page->is_dry_run && strcmp(current, last) != 0)
		fprintf(out, "Somebody else has written it since, or the latest change is not in the log. ");
	if (h->to_s < h->page->now_s) {
		fprintf(out, "No change since ");
		put_time(h->page, h->last_s);
		fprintf(out, ".");
	}
	fprintf(out, "</p>\n");
}

static void put_changes(const struct history *history)
{
	FILE *out = history->page->out;

	fprintf(out,
		"<details open=\"open\"><summary>%zu %s, and why</summary>\n<div class=\"wide\"><table class=\"changes\">\n"
		"<thead><tr><th>time</th><th>to</th><th>because</th></tr></thead>\n<tbody>\n",
		history->n, history->n == 1 ? "change" : "changes");
	for (size_t i = 0; i < history->n; i++) {
		double at_s = 0;

		report_time(history->changes[i], &at_s);
		fprintf(out, "<tr><td class=\"time\">");
		put_time(history->page, at_s);
		fprintf(out, "</td>");
		html_element(out, "td", "value", text_of(history->changes[i], "to"));
		fprintf(out, "<td>");
		html_element(out, "span", "scenario", text_of(history->changes[i], "scenario"));
		fprintf(out, " ");
		html_text(out, text_of(history->changes[i], "text"));
		fprintf(out, "</td></tr>\n");
	}
	fprintf(out, "</tbody></table></div></details>\n");
}

/* The time of the changes and some more, as nothing could be seen of changes within seconds in a plot of days. */
static void choose_span(struct history *history)
{
	double span;

	report_time(history->changes[0], &history->first_s);
	report_time(history->changes[history->n - 1], &history->last_s);
	span = fmax(history->last_s - history->first_s, SPAN_MIN_S);
	history->from_s = history->first_s - fmax(span / 20, BEFORE_MIN_S);
	history->to_s = fmin(history->page->now_s, history->last_s + span / 2);
	history->to_s = fmax(history->to_s, history->last_s);
}

void report_tunable(const struct page *page, const char *name, json_t *tunable, json_t *records)
{
	struct history history = { .page = page, .name = name, .tunable = tunable };
	json_t *record;
	double at_s;
	size_t i;

	history.changes = calloc(json_array_size(records) + 1, sizeof(json_t *));
	json_array_foreach (records, i, record)
		if (history.changes && !strcmp(text_of(record, "tunable"), name) && report_time(record, &at_s))
			history.changes[history.n++] = record;
	fprintf(page->out, "<section class=\"tunable\">\n");
	html_element(page->out, "h3", "", name);
	if (history.n) {
		choose_span(&history);
		put_plots(&history);
		put_what_is_not_known(&history);
		put_changes(&history);
	} else {
		fprintf(page->out,
			"<p class=\"note\">Its changes are not in the log any more: when they were, and why, is not known.</p>\n");
	}
	fprintf(page->out, "</section>\n");
	free(history.changes);
}
