/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A ledger in a directory of its own, and what it complains of. */
#ifndef BPFTUNE_TESTS_UNIT_TEMPORARY_LEDGER_H
#define BPFTUNE_TESTS_UNIT_TEMPORARY_LEDGER_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "supervisor/changes/ledger.h"

#define NETNS 7
#define NAME "a.x"
#define PATH_BYTES 300

struct fixture {
	char dir[256];
	struct ledger ledger;
	unsigned int complaints;
	char last[1024];
};

static inline void complain(void *arg, const char *text)
{
	struct fixture *fixture = arg;

	fixture->complaints++;
	snprintf(fixture->last, sizeof(fixture->last), "%s", text);
}

static inline int reopen(struct fixture *fixture)
{
	ledger_close(&fixture->ledger);
	return ledger_open(&fixture->ledger, fixture->dir, complain, fixture);
}

static inline int open_ledger(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	const char *tmp = getenv("TMPDIR");

	*state = fixture;
	if (!fixture)
		return -1;
	snprintf(fixture->dir, sizeof(fixture->dir), "%s/ledger.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(fixture->dir))
		return -1;
	return ledger_open(&fixture->ledger, fixture->dir, complain, fixture);
}

/* The number of files in the directory whose names begin so; removes them if asked to. */
static inline unsigned int each_file(const struct fixture *fixture, const char *prefix, bool remove_them)
{
	_cleanup_closedir_ DIR *dir = opendir(fixture->dir);
	const struct dirent *entry;
	unsigned int n = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.' || strncmp(entry->d_name, prefix, strlen(prefix)))
			continue;
		n++;
		if (remove_them)
			unlinkat(dirfd(dir), entry->d_name, 0);
	}
	return n;
}

static inline int close_ledger(void **state)
{
	struct fixture *fixture = *state;

	ledger_close(&fixture->ledger);
	chmod(fixture->dir, 0700);
	each_file(fixture, "", true);
	rmdir(fixture->dir);
	free(fixture);
	return 0;
}

static inline struct ledger *ledger_of(void **state)
{
	return &((struct fixture *)*state)->ledger;
}

static inline enum ledger_news value(struct ledger *ledger, const char *now)
{
	return ledger_value(ledger, NETNS, NAME, now);
}

static inline int intent_by(struct ledger *ledger, const char *from, const char *to, const char *scenario)
{
	return ledger_intent(ledger, &(struct ledger_change){ .netns_cookie = NETNS,
							      .container = "c",
							      .container_id = "c1d",
							      .tuner = "first",
							      .tunable = NAME,
							      .scenario = scenario,
							      .from = from,
							      .to = to,
							      .reason = "because" });
}

static inline int intent(struct ledger *ledger, const char *from, const char *to)
{
	return intent_by(ledger, from, to, "near");
}

static inline void outcome(struct ledger *ledger, const char *to, int error)
{
	ledger_outcome(ledger, NETNS, NAME, error, to);
}

static inline void change(struct ledger *ledger, const char *from, const char *to)
{
	assert_int_equal(intent(ledger, from, to), 0);
	outcome(ledger, to, 0);
}

static inline const struct ledger_entry *entry_of(const struct ledger *ledger)
{
	return ledger_find(ledger, NETNS, NAME);
}

static inline void assert_entry(const struct ledger *ledger, const char *initial, const char *current, unsigned int changes,
				bool intended)
{
	const struct ledger_entry *entry = entry_of(ledger);

	assert_non_null(entry);
	assert_string_equal(entry->initial, initial);
	assert_string_equal(entry->current, current);
	assert_int_equal(ledger_changes(entry), changes);
	assert_int_equal(entry->intended, intended);
}

static inline void assert_row(const struct ledger_row *row, const char *from, const char *to, const char *scenario)
{
	assert_string_equal(row->from, from);
	assert_string_equal(row->to, to);
	assert_string_equal(row->scenario, scenario);
	assert_string_equal(row->tuner, "first");
	assert_string_equal(row->reason, "because");
	assert_true(row->time_us > 1000000);
}

#define on_a_ledger(test) cmocka_unit_test_setup_teardown(test, open_ledger, close_ledger)

static inline void path_of(const struct fixture *fixture, const char *name, char ret_path[PATH_BYTES])
{
	snprintf(ret_path, PATH_BYTES, "%s/%s", fixture->dir, name);
}

static inline off_t file_size(const struct fixture *fixture)
{
	char path[PATH_BYTES];
	struct stat st;

	path_of(fixture, "ledger", path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	return st.st_size;
}

static inline void populate(struct ledger *ledger)
{
	value(ledger, "1");
	change(ledger, "1", "2");
	change(ledger, "2", "4");
	ledger_value(ledger, NETNS, "a.y", "cubic \"x\"\\");
	ledger_value(ledger, NETNS + 1, NAME, "4096 16384 65536");
	ledger_set_state(ledger, NETNS + 1, "first", TUNER_MANUAL, "a.x was set to 1 by sh (pid 1)");
}

static inline void assert_populated(const struct ledger *ledger)
{
	assert_int_equal(HASH_COUNT(ledger->entries), 3);
	assert_int_equal(HASH_COUNT(ledger->states), 1);
	assert_entry(ledger, "1", "4", 2, false);
	assert_row(ledger_last(entry_of(ledger)), "2", "4", "near");
	assert_string_equal(ledger_find_netns(ledger, NETNS)->name, "c");
	assert_string_equal(ledger_find_netns(ledger, NETNS)->container_id, "c1d");
	assert_string_equal(ledger_find(ledger, NETNS, "a.y")->initial, "cubic \"x\"\\");
	assert_string_equal(ledger_find(ledger, NETNS + 1, NAME)->current, "4096 16384 65536");
	assert_int_equal(ledger_get_state(ledger, NETNS + 1, "first")->state, TUNER_MANUAL);
}

#endif
