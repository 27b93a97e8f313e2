// SPDX-License-Identifier: GPL-2.0-or-later
/* Lines of a terminal's page: as wide as it is, and nothing in them that controls it. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "supervisor/cli/watch_lines.h"

#define HAN "\xe6\xbc\xa2" /* two columns */

static void expect(const struct watch_lines *lines, const char *const *texts, size_t n)
{
	assert_int_equal(lines->n, n);
	for (size_t i = 0; i < n; i++)
		assert_string_equal(lines->items[i].text, texts[i]);
}

static void test_add(void **state)
{
	static const char *const texts[] = { "abcdef", "abcdefg", "", "a" HAN HAN HAN };
	struct watch_lines lines = { .width = 7 };

	(void)state;
	watch_lines_add(&lines, WATCH_PLAIN, "%s", "abcdef");
	watch_lines_add(&lines, WATCH_PLAIN, "%s%d", "abcdefgh", 1);
	watch_lines_add(&lines, WATCH_PLAIN, "%s", "");
	watch_lines_add(&lines, WATCH_STRONG, "a%s", HAN HAN HAN HAN);
	expect(&lines, texts, ARRAY_SIZE(texts));
	assert_int_equal(lines.items[3].style, WATCH_STRONG);
	watch_lines_cut(&lines, 1);
	expect(&lines, texts, 1);
	watch_lines_cut(&lines, 0);
}

static void test_row(void **state)
{
	static const char *const texts[] = { "  12 name"
					     "     "
					     " rest of it",
					     "12345 " HAN HAN " rest", "1 2" };
	static const struct watch_cell first[] = { { "12", 4, true },
						   { "name", 9, false },
						   { "rest of it", 0, false } };
	static const struct watch_cell cut[] = { { "123456", 5, true },
						 { HAN HAN HAN, 4, false },
						 { "rest", 0, false } };
	static const struct watch_cell missing[] = { { "1", 0, false }, { "2", 0, true }, { NULL, 0, false } };
	struct watch_lines lines = { .width = 40 };

	(void)state;
	watch_lines_row(&lines, WATCH_PLAIN, first, ARRAY_SIZE(first));
	watch_lines_row(&lines, WATCH_PLAIN, cut, ARRAY_SIZE(cut));
	watch_lines_row(&lines, WATCH_PLAIN, missing, ARRAY_SIZE(missing));
	expect(&lines, texts, ARRAY_SIZE(texts));
	watch_lines_cut(&lines, 0);
}

static void test_fold(void **state)
{
	static const struct {
		const char *text;
		int width, indent;
		const char *lines[4];
	} cases[] = {
		{ "", 10, 2, { NULL } },
		{ "one two", 10, 2, { "one two" } },
		{ "one two three four", 10, 2, { "one two", "  three", "  four" } },
		{ "one two three", 7, 0, { "one two", "three" } },
		{ "onetwothree", 5, 1, { "onetw", " othr", " ee" } },
		{ "one  two", 3, 0, { "one", "two" } },
		{ HAN HAN HAN, 4, 0, { HAN HAN, HAN } },
		{ "ab", 1, 3, { "a", "b" } },
		{ HAN, 1, 0, { "\xe6", "\xbc", "\xa2" } }, /* no such terminal; it ends all the same */
		{ "one two", INT_MAX, 4, { "one two" } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct watch_lines lines = { .width = cases[i].width };
		size_t n = 0;

		while (n < ARRAY_SIZE(cases[i].lines) && cases[i].lines[n])
			n++;
		watch_lines_fold(&lines, WATCH_PLAIN, cases[i].indent, cases[i].text);
		expect(&lines, cases[i].lines, n);
		watch_lines_cut(&lines, 0);
	}
}

/* Whoever named a container: not one byte of it reaches the terminal as anything but text. */
static void test_no_controls(void **state)
{
	static const char attack[] = "a\x1b]2;owned\x07\x1b[2J\r\n\t\x7f\xc2\x9b"
				     "31m\xe2\x80\xae\xff"
				     "b";
	static const char shown[] = "a\\x1b]2;owned\\x07\\x1b[2J\\x0d\\x0a\\x09\\x7f\\xc2\\x9b"
				    "31m\\xe2\\x80\\xae\\xff"
				    "b";
	const struct watch_cell cell = { .text = attack };
	struct watch_lines lines = { .width = 200 };

	(void)state;
	watch_lines_add(&lines, WATCH_PLAIN, "%s", attack);
	watch_lines_row(&lines, WATCH_PLAIN, &cell, 1);
	watch_lines_fold(&lines, WATCH_PLAIN, 0, attack);
	expect(&lines, (const char *const[]){ shown, shown, shown }, 3);
	watch_lines_cut(&lines, 0);
}

static void test_move(void **state)
{
	struct watch_lines lines = { .width = 9 }, from = { .width = 9 };

	(void)state;
	watch_lines_add(&lines, WATCH_PLAIN, "0");
	for (int i = 1; i < 200; i++)
		watch_lines_add(&from, WATCH_DIM, "%d", i);
	watch_lines_move(&lines, &from, 197, 100);
	watch_lines_move(&lines, &from, 0, 1);
	watch_lines_move(&lines, &from, 500, 1);
	expect(&lines, (const char *const[]){ "0", "198", "199", "1" }, 4);
	assert_int_equal(lines.items[3].style, WATCH_DIM);
	watch_lines_cut(&lines, 0);
	watch_lines_cut(&from, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_add),	    cmocka_unit_test(test_row),	 cmocka_unit_test(test_fold),
		cmocka_unit_test(test_no_controls), cmocka_unit_test(test_move),
	};

	return cmocka_run_group_tests_name("watch_lines", tests, NULL, NULL);
}
