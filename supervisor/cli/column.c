// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/cli/column.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistr.h>
#include <uniwidth.h>

size_t column_fit(const char *text, size_t n, int width, int *ret_columns)
{
	size_t at = 0;
	int columns = 0;

	while (at < n) {
		ucs4_t character;
		int bytes = u8_mbtouc(&character, (const uint8_t *)text + at, n - at);
		int wide = uc_width(character, "UTF-8");

		wide = wide < 0 ? 1 : wide; /* a control character: the supervisor sends none */
		if (columns + wide > width)
			break;
		columns += wide;
		at += bytes;
	}
	*ret_columns = columns;
	return at;
}

void print_column(const char *text, int width, bool is_filled)
{
	int columns;
	size_t n = column_fit(text, strlen(text), width, &columns);

	printf("%.*s%*s", (int)n, text, is_filled ? width - columns : 0, "");
}

void print_folded(int column, const char *text)
{
	const int width = 100, indent = 10;

	while (*text) {
		size_t length = strcspn(text, " ");
		int columns;

		column_fit(text, length, INT_MAX, &columns);
		if (column + 1 + columns > width)
			column = printf("\n%*s", indent - 1, "") - 1;
		printf(" %.*s", (int)length, text);
		column += 1 + columns;
		text += length;
		text += strspn(text, " ");
	}
	printf("\n");
}
