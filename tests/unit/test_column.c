// SPDX-License-Identifier: GPL-2.0-or-later
/* How much of a text fits in a column. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "supervisor/cli/column.h"

#define EURO "\xe2\x82\xac"	 /* one column */
#define HAN "\xe6\xbc\xa2"	 /* two */
#define ACCENT "\xcc\x81"	 /* none: it is on the character before */
#define EMOJI "\xf0\x9f\x98\x80" /* two */

static void test_fit(void **state)
{
	static const struct {
		const char *text;
		int width;
		size_t bytes;
		int columns;
	} cases[] = {
		{ "", 3, 0, 0 },
		{ "abc", 0, 0, 0 },
		{ "abc", 3, 3, 3 },
		{ "abcd", 3, 3, 3 },
		{ EURO EURO EURO, 2, 6, 2 },
		{ "a" HAN, 2, 1, 1 }, /* half of a character does not fit */
		{ "a" HAN, 3, 4, 3 },
		{ HAN HAN, 3, 3, 2 },
		{ EMOJI "a", 2, 4, 2 },
		{ "e" ACCENT "x", 1, 3, 1 }, /* with what is on it */
		{ "e" ACCENT, 0, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int columns;
		size_t bytes = column_fit(cases[i].text, strlen(cases[i].text), cases[i].width, &columns);

		if (bytes != cases[i].bytes || columns != cases[i].columns)
			fail_msg("case %zu: %zu bytes, %d columns", i, bytes, columns);
	}
}

/* It reads no further than it was told. */
static void test_fit_in_part(void **state)
{
	int columns;

	(void)state;
	assert_int_equal(column_fit("abc", 2, 10, &columns), 2);
	assert_int_equal(columns, 2);
	assert_int_equal(column_fit(EURO EURO, 3, 10, &columns), 3);
	assert_int_equal(columns, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fit),
		cmocka_unit_test(test_fit_in_part),
	};

	return cmocka_run_group_tests_name("column", tests, NULL, NULL);
}
