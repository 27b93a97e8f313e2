// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/cli/watch_lines.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/cleanup.h"
#include "ipc/log.h"
#include "supervisor/cli/column.h"

/* Takes the text. */
static void push(struct watch_lines *lines, enum watch_style style, char *text)
{
	if (text && lines->n == lines->capacity) {
		size_t capacity = lines->capacity ? 2 * lines->capacity : 64;
		struct watch_line *items = realloc(lines->items, capacity * sizeof(*items));

		if (items) {
			lines->items = items;
			lines->capacity = capacity;
		}
	}
	if (text && lines->n < lines->capacity)
		lines->items[lines->n++] = (struct watch_line){ .text = text, .style = style };
	else
		free(text);
}

/* To be freed. NULL: no memory. */
static char *escaped(const char *text)
{
	size_t size = 4 * strlen(text) + 1;
	char *copy = malloc(size);

	if (copy)
		log_escape(text, copy, size);
	return copy;
}

void watch_lines_add(struct watch_lines *lines, enum watch_style style, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	struct watch_cell whole = { 0 };
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	whole.text = text;
	if (text)
		watch_lines_row(lines, style, &whole, 1);
}

static void put_cell(FILE *out, const struct watch_cell *cell, int width, bool is_last)
{
	_cleanup_free_ char *text = escaped(cell->text ? cell->text : "");
	int columns, blanks;
	size_t n;

	if (!text)
		return;
	n = column_fit(text, strlen(text), width, &columns);
	blanks = cell->width > columns ? cell->width - columns : 0;
	fprintf(out, "%*s%.*s%*s", cell->is_right ? blanks : 0, "", (int)n, text,
		cell->is_right || is_last ? 0 : blanks, "");
}

void watch_lines_row(struct watch_lines *lines, enum watch_style style, const struct watch_cell *cells, size_t n)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	int columns;

	if (!out)
		return;
	for (size_t i = 0; i < n; i++) {
		put_cell(out, &cells[i], cells[i].width ? cells[i].width : INT_MAX, i + 1 == n);
		if (i + 1 < n)
			fputc(' ', out);
	}
	if (fclose(out) == EOF) {
		free(text);
		return;
	}
	size = column_fit(text, size, lines->width, &columns);
	while (size && text[size - 1] == ' ')
		size--;
	text[size] = '\0';
	push(lines, style, text);
}

/* How many bytes of the text fit in so many columns, whole words if at least one does. */
static size_t fold_at(const char *text, int columns)
{
	int taken;
	size_t fit = column_fit(text, strlen(text), columns, &taken), n = fit;

	if (!text[fit])
		return fit;
	while (n && text[n] != ' ')
		n--;
	if (n)
		return n;
	return fit ? fit : 1; /* a word wider than a line; a line narrower than a character */
}

void watch_lines_fold(struct watch_lines *lines, enum watch_style style, int indent, const char *text)
{
	_cleanup_free_ char *whole = escaped(text);
	const char *rest = whole;
	int before = 0;

	if (indent >= lines->width)
		indent = 0;
	while (rest && *rest) {
		size_t n = fold_at(rest, lines->width - before);
		char *line = NULL;

		if (asprintf(&line, "%*s%.*s", before, "", (int)n, rest) >= 0)
			push(lines, style, line);
		rest += n;
		rest += strspn(rest, " ");
		before = indent;
	}
}

void watch_lines_move(struct watch_lines *lines, struct watch_lines *from, size_t first, size_t n)
{
	for (size_t i = first; i < from->n && i - first < n; i++)
		push(lines, from->items[i].style, take_ptr(from->items[i].text));
}

void watch_lines_cut(struct watch_lines *lines, size_t n)
{
	while (lines->n > n)
		free(lines->items[--lines->n].text);
	if (n)
		return;
	free(lines->items);
	lines->items = NULL;
	lines->capacity = 0;
}
