/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text in columns of a terminal: a character may have several bytes, and take two columns or none. */
#ifndef BPFTUNE_SUPERVISOR_CLI_COLUMN_H
#define BPFTUNE_SUPERVISOR_CLI_COLUMN_H

#include <stdbool.h>
#include <stddef.h>

/* How many bytes of the text's first n are whole characters that fit in `width` columns; and how many these take. */
size_t column_fit(const char *text, size_t n, int width, int *ret_columns);

/* To standard output: as much of the text as fits in `width` columns, at the left of these if `is_filled`. */
void print_column(const char *text, int width, bool is_filled);

/* To standard output: the text from that column on, with line breaks and an indent where it is longer than a line. */
void print_folded(int column, const char *text);

#endif
