// SPDX-License-Identifier: GPL-2.0-or-later
/* Figures in reasons and in values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "supervisor/cli/figure.h"

static void test_reasons(void **state)
{
	static const struct {
		const char *text, *name;
		double value;
	} cases[] = {
		{ "a send buffer of 65536 bytes was full in 100 % of the round trips; 3.9 Mbit/s at a round trip of 45.3 ms",
		  "Mbit/s", 3.9 },
		{ "1806.5 Mbit/s with 4 bytes, 100.1 with 2: no gain", "Mbit/s", 1806.5 },
		{ "7 Mbit/s", "Mbit/s", 7 },
		{ "12 ReasmFails per 48 ReasmReqds in 2 s", "ReasmFails per 100 ReasmReqds", 25 },
		{ "12 ReasmFails per 48 ReasmReqds; more", "ReasmFails per 100 ReasmReqds", 25 },
		{ "0 a per 0 b in 2 s", "a per 100 b", 0 },
		{ "the last step was of no use: 8 a per 10 b before it, 7 per 20 since; the next one", "a per 100 b",
		  35 },
		{ "the last step was of no use: 8 a per 10 b, and no more is known", "a per 100 b", 80 },
		{ "", NULL, 0 },
		{ "because", NULL, 0 },
		{ " Mbit/s", NULL, 0 },
		{ "nan Mbit/s", NULL, 0 },
		{ "0x10 Mbit/s is 16", "Mbit/s", 10 }, /* not worth more */
		{ "1.2.3 Mbit/s", NULL, 0 },
		{ "12 a per b", NULL, 0 },
		{ "12 a, 3 b", NULL, 0 },
		{ "12 per 3 b", NULL, 0 },
		{ "12", NULL, 0 },
		{ "12 ", NULL, 0 },
		{ "no ReasmFails for 10 min: one step back", NULL, 0 },
		{ "12345678901234567890123456789012345678901234567890 Mbit/s", NULL, 0 },
		{ "1 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa per 2 b", NULL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct figure figure = { 0 };

		if (figure_of_reason(cases[i].text, &figure) != (cases[i].name != NULL))
			fail_msg("\"%s\": %f %s", cases[i].text, figure.value, figure.name);
		if (!cases[i].name)
			continue;
		assert_string_equal(figure.name, cases[i].name);
		assert_true(figure.value > cases[i].value - 1e-9 && figure.value < cases[i].value + 1e-9);
	}
}

static void test_values(void **state)
{
	static const struct {
		const char *text;
		unsigned int place;
		double number; /* negative: none */
	} cases[] = {
		{ "128", 0, 128 },
		{ "128", 1, -1 },
		{ "4096 16384 65536", 0, 4096 },
		{ "4096\t16384\t65536", 2, 65536 },
		{ "4096 16384 65536", 3, -1 },
		{ "", 0, -1 },
		{ "cubic", 0, -1 },
		{ "12ab", 0, -1 },
		{ "-1", 0, -1 },
		{ "reno cubic", 1, -1 },
		{ " 7", 0, 7 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		double number = -2;
		bool is_number = figure_of_value(cases[i].text, cases[i].place, &number);

		if (is_number != (cases[i].number >= 0) || (is_number && (int)number != (int)cases[i].number))
			fail_msg("\"%s\" at %u: %f", cases[i].text, cases[i].place, number);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reasons),
		cmocka_unit_test(test_values),
	};

	return cmocka_run_group_tests_name("figure", tests, NULL, NULL);
}
