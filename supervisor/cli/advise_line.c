// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/cli/advise_line.h"

#include <errno.h>
#include <string.h>

#include "ipc/cleanup.h"

static bool is_blank(char c)
{
	return c && strchr(" \t\r\v\f", c);
}

static void trim(const char **text, size_t *n)
{
	while (*n && is_blank((*text)[0])) {
		(*text)++;
		(*n)--;
	}
	while (*n && is_blank((*text)[*n - 1]))
		(*n)--;
}

/* As the kernel shows values: with one blank between two words. */
static char *copy_value(const char *text, size_t n)
{
	char *value;
	size_t at = 0;

	trim(&text, &n);
	value = malloc(n + 1);
	if (!value)
		return NULL;
	for (size_t i = 0; i < n; i++)
		if (!is_blank(text[i]))
			value[at++] = text[i];
		else if (!is_blank(text[i - 1])) /* the first one is none */
			value[at++] = ' ';
	value[at] = '\0';
	return value;
}

/* The first separator tells which of the two separates; the other one is then part of a name. */
static void make_dotted(char *key)
{
	const char *first = strpbrk(key, "./");

	if (first && *first == '/')
		for (char *p = key; *p; p++)
			*p = *p == '/' ? '.' : *p == '.' ? '/' : *p;
}

/* Of a dotted key. A part of `/` or `//` is `.` or `..` in the path. */
static const char *find_fault(const char *key)
{
	for (const char *part = key;;) {
		size_t n = strcspn(part, ".");

		if (!n)
			return "a part of the key is empty";
		if (strspn(part, "/") == n && n <= 2)
			return "the key leads out of /proc/sys";
		if (!part[n])
			return NULL;
		part += n + 1;
	}
}

static const char *find_bad_byte(const char *key, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (is_blank(key[i]))
			return "there is a blank in the key";
		if (key[i] <= ' ' || key[i] > '~')
			return "there is a character in the key that no sysctl has";
	}
	return NULL;
}

static int copy_key(const char *key, size_t n, struct setting *setting)
{
	setting->malformed = n ? find_bad_byte(key, n) : "there is no key";
	if (setting->malformed)
		return 0;
	setting->key = strndup(key, n);
	if (!setting->key)
		return -ENOMEM;
	make_dotted(setting->key);
	setting->is_glob = strpbrk(setting->key, "*?[");
	setting->malformed = find_fault(setting->key);
	if (setting->malformed) {
		free(setting->key);
		setting->key = NULL;
	}
	return 0;
}

static int parse(const char *line, size_t n, struct setting *setting)
{
	const char *equals = memchr(line, '=', n), *end = line + n;
	size_t n_key = equals ? (size_t)(equals - line) : n;
	int err;

	if (memchr(line, '\0', n)) {
		setting->malformed = "there is a NUL byte in the line";
		return 0;
	}
	if (line[0] == '-') {
		setting->may_fail = true;
		line++;
		n_key--;
	} else if (!equals) {
		setting->malformed = "there is no '=' in the line";
		return 0;
	}
	trim(&line, &n_key);
	err = copy_key(line, n_key, setting);
	if (err || !setting->key || !equals)
		return err;
	setting->value = copy_value(equals + 1, end - equals - 1);
	return setting->value ? 0 : -ENOMEM;
}

int setting_parse(const char *line, size_t n, struct setting *ret_setting)
{
	struct setting setting = { 0 };
	int err = 0;

	trim(&line, &n);
	if (n && line[0] != '#' && line[0] != ';')
		err = parse(line, n, &setting);
	if (err)
		setting_clear(&setting);
	else
		*ret_setting = setting;
	return err;
}

void setting_clear(struct setting *setting)
{
	free(setting->key);
	free(setting->value);
	*setting = (struct setting){ 0 };
}
