/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A plot of numbers over time, as SVG: numbers in, text out. Colours are the page's, by class. */
#ifndef BPFTUNE_SUPERVISOR_CLI_PLOT_H
#define BPFTUNE_SUPERVISOR_CLI_PLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define PLOT_TICKS_MAX 12
#define PLOT_NUMBER_BYTES 32

struct plot_point {
	double at_s;	/* of CLOCK_REALTIME */
	double value;	/* not negative */
	bool is_marked; /* something happened: a dot with its time and value */
};

/* Points in the order of time. */
struct plot_line {
	const struct plot_point *points;
	size_t n;
};

struct plot {
	const char *name; /* what is plotted; any text */
	double from_s, to_s;
	long utc_offset_s; /* of the times that are shown */
	bool is_steps;	   /* a value holds until the next one; else points are joined */
	const struct plot_line *lines;
	size_t n_lines;
};

/* The values of at most PLOT_TICKS_MAX ticks from 0 to at least `most`, round numbers: how many. */
size_t plot_linear_ticks(double most, double ret_ticks[PLOT_TICKS_MAX]);
/* Powers of ten, or every second one and so on, from at most `least`, which is positive, to at least `most`. */
size_t plot_log_ticks(double least, double most, double ret_ticks[PLOT_TICKS_MAX]);

/* "31.6 M", "65.5 k", "0.25": three digits. */
void plot_number(double number, char ret_text[PLOT_NUMBER_BYTES]);

void plot_svg(FILE *out, const struct plot *plot);

#endif
