// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * libFuzzer target: a file as sysctl.d(5) describes it. No line is lost, no key leads out of /proc/sys, and what is
 * read of a line is what is read again when it was written.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/cli/advise_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

static bool is_same(const char *one, const char *other)
{
	return one && other ? !strcmp(one, other) : one == other;
}

static void check_key(const char *key)
{
	check(*key && *key != '.' && key[strlen(key) - 1] != '.' && !strstr(key, ".."));
	for (const char *p = key; *p; p++)
		check(*p > ' ' && *p <= '~' && *p != '=');
}

static void check_again(const struct setting *setting)
{
	struct setting again;
	char *line = NULL;
	int n = asprintf(&line, "%s%s%s%s", setting->may_fail ? "-" : "", setting->key, setting->value ? " = " : "",
			 setting->value ? setting->value : "");

	check(n > 0);
	check(setting_parse(line, n, &again) == 0);
	check(!again.malformed && is_same(again.key, setting->key) && is_same(again.value, setting->value));
	check(again.may_fail == setting->may_fail && again.is_glob == setting->is_glob);
	setting_clear(&again);
	free(line);
}

static bool is_for_nobody(const char *line, size_t n)
{
	size_t blanks = 0;

	while (blanks < n && line[blanks] && strchr(" \t\r\v\f", line[blanks]))
		blanks++;
	return blanks == n || line[blanks] == '#' || line[blanks] == ';';
}

static void take_line(const char *line, size_t n)
{
	struct setting setting;

	check(setting_parse(line, n, &setting) == 0);
	check(!setting.key + !setting.malformed == 1 + is_for_nobody(line, n));
	check(setting.key || !setting.value);
	if (setting.key) {
		check_key(setting.key);
		check_again(&setting);
	}
	setting_clear(&setting);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *line = (const char *)data, *end = line + size;

	while (line < end) {
		const char *newline = memchr(line, '\n', end - line);
		size_t n = newline ? (size_t)(newline - line) : (size_t)(end - line);
		char *exact = malloc(n ? n : 1); /* for a sanitizer to see what is read past the end */

		if (!exact)
			abort();
		memcpy(exact, line, n);
		take_line(exact, n);
		free(exact);
		line += n + 1;
	}
	return 0;
}
