// SPDX-License-Identifier: GPL-2.0-or-later
/* Text in HTML. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "supervisor/cli/html.h"

static char *html_of(const char *text)
{
	char *html = NULL;
	size_t size;
	FILE *out = open_memstream(&html, &size);

	assert_non_null(out);
	html_text(out, text);
	assert_int_equal(fclose(out), 0);
	return html;
}

static void test_html(void **state)
{
	static const struct {
		const char *text, *html;
	} cases[] = {
		{ "", "" },
		{ "plain", "plain" },
		{ "<script>&\"'", "&lt;script&gt;&amp;&quot;&#39;" },
		{ "3.9 \xe2\x86\x92 610", "3.9 \xe2\x86\x92 610" },
		{ "a\x07\x1b[2J\x7f\xc2\x85", "a\xef\xbf\xbd\xef\xbf\xbd[2J\xef\xbf\xbd\xef\xbf\xbd" },
		{ "a\nb\tc", "a\nb\tc" },
		{ "\xff<", "\xef\xbf\xbd&lt;" },
		{ "\xc3<b", "\xef\xbf\xbd&lt;b" }, /* what follows half of a character is not hidden */
		{ "\xef\xbf\xbe\xf0\x9f\xbf\xbf", "\xef\xbf\xbd\xef\xbf\xbd" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *html = html_of(cases[i].text);

		assert_string_equal(html, cases[i].html);
	}
}

/* libunistring 1.0 has one mark for a surrogate, 1.3 has three. */
static void test_surrogate(void **state)
{
	_cleanup_free_ char *html = html_of("\xed\xa0\x80<");
	size_t marks = strspn(html, "\xef\xbf\xbd");

	(void)state;
	assert_true(marks == 3 || marks == 9);
	assert_string_equal(html + marks, "&lt;");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_html),
		cmocka_unit_test(test_surrogate),
	};

	return cmocka_run_group_tests_name("html", tests, NULL, NULL);
}
