/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The lines of a terminal's page. Whatever a text holds, a line has no character that controls a terminal. */
#ifndef BPFTUNE_SUPERVISOR_CLI_WATCH_LINES_H
#define BPFTUNE_SUPERVISOR_CLI_WATCH_LINES_H

#include <stdbool.h>
#include <stddef.h>

enum watch_style {
	WATCH_PLAIN,
	WATCH_STRONG,
	WATCH_DIM,
	WATCH_TITLE,
	WATCH_SELECTED
};

struct watch_line {
	char *text; /* UTF-8, at most so many columns as the page is wide */
	enum watch_style style;
};

struct watch_lines {
	int width; /* in columns, at least 1 */
	struct watch_line *items;
	size_t n, capacity;
};

/* A part of a line. */
struct watch_cell {
	const char *text;
	int width; /* 0: as wide as the text; all but the last cell are filled with blanks */
	bool is_right;
};

/* A line that is too long is cut, as are blanks at its end. Without memory, the page lacks it. */
void watch_lines_add(struct watch_lines *lines, enum watch_style style, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Cells with a blank between them. */
void watch_lines_row(struct watch_lines *lines, enum watch_style style, const struct watch_cell *cells, size_t n);
/* A text of several lines, broken at blanks. The second and those that follow begin with so many blanks. */
void watch_lines_fold(struct watch_lines *lines, enum watch_style style, int indent, const char *text);

/* Moves lines to the end of another page's, n from the first on, or as many as there are. */
void watch_lines_move(struct watch_lines *lines, struct watch_lines *from, size_t first, size_t n);

/* Frees the lines from the n-th on. */
void watch_lines_cut(struct watch_lines *lines, size_t n);

#endif
