// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/cli/plot.h"

#include <math.h>
#include <time.h>

#include "ipc/cleanup.h"
#include "supervisor/cli/html.h"

enum {
	WIDTH = 720,
	HEIGHT = 200,
	LEFT = 62,
	RIGHT = 30,
	TOP = 12,
	BOTTOM = 26
};

#define LOG_RATIO \
	20 /* where the largest value is so many times the smallest, steps of small values would not be seen */
#define TIME_TICKS 7
#define TIME_BYTES 32
#define TIME_MOST_S 1e12 /* thirty thousand years: a time_t can hold that */

struct frame {
	const struct plot *plot;
	FILE *out;
	double least, most; /* of the axis */
	bool is_log;
};

/* --- numbers ------------------------------------------------------------------------------------ */

void plot_number(double number, char ret_text[PLOT_NUMBER_BYTES])
{
	static const char units[][4] = { "", " k", " M", " G", " T", " P", " E" };
	size_t unit = 0;

	while (number >= 999.5 && unit + 1 < ARRAY_SIZE(units)) {
		number /= 1000;
		unit++;
	}
	snprintf(ret_text, PLOT_NUMBER_BYTES,
		 number >= 1e6	   ? "%.3g%s"
		 : number >= 99.95 ? "%.0f%s"
				   : "%.3g%s",
		 number, units[unit]);
}

size_t plot_linear_ticks(double most, double ret_ticks[PLOT_TICKS_MAX])
{
	double power = most > 0 ? pow(10, floor(log10(most))) : 1;
	double step = power * (most <= power ? 0.2 : most <= 2 * power ? 0.5 : most <= 5 * power ? 1 : 2);
	size_t n = 0;

	do
		ret_ticks[n] = n * step;
	while ((ret_ticks[n++] < most || n < 2) && n < PLOT_TICKS_MAX);
	return n;
}

size_t plot_log_ticks(double least, double most, double ret_ticks[PLOT_TICKS_MAX])
{
	int from = (int)floor(log10(least)), to = (int)ceil(log10(most)), every = 1;
	size_t n = 0;

	to = to > from ? to : from + 1;
	while ((to - from + every - 1) / every > 6)
		every++;
	for (int power = from; n < PLOT_TICKS_MAX; power += every) {
		ret_ticks[n++] = pow(10, power);
		if (power >= to)
			break;
	}
	return n;
}

/* --- places ------------------------------------------------------------------------------------- */

static double x_of(const struct frame *frame, double at_s)
{
	double span = frame->plot->to_s - frame->plot->from_s;
	double part = span > 0 ? (at_s - frame->plot->from_s) / span : 0;

	return LEFT + (WIDTH - LEFT - RIGHT) * fmin(fmax(part, 0), 1);
}

static double y_of(const struct frame *frame, double value)
{
	double part = frame->is_log ? log(fmax(value, frame->least) / frame->least) / log(frame->most / frame->least)
				    : value / frame->most;

	return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * fmin(fmax(part, 0), 1);
}

/* As fine as ticks at that distance need it. */
static void write_time(const struct plot *plot, double at_s, double step_s, char ret_text[TIME_BYTES])
{
	time_t seconds = (time_t)fmin(fmax(floor(at_s), -TIME_MOST_S), TIME_MOST_S) + plot->utc_offset_s;
	struct tm tm;

	*ret_text = '\0';
	if (!gmtime_r(&seconds, &tm))
		return; /* no such year */
	if (step_s < 60)
		strftime(ret_text, TIME_BYTES, "%H:%M:%S", &tm);
	else if (step_s < 86400)
		strftime(ret_text, TIME_BYTES, "%H:%M", &tm);
	else
		strftime(ret_text, TIME_BYTES, "%b %d", &tm);
}

/* --- axes --------------------------------------------------------------------------------------- */

static void put_value_axis(struct frame *frame, double least, double most)
{
	double ticks[PLOT_TICKS_MAX];
	size_t n;

	frame->is_log = least > 0 && most >= LOG_RATIO * least;
	n = frame->is_log ? plot_log_ticks(least, most, ticks) : plot_linear_ticks(most, ticks);
	frame->least = ticks[0];
	frame->most = ticks[n - 1];
	for (size_t i = 0; i < n; i++) {
		double y = y_of(frame, ticks[i]);
		char text[PLOT_NUMBER_BYTES];

		plot_number(ticks[i], text);
		fprintf(frame->out,
			"<line class=\"grid\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>"
			"<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
			LEFT, y, WIDTH - RIGHT, y, LEFT - 8, y + 4, text);
	}
}

static double time_step(double span_s)
{
	static const double steps[] = { 1,   2,	   5,	 10,   15,    30,    60,    120,   300,	   600,
					900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800 };

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		if (span_s <= TIME_TICKS * steps[i])
			return steps[i];
	return 604800 * ceil(span_s / (TIME_TICKS * 604800.0));
}

static void put_time_axis(const struct frame *frame)
{
	const struct plot *plot = frame->plot;
	double step = time_step(plot->to_s - plot->from_s), offset = (double)plot->utc_offset_s;
	double first_s = ceil((plot->from_s + offset) / step) * step - offset;

	for (int i = 0; i <= TIME_TICKS && first_s + i * step <= plot->to_s; i++) {
		double at_s = first_s + i * step;
		char text[TIME_BYTES];

		write_time(plot, at_s, step, text);
		fprintf(frame->out,
			"<line class=\"tick\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>"
			"<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n",
			x_of(frame, at_s), HEIGHT - BOTTOM, x_of(frame, at_s), HEIGHT - BOTTOM + 4, x_of(frame, at_s),
			HEIGHT - BOTTOM + 18, text);
	}
}

/* --- lines -------------------------------------------------------------------------------------- */

static void put_line(const struct frame *frame, const struct plot_line *line)
{
	fprintf(frame->out, "<path class=\"line\" d=\"");
	for (size_t i = 0; i < line->n; i++) {
		double x = x_of(frame, line->points[i].at_s), y = y_of(frame, line->points[i].value);

		if (i && frame->plot->is_steps)
			fprintf(frame->out, "H%.1f V%.1f ", x, y);
		else
			fprintf(frame->out, "%c%.1f %.1f ", i ? 'L' : 'M', x, y);
	}
	fprintf(frame->out, "\"/>\n");
	for (size_t i = 0; i < line->n; i++) {
		const struct plot_point *point = &line->points[i];
		char number[PLOT_NUMBER_BYTES], clock[TIME_BYTES];

		if (!point->is_marked)
			continue;
		plot_number(point->value, number);
		write_time(frame->plot, point->at_s, 1, clock);
		fprintf(frame->out,
			"<circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"><title>%s: %s</title></circle>\n",
			x_of(frame, point->at_s), y_of(frame, point->value), clock, number);
	}
}

void plot_svg(FILE *out, const struct plot *plot)
{
	struct frame frame = { .plot = plot, .out = out };
	double least = INFINITY, most = 0;

	for (size_t i = 0; i < plot->n_lines; i++) {
		for (size_t j = 0; j < plot->lines[i].n; j++) {
			least = fmin(least, plot->lines[i].points[j].value);
			most = fmax(most, plot->lines[i].points[j].value);
		}
	}
	fprintf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"",
		WIDTH, HEIGHT);
	html_text(out, plot->name);
	fprintf(out, "\">\n");
	put_value_axis(&frame, least, most);
	put_time_axis(&frame);
	for (size_t i = 0; i < plot->n_lines; i++) {
		fprintf(out, "<g class=\"line-%zu\">\n", i % 3);
		put_line(&frame, &plot->lines[i]);
		fprintf(out, "</g>\n");
	}
	fprintf(out, "</svg>\n");
}
