// SPDX-License-Identifier: GPL-2.0-or-later
/* The ledger without a file, a directory or room on the disk; and what keeps the file small. */
#include <signal.h>
#include <sys/resource.h>

#include "tests/unit/temporary_ledger.h"

static void assert_explained(const struct fixture *fixture, int error, const char *remedy)
{
	const char *hint = ledger_hint(&fixture->ledger, error);

	if (!strstr(hint, remedy))
		fail_msg("%s%s", fixture->ledger.doing, hint);
	assert_non_null(strstr(fixture->ledger.path, fixture->dir));
	assert_null(fixture->ledger.entries);
	assert_int_equal(fixture->ledger.fd, -1);
}

/* Then nothing is done to what is there. */
static void assert_unreadable(struct fixture *fixture, int error, const char *remedy)
{
	unsigned int n = each_file(fixture, "", false), complaints = fixture->complaints;

	assert_int_equal(reopen(fixture), error);
	assert_explained(fixture, error, remedy);
	assert_int_equal(each_file(fixture, "", false), n);
	assert_int_equal(fixture->complaints, complaints);
}

static void test_not_a_file(void **state)
{
	struct fixture *fixture = *state;
	char path[PATH_BYTES];

	ledger_close(&fixture->ledger);
	path_of(fixture, "ledger", path);
	unlink(path);
	assert_int_equal(symlink("/dev/zero", path), 0);
	assert_unreadable(fixture, -ELOOP, "no regular file");
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_unreadable(fixture, -EINVAL, "no regular file");
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_unreadable(fixture, -EINVAL, "no regular file");
	rmdir(path);
	assert_int_equal(reopen(fixture), 0);
}

/* The next start finds the file as it was. */
static void assert_as_populated(struct fixture *fixture, const struct stat *before)
{
	struct stat now;
	char path[PATH_BYTES];

	path_of(fixture, "ledger", path);
	assert_int_equal(stat(path, &now), 0);
	assert_int_equal(now.st_ino, before->st_ino);
	assert_int_equal(now.st_size, before->st_size);
	assert_int_equal(now.st_mtim.tv_sec, before->st_mtim.tv_sec);
	assert_int_equal(now.st_mtim.tv_nsec, before->st_mtim.tv_nsec);
	assert_int_equal(reopen(fixture), 0);
	assert_populated(&fixture->ledger);
	assert_int_equal(fixture->complaints, 0);
}

static void populated(struct fixture *fixture, char ret_path[PATH_BYTES], struct stat *ret_stat)
{
	populate(&fixture->ledger);
	assert_int_equal(reopen(fixture), 0);
	path_of(fixture, "ledger", ret_path);
	assert_int_equal(stat(ret_path, ret_stat), 0);
}

static void test_huge(void **state)
{
	struct fixture *fixture = *state;
	struct stat before, longer;
	char path[PATH_BYTES];

	populated(fixture, path, &before);
	assert_int_equal(truncate(path, LEDGER_FILE_MAX + 1L), 0);
	assert_int_equal(stat(path, &longer), 0);
	assert_unreadable(fixture, -EFBIG, "256 MiB");
	assert_int_equal(truncate(path, before.st_size), 0);
	assert_int_equal(stat(path, &longer), 0);
	assert_as_populated(fixture, &longer);
}

static void test_no_descriptors(void **state)
{
	struct rlimit old, limit;
	struct fixture *fixture = *state;
	struct stat before;
	char path[PATH_BYTES];

	populated(fixture, path, &before);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	limit = old;
	limit.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ledger_close(&fixture->ledger);
	assert_int_equal(ledger_open(&fixture->ledger, fixture->dir, complain, fixture), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_explained(fixture, -EMFILE, "ulimit -n");
	assert_as_populated(fixture, &before);
}

/* Not under ASan, which ends the process. */
static void test_no_memory(void **state)
{
#ifndef __SANITIZE_ADDRESS__
	struct rlimit old, limit;
	struct fixture *fixture = *state;
	struct stat before;
	char path[PATH_BYTES];

	populated(fixture, path, &before);
	assert_int_equal(truncate(path, LEDGER_FILE_MAX), 0);
	assert_int_equal(stat(path, &before), 0);
	assert_int_equal(getrlimit(RLIMIT_AS, &old), 0);
	limit = old;
	limit.rlim_cur = LEDGER_FILE_MAX;
	assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
	assert_unreadable(fixture, -ENOMEM, "memory");
	assert_int_equal(setrlimit(RLIMIT_AS, &old), 0);
	assert_int_equal(reopen(fixture), 0); /* what it is filled with is damage */
	assert_populated(&fixture->ledger);
	assert_int_equal(each_file(fixture, "ledger.damaged-", false), 1);
#else
	(void)state;
	skip();
#endif
}

/* What is appended is never more than what the next start reads. */
static void test_as_long_as_may_be(void **state)
{
	struct fixture *fixture = *state;
	struct ledger *ledger = &fixture->ledger;

	populate(ledger);
	assert_int_equal(reopen(fixture), 0);
	ledger->file_bytes = ledger->rewritten_bytes = LEDGER_FILE_MAX;
	assert_int_equal(intent(ledger, "4", "8"), -EFBIG); /* all of it is of use */
	assert_int_equal(fixture->complaints, 1);
	ledger->file_bytes = 0;
	for (int i = 0; i < 4; i++)
		value(ledger, i % 2 ? "4" : "5");
	ledger->file_bytes = LEDGER_FILE_MAX;
	assert_int_equal(intent(ledger, "4", "8"), 0); /* it is rewritten first */
	assert_true(ledger->file_bytes < 4096);
	assert_int_equal(reopen(fixture), 0);
	assert_entry(ledger, "1", "4", 2, true);
}

static void test_no_directory(void **state)
{
	struct fixture *fixture = *state;

	strcat(fixture->dir, "/none");
	assert_int_equal(reopen(fixture), -ENOENT);
	assert_explained(fixture, -ENOENT, "no change is made");
	assert_int_equal(value(&fixture->ledger, "1"), LEDGER_FIRST); /* in memory */
	assert_int_equal(intent(&fixture->ledger, "1", "2"), -EROFS);
	assert_entry(&fixture->ledger, "1", "1", 0, false);
	*strrchr(fixture->dir, '/') = '\0';
}

/* A write that only partly fits: nothing is granted, and what is there stays good. */
static void test_full_disk(void **state)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY }, limit = unlimited;
	struct fixture *fixture = *state;

	signal(SIGXFSZ, SIG_IGN);
	populate(&fixture->ledger);
	for (unsigned int room = 0; room < 100; room += 33) {
		limit.rlim_cur = file_size(fixture) + room;
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
		assert_int_not_equal(intent(&fixture->ledger, "4", "8"), 0);
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &unlimited), 0);
		assert_populated(&fixture->ledger);
		assert_int_equal(fixture->complaints, room / 33 + 1);
		assert_int_equal(file_size(fixture), limit.rlim_cur - room);
	}
	change(&fixture->ledger, "4", "8"); /* there is room again */
	assert_int_equal(reopen(fixture), 0);
	assert_entry(&fixture->ledger, "1", "8", 3, false);
	assert_int_equal(each_file(fixture, "", false), 1);
}

/* A value that could not be written when it was read is written before anything is granted. */
static void test_full_disk_at_the_first_value(void **state)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY }, limit = unlimited;
	struct fixture *fixture = *state;

	signal(SIGXFSZ, SIG_IGN);
	limit.rlim_cur = file_size(fixture);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(value(&fixture->ledger, "1"), LEDGER_FIRST);
	assert_int_not_equal(intent(&fixture->ledger, "1", "2"), 0);
	assert_entry(&fixture->ledger, "1", "1", 0, false);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &unlimited), 0);
	assert_int_equal(intent(&fixture->ledger, "1", "2"), 0);
	assert_int_equal(reopen(fixture), 0);
	assert_entry(&fixture->ledger, "1", "1", 0, true);
}

/* Compaction keeps the file small and everything that is known. */
static void test_compaction(void **state)
{
	struct fixture *fixture = *state;
	const unsigned int n = 3000;
	off_t largest = 0, size;
	bool shrunk = false;

	populate(&fixture->ledger);
	value(&fixture->ledger, "0");
	for (unsigned int i = 0; i < n; i++) {
		char from[16], to[16];

		snprintf(from, sizeof(from), "%u", i);
		snprintf(to, sizeof(to), "%u", i + 1);
		change(&fixture->ledger, from, to);
		size = file_size(fixture);
		shrunk |= size < largest;
		largest = size > largest ? size : largest;
	}
	assert_true(shrunk);
	assert_true(largest < 512 * 1024);
	for (int again = 0; again < 2; again++, assert_int_equal(reopen(fixture), 0)) {
		assert_entry(&fixture->ledger, "1", "3000", n + 2, false);
		assert_row(ledger_last(entry_of(&fixture->ledger)), "2999", "3000", "near");
		assert_string_equal(ledger_find(&fixture->ledger, NETNS, "a.y")->initial, "cubic \"x\"\\");
		assert_int_equal(ledger_get_state(&fixture->ledger, NETNS + 1, "first")->state, TUNER_MANUAL);
	}
	assert_int_equal(intent(&fixture->ledger, "3000", "3001"), 0);
	assert_int_equal(reopen(fixture), 0); /* an intent under way as well */
	assert_entry(&fixture->ledger, "1", "3000", n + 2, true);
	assert_int_equal(fixture->complaints, 0);
}

/* While all of it is of use, the file is not written anew, which would take longer each time. */
static void test_growth(void **state)
{
	struct fixture *fixture = *state;
	int fd = fixture->ledger.fd;
	uint64_t cookie;

	for (cookie = 1; cookie <= 10000; cookie++) {
		assert_int_equal(ledger_value(&fixture->ledger, cookie, NAME, "1"), LEDGER_FIRST);
		assert_int_equal(fixture->ledger.fd, fd);
	}
	assert_true(file_size(fixture) > 1024 * 1024);
	while (--cookie > 1000)
		ledger_gone(&fixture->ledger, cookie);
	assert_true(file_size(fixture) < 1024 * 1024);
	assert_int_equal(reopen(fixture), 0);
	assert_null(ledger_find(&fixture->ledger, 1001, NAME));
	assert_non_null(ledger_find(&fixture->ledger, 1000, NAME));
}

/* --- the end of namespaces ---------------------------------------------------------------------- */

static void test_gone(void **state)
{
	struct fixture *fixture = *state;

	populate(&fixture->ledger);
	ledger_gone(&fixture->ledger, NETNS);
	for (int again = 0; again < 2; again++, assert_int_equal(reopen(fixture), 0)) {
		assert_null(entry_of(&fixture->ledger));
		assert_null(ledger_find(&fixture->ledger, NETNS, "a.y"));
		assert_non_null(ledger_find(&fixture->ledger, NETNS + 1, NAME));
		assert_non_null(ledger_get_state(&fixture->ledger, NETNS + 1, "first"));
	}
	assert_int_equal(value(&fixture->ledger, "5"), LEDGER_FIRST);
}

static bool is_even(void *arg, uint64_t netns_cookie)
{
	assert_string_equal(arg, "lives");
	return netns_cookie % 2 == 0;
}

static void test_prune(void **state)
{
	struct fixture *fixture = *state;
	struct ledger *ledger = &fixture->ledger;

	ledger_prune(ledger, is_even, "lives"); /* nothing yet */
	for (uint64_t cookie = 1; cookie <= 20; cookie++) {
		if (cookie % 5) {
			ledger_value(ledger, cookie, NAME, "1");
			ledger_value(ledger, cookie, "a.y", "1");
		}
		if (cookie % 3)
			ledger_set_state(ledger, cookie, "first", TUNER_PAUSED, NULL);
	}
	ledger_prune(ledger, is_even, "lives");
	for (int again = 0; again < 2; again++, assert_int_equal(reopen(fixture), 0))
		for (uint64_t cookie = 1; cookie <= 20; cookie++) {
			assert_int_equal(ledger_find(ledger, cookie, NAME) != NULL, cookie % 2 == 0 && cookie % 5);
			assert_int_equal(ledger_find(ledger, cookie, "a.y") != NULL, cookie % 2 == 0 && cookie % 5);
			assert_int_equal(ledger_get_state(ledger, cookie, "first") != NULL,
					 cookie % 2 == 0 && cookie % 3);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		on_a_ledger(test_not_a_file),
		on_a_ledger(test_huge),
		on_a_ledger(test_no_descriptors),
		on_a_ledger(test_no_memory),
		on_a_ledger(test_as_long_as_may_be),
		on_a_ledger(test_no_directory),
		on_a_ledger(test_full_disk),
		on_a_ledger(test_full_disk_at_the_first_value),
		on_a_ledger(test_compaction),
		on_a_ledger(test_growth),
		on_a_ledger(test_gone),
		on_a_ledger(test_prune),
	};

	return cmocka_run_group_tests_name("ledger_disk", tests, NULL, NULL);
}
