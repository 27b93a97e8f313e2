// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * libFuzzer target: the two files of what is turned off, apart by a NUL. What is read from them is what is read again
 * when it was written.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supervisor/changes/off_rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

static void put(const char *dir, const char *name, const uint8_t *data, size_t size)
{
	char path[300];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "we");
	check(file && fwrite(data, 1, size, file) == size && fclose(file) == 0);
}

static void take_away(const char *dir)
{
	static const char *const names[] = { "off", "off-always" };
	char path[300];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	check(rmdir(dir) == 0);
}

/* Each scope that there is gets a tuner more, and loses another. */
static void change(struct off_rules *rules)
{
	json_t *scopes = off_rules_scopes(rules), *scope;
	size_t i;

	json_array_foreach(scopes, i, scope) {
		const char *name = json_string_value(scope);

		off_rules_add(rules, name, "tcp_mem");
		check(off_rules_has(rules, name, "tcp_mem"));
		off_rules_remove(rules, name, "tcp_cong");
		check(!off_rules_has(rules, name, "tcp_cong"));
		if (i % 3 == 2)
			off_rules_remove_scope(rules, name);
	}
	json_decref(scopes);
	off_rules_add(rules, OFF_ALL, OFF_EVERY_TUNER);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *tmp = getenv("TMPDIR"), *path;
	const uint8_t *end = size ? memchr(data, 0, size) : NULL;
	struct off_rules rules, again;
	char dir[256];
	size_t n = end ? (size_t)(end - data) : size;

	snprintf(dir, sizeof(dir), "%s/off.XXXXXX", tmp ? tmp : "/tmp");
	check(mkdtemp(dir) != NULL);
	put(dir, "off", data, n);
	if (end)
		put(dir, "off-always", end + 1, size - n - 1);
	if (off_rules_open(&rules, dir, dir, &path) == 0) {
		change(&rules);
		check(off_rules_save(&rules, &path) == 0);
		check(off_rules_open(&again, dir, dir, &path) == 0);
		check(json_equal(again.boot, rules.boot) && json_equal(again.lasting, rules.lasting));
		off_rules_close(&again);
	}
	off_rules_close(&rules);
	take_away(dir);
	return 0;
}
