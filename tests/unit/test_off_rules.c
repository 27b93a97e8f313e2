// SPDX-License-Identifier: GPL-2.0-or-later
/* What is turned off, and what is left of that in its files. */
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

#include "supervisor/changes/off_rules.h"

#define WEB "netns 7"
#define SHARER "cgroup 9"

struct fixture {
	char dir[256], run[300], state[300];
	struct off_rules rules;
};

static const char *path;

static int reopen(struct fixture *fixture)
{
	off_rules_close(&fixture->rules);
	return off_rules_open(&fixture->rules, fixture->run, fixture->state, &path);
}

static int open_rules(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	const char *tmp = getenv("TMPDIR");

	*state = fixture;
	if (!fixture)
		return -1;
	snprintf(fixture->dir, sizeof(fixture->dir), "%s/off.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(fixture->dir))
		return -1;
	snprintf(fixture->run, sizeof(fixture->run), "%s/run", fixture->dir);
	snprintf(fixture->state, sizeof(fixture->state), "%s/lib/bpftune", fixture->dir);
	return mkdir(fixture->run, 0700) || reopen(fixture);
}

static int close_rules(void **state)
{
	struct fixture *fixture = *state;
	char above[300];

	unlink(fixture->rules.boot_path);
	unlink(fixture->rules.lasting_path);
	snprintf(above, sizeof(above), "%s/lib", fixture->dir);
	rmdir(fixture->state);
	rmdir(above);
	rmdir(fixture->run);
	rmdir(fixture->dir);
	off_rules_close(&fixture->rules);
	free(fixture);
	return 0;
}

static void put(const char *file, const char *text, mode_t mode)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void test_rules(void **state)
{
	struct fixture *fixture = *state;
	struct off_rules *rules = &fixture->rules;

	assert_true(off_rules_are_empty(rules));
	assert_false(off_rules_has(rules, WEB, "a"));
	off_rules_remove(rules, WEB, "a");
	assert_false(off_rules_remove_scope(rules, WEB));
	off_rules_add(rules, WEB, "a");
	off_rules_add(rules, WEB, "b");
	off_rules_add(rules, WEB, "b");
	off_rules_add(rules, OFF_HOST, OFF_EVERY_TUNER);
	assert_true(off_rules_has(rules, WEB, "a"));
	assert_true(off_rules_has(rules, OFF_HOST, OFF_EVERY_TUNER));
	assert_false(off_rules_has(rules, OFF_HOST, "a"));
	assert_false(off_rules_has(rules, SHARER, "a"));
	off_rules_remove(rules, WEB, "a");
	assert_false(off_rules_has(rules, WEB, "a"));
	off_rules_remove(rules, WEB, "b");
	assert_false(off_rules_remove_scope(rules, WEB)); /* nothing is left of it */
	assert_true(off_rules_remove_scope(rules, OFF_HOST));
	assert_true(off_rules_are_empty(rules));
}

/* Directories are made; what is not needed any more goes. */
static void test_files(void **state)
{
	struct fixture *fixture = *state;
	struct off_rules *rules = &fixture->rules;
	struct stat st;

	off_rules_add(rules, WEB, "a");
	off_rules_add(rules, SHARER, OFF_EVERY_TUNER);
	off_rules_add(rules, OFF_ALL, "b");
	assert_int_equal(off_rules_save(rules, &path), 0);
	assert_int_equal(stat(rules->lasting_path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(reopen(fixture), 0);
	assert_true(off_rules_has(rules, WEB, "a"));
	assert_true(off_rules_has(rules, SHARER, OFF_EVERY_TUNER));
	assert_true(off_rules_has(rules, OFF_ALL, "b"));
	off_rules_remove_scope(rules, WEB);
	off_rules_remove_scope(rules, SHARER);
	off_rules_remove_scope(rules, OFF_ALL);
	assert_int_equal(off_rules_save(rules, &path), 0);
	assert_int_equal(access(rules->boot_path, F_OK), -1);
	assert_int_equal(access(rules->lasting_path, F_OK), -1);
}

/* A file whose rules stay is left alone: the lasting one is on a disk, and containers end all the time. */
static void test_only_what_changed_is_written(void **state)
{
	struct fixture *fixture = *state;
	struct off_rules *rules = &fixture->rules;
	char lasting[350];
	struct stat before, after;

	snprintf(lasting, sizeof(lasting), "%s/off-always", fixture->state);
	off_rules_add(rules, OFF_ALL, "a");
	assert_int_equal(off_rules_save(rules, &path), 0);
	assert_int_equal(access(rules->boot_path, F_OK), -1);
	assert_int_equal(stat(lasting, &before), 0);
	off_rules_add(rules, WEB, "a");
	assert_int_equal(off_rules_save(rules, &path), 0);
	off_rules_remove_scope(rules, WEB);
	off_rules_remove(rules, OFF_ALL, "b");
	assert_int_equal(off_rules_save(rules, &path), 0);
	assert_int_equal(stat(lasting, &after), 0);
	assert_true(after.st_ino == before.st_ino && after.st_mtim.tv_sec == before.st_mtim.tv_sec &&
		    after.st_mtim.tv_nsec == before.st_mtim.tv_nsec);
	off_rules_remove(rules, OFF_ALL, "a");
	assert_int_equal(off_rules_save(rules, &path), 0);
	assert_int_equal(access(lasting, F_OK), -1);
}

/* What others have put in the way, from when they could: it is replaced, and nothing is written through it. */
static void test_planted_new_file(void **state)
{
	struct fixture *fixture = *state;
	char victim[350], new[350];
	struct stat st;

	snprintf(victim, sizeof(victim), "%s/victim", fixture->dir);
	snprintf(new, sizeof(new), "%s/off.new", fixture->run);
	put(victim, "precious", 0600);
	for (int is_hard = 0; is_hard < 2; is_hard++) {
		assert_int_equal(is_hard ? link(victim, new) : symlink(victim, new), 0);
		off_rules_add(&fixture->rules, WEB, "a");
		assert_int_equal(off_rules_save(&fixture->rules, &path), 0);
		assert_int_equal(lstat(fixture->rules.boot_path, &st), 0);
		assert_true(S_ISREG(st.st_mode) && st.st_nlink == 1);
		assert_int_equal(stat(victim, &st), 0);
		assert_int_equal(st.st_size, strlen("precious"));
	}
	unlink(victim);
}

/* Cookies and ids are another boot's; what is about all or the host stays. */
static void test_another_boot(void **state)
{
	struct fixture *fixture = *state;
	char file[350];

	off_rules_add(&fixture->rules, OFF_HOST, "a");
	assert_int_equal(off_rules_save(&fixture->rules, &path), 0);
	snprintf(file, sizeof(file), "%s/off", fixture->run);
	put(file, "{\"boot\": \"another\", \"off\": {\"netns 7\": {\"a\": true}}}", 0600);
	assert_int_equal(reopen(fixture), 0);
	assert_false(off_rules_has(&fixture->rules, WEB, "a"));
	assert_true(off_rules_has(&fixture->rules, OFF_HOST, "a"));
}

/* A supervisor that cannot know what is turned off does not start; no file is touched. */
static void test_of_no_use(void **state)
{
	static const struct {
		const char *text;
		mode_t mode;
		int err;
	} cases[] = {
		{ "", 0600, -EBADMSG },
		{ "[]", 0600, -EBADMSG },
		{ "{}", 0600, -EBADMSG },
		{ "{\"off\": []}", 0600, -EBADMSG },
		{ "{\"off\": {\"all\": [\"a\"]}}", 0600, -EBADMSG },
		{ "{\"off\": {\"all\": {\"a\": false}}}", 0600, -EBADMSG },
		{ "{\"off\": {}", 0600, -EBADMSG },
		{ "{\"off\": {}}", 0620, -EPERM },
		{ "{\"off\": {}}", 0602, -EPERM },
		{ "{\"off\": {}}", 0600, 0 },
	};
	struct fixture *fixture = *state;
	char file[350];

	off_rules_add(&fixture->rules, OFF_ALL, "a"); /* its directory */
	assert_int_equal(off_rules_save(&fixture->rules, &path), 0);
	snprintf(file, sizeof(file), "%s/off-always", fixture->state);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		put(file, cases[i].text, cases[i].mode);
		assert_int_equal(reopen(fixture), cases[i].err);
		assert_string_equal(path, file);
	}
}

/* It is said which file could not be written; what is turned off is so all the same. */
static void test_not_kept(void **state)
{
	struct fixture *fixture = *state;
	char lib[350];

	snprintf(lib, sizeof(lib), "%s/lib", fixture->dir);
	put(lib, "in the way", 0600);
	off_rules_add(&fixture->rules, OFF_ALL, "a");
	off_rules_add(&fixture->rules, WEB, "a");
	assert_int_equal(off_rules_save(&fixture->rules, &path), -ENOTDIR);
	assert_string_equal(path, fixture->rules.lasting_path);
	assert_int_equal(access(fixture->rules.boot_path, F_OK), 0);
	assert_true(off_rules_has(&fixture->rules, OFF_ALL, "a"));
	unlink(lib);
	assert_int_equal(off_rules_save(&fixture->rules, &path), 0); /* with the next word */
	assert_int_equal(access(fixture->rules.lasting_path, F_OK), 0);
}

#define with_rules(test) cmocka_unit_test_setup_teardown(test, open_rules, close_rules)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_rules(test_rules),
		with_rules(test_files),
		with_rules(test_only_what_changed_is_written),
		with_rules(test_planted_new_file),
		with_rules(test_another_boot),
		with_rules(test_of_no_use),
		with_rules(test_not_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
