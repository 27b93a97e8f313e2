// SPDX-License-Identifier: GPL-2.0-or-later
/* Ticks, numbers, and what becomes of points in an SVG. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "supervisor/cli/plot.h"

static void test_numbers(void **state)
{
	static const struct {
		double number;
		const char *text;
	} cases[] = {
		{ 0, "0" },	     { 0.25, "0.25" },	     { 5, "5" },
		{ 99.9, "99.9" },    { 99.96, "100" },	     { 999, "999" },
		{ 999.6, "1 k" },    { 1000, "1 k" },	     { 65536, "65.5 k" },
		{ 262144, "262 k" }, { 31612992, "31.6 M" }, { 4e9, "4 G" },
		{ 1.5e18, "1.5 E" }, { 1e25, "1e+07 E" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[PLOT_NUMBER_BYTES];

		plot_number(cases[i].number, text);
		assert_string_equal(text, cases[i].text);
	}
}

static void check_ticks(const double *ticks, size_t n, size_t expected, double first, double last)
{
	assert_int_equal(n, expected);
	assert_true(ticks[0] > first * 0.999999 - 1e-9 && ticks[0] < first * 1.000001 + 1e-9);
	assert_true(ticks[n - 1] > last * 0.999999 && ticks[n - 1] < last * 1.000001);
	for (size_t i = 1; i < n; i++)
		assert_true(ticks[i] > ticks[i - 1]);
}

static void test_linear_ticks(void **state)
{
	static const struct {
		double most, last;
		size_t n;
	} cases[] = {
		{ 1, 1, 6 }, { 1.2, 1.5, 4 }, { 2, 2, 5 },	   { 3.7, 4, 5 },     { 5, 5, 6 },
		{ 7, 8, 5 }, { 9.9, 10, 6 },  { 4194304, 5e6, 6 }, { 65535, 8e4, 5 }, { 0.03, 0.03, 4 },
	};
	double ticks[PLOT_TICKS_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check_ticks(ticks, plot_linear_ticks(cases[i].most, ticks), cases[i].n, 0, cases[i].last);
	check_ticks(ticks, plot_linear_ticks(0, ticks), 2, 0, 0.2); /* some axis, also where nothing was measured */
}

static void test_log_ticks(void **state)
{
	double ticks[PLOT_TICKS_MAX];

	(void)state;
	check_ticks(ticks, plot_log_ticks(65536, 31612992, ticks), 5, 1e4, 1e8);
	check_ticks(ticks, plot_log_ticks(0.5, 90, ticks), 4, 0.1, 100);
	check_ticks(ticks, plot_log_ticks(10, 10, ticks), 2, 10, 100);
	check_ticks(ticks, plot_log_ticks(1, 1e12, ticks), 7, 1, 1e12);
	check_ticks(ticks, plot_log_ticks(1, 1e13, ticks), 6, 1, 1e15); /* it ends at or after what there is */
	check_ticks(ticks, plot_log_ticks(1e-300, 1e300, ticks), 7, 1e-300, 1e300);
}

/* The SVG of one line's points. The caller frees it. */
static char *draw(const struct plot_point *points, size_t n, double from_s, double to_s, bool is_steps)
{
	const struct plot_line line = { .points = points, .n = n };
	const struct plot plot = { .name = "<a&b>",
				   .from_s = from_s,
				   .to_s = to_s,
				   .utc_offset_s = 3600,
				   .is_steps = is_steps,
				   .lines = &line,
				   .n_lines = n ? 1 : 0 };
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	plot_svg(out, &plot);
	assert_int_equal(fclose(out), 0);
	assert_null(strstr(text, "nan"));
	assert_null(strstr(text, "inf"));
	return text;
}

static size_t count(const char *text, const char *what)
{
	size_t n = 0;

	while ((text = strstr(text, what))) {
		n++;
		text += strlen(what);
	}
	return n;
}

static void test_steps(void **state)
{
	const struct plot_point points[] = { { 1000, 50, false }, { 1050, 100, true }, { 1100, 100, false } };
	_cleanup_free_ char *text = draw(points, ARRAY_SIZE(points), 1000, 1100, true);

	(void)state;
	assert_non_null(strstr(text, "aria-label=\"&lt;a&amp;b&gt;\""));
	assert_null(strstr(text, "<a"));
	/* Half of the height, then all of it from half of the width on. */
	assert_non_null(strstr(text, "M62.0 93.0 H376.0 V12.0 H690.0 V12.0 "));
	assert_int_equal(count(text, "<circle"), 1);
	assert_non_null(strstr(text, "<title>01:17:30: 100</title>")); /* with the offset */
}

static void test_joined(void **state)
{
	const struct plot_point points[] = { { 0, 0, true }, { 10, 4, true } };
	_cleanup_free_ char *text = draw(points, ARRAY_SIZE(points), 0, 10, false);

	(void)state;
	assert_non_null(strstr(text, "M62.0 174.0 L690.0 12.0 "));
	assert_int_equal(count(text, "<circle"), 2);
}

/* Twenty times as much: each factor of ten is as high as the others. */
static void test_logarithmic(void **state)
{
	const struct plot_point points[] = { { 0, 10, false }, { 5, 100, false }, { 10, 1000, false } };
	_cleanup_free_ char *text = draw(points, ARRAY_SIZE(points), 0, 10, false);

	(void)state;
	assert_non_null(strstr(text, "M62.0 174.0 L376.0 93.0 L690.0 12.0 "));
}

/* What is outside of the time is at its edge; and nothing is divided by zero. */
static void test_odd(void **state)
{
	const struct plot_point point = { 5, 7, true }, zero = { 5, 0, true }, early = { -1e15, 1e30, true },
				huge = { 1e300, 1e300, true };
	const struct plot_point *const cases[] = { &point, &zero, &early, &huge };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		free(draw(cases[i], 1, 5, 5, true));
		free(draw(cases[i], 1, 0, 1e12, false));
		free(draw(cases[i], 1, 10, 0, false));
	}
	free(draw(NULL, 0, 0, 10, true));
}

/* At most eight times at an axis, however long it is. */
static void test_times(void **state)
{
	const struct plot_point point = { 0, 1, false };

	(void)state;
	for (double span_s = 1; span_s < 1e10; span_s *= 1.7) {
		_cleanup_free_ char *text = draw(&point, 1, 1e9, 1e9 + span_s, true);
		size_t n = count(text, "class=\"tick\"");

		if (n > 8 || (span_s > 4 && n < 2))
			fail_msg("%zu times in %f s", n, span_s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers), cmocka_unit_test(test_linear_ticks), cmocka_unit_test(test_log_ticks),
		cmocka_unit_test(test_steps),	cmocka_unit_test(test_joined),	     cmocka_unit_test(test_logarithmic),
		cmocka_unit_test(test_odd),	cmocka_unit_test(test_times),
	};

	return cmocka_run_group_tests_name("plot", tests, NULL, NULL);
}
