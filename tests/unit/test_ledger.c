// SPDX-License-Identifier: GPL-2.0-or-later
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <cmocka.h>
#include <zlib.h>

#include "ipc/cleanup.h"
#include "supervisor/changes/ledger.h"

#define NETNS 7
#define NAME "a.x"
#define PATH_BYTES 300

/* A ledger in a directory of its own, and what it complained of. */
struct fixture {
	char dir[256];
	struct ledger ledger;
	unsigned int complaints;
	char last[1024];
};

static void complain(void *arg, const char *text)
{
	struct fixture *fixture = arg;

	fixture->complaints++;
	snprintf(fixture->last, sizeof(fixture->last), "%s", text);
}

static int reopen(struct fixture *fixture)
{
	ledger_close(&fixture->ledger);
	return ledger_open(&fixture->ledger, fixture->dir, complain, fixture);
}

static int open_ledger(void **state)
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
static unsigned int each_file(const struct fixture *fixture, const char *prefix, bool remove_them)
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

static int close_ledger(void **state)
{
	struct fixture *fixture = *state;

	ledger_close(&fixture->ledger);
	chmod(fixture->dir, 0700);
	each_file(fixture, "", true);
	rmdir(fixture->dir);
	free(fixture);
	return 0;
}

static struct ledger *ledger_of(void **state)
{
	return &((struct fixture *)*state)->ledger;
}

static enum ledger_news value(struct ledger *ledger, const char *now)
{
	return ledger_value(ledger, NETNS, NAME, now);
}

static int intent_by(struct ledger *ledger, const char *from, const char *to, const char *scenario)
{
	return ledger_intent(ledger, &(struct ledger_change){ .netns_cookie = NETNS, .container = "c", .tuner = "first",
							      .tunable = NAME, .scenario = scenario, .from = from,
							      .to = to, .reason = "because" });
}

static int intent(struct ledger *ledger, const char *from, const char *to)
{
	return intent_by(ledger, from, to, "near");
}

static void outcome(struct ledger *ledger, const char *to, int error)
{
	ledger_outcome(ledger, NETNS, NAME, error, to);
}

static void change(struct ledger *ledger, const char *from, const char *to)
{
	assert_int_equal(intent(ledger, from, to), 0);
	outcome(ledger, to, 0);
}

static const struct ledger_entry *entry_of(const struct ledger *ledger)
{
	return ledger_find(ledger, NETNS, NAME);
}

static void assert_entry(const struct ledger *ledger, const char *initial, const char *current, unsigned int changes,
			 bool intended)
{
	const struct ledger_entry *entry = entry_of(ledger);

	assert_non_null(entry);
	assert_string_equal(entry->initial, initial);
	assert_string_equal(entry->current, current);
	assert_int_equal(ledger_changes(entry), changes);
	assert_int_equal(entry->intended, intended);
}

static void assert_row(const struct ledger_row *row, const char *from, const char *to, const char *scenario)
{
	assert_string_equal(row->from, from);
	assert_string_equal(row->to, to);
	assert_string_equal(row->scenario, scenario);
	assert_string_equal(row->tuner, "first");
	assert_string_equal(row->reason, "because");
	assert_true(row->time_us > 1000000);
}

/* --- values and changes ------------------------------------------------------------------------- */

static void test_initial_is_kept(void **state)
{
	struct ledger *ledger = ledger_of(state);

	assert_null(entry_of(ledger));
	assert_int_equal(value(ledger, "1"), LEDGER_FIRST);
	assert_entry(ledger, "1", "1", 0, false);
	assert_null(ledger_last(entry_of(ledger)));
	assert_int_equal(value(ledger, "1"), LEDGER_SAME);
	change(ledger, "1", "2");
	assert_int_equal(value(ledger, "2"), LEDGER_SAME); /* a worker's successor reads again */
	assert_entry(ledger, "1", "2", 1, false);
	assert_null(ledger_find(ledger, NETNS, "a.y")); /* the others do not notice */
	assert_null(ledger_find(ledger, NETNS + 1, NAME));
}

static void test_changes(void **state)
{
	static const char *const values[] = { "1", "2", "4", "8", "16", "32" };
	struct ledger *ledger = ledger_of(state);
	size_t n = ARRAY_SIZE(values) - 1;

	value(ledger, values[0]);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(intent_by(ledger, values[i], values[i + 1], i % 2 ? "far" : "near"), 0);
		assert_entry(ledger, "1", values[i], i, true); /* not before it is done */
		outcome(ledger, values[i + 1], 0);
		assert_entry(ledger, "1", values[i + 1], i + 1, false);
	}
	assert_int_equal(entry_of(ledger)->n_rows, n);
	for (size_t i = 0; i < n; i++)
		assert_row(&entry_of(ledger)->rows[i], values[i], values[i + 1], i % 2 ? "far" : "near");
	assert_ptr_equal(ledger_last(entry_of(ledger)), &entry_of(ledger)->rows[n - 1]);
}

/* The kernel rounds: what was read back counts. */
static void test_outcome_is_what_was_read_back(void **state)
{
	struct ledger *ledger = ledger_of(state);

	value(ledger, "1");
	assert_int_equal(intent(ledger, "1", "1000"), 0);
	outcome(ledger, "512", 0);
	assert_entry(ledger, "1", "512", 1, false);
	assert_row(ledger_last(entry_of(ledger)), "1", "512", "near");
}

static void test_failed_outcome(void **state)
{
	struct ledger *ledger = ledger_of(state);

	value(ledger, "1");
	assert_int_equal(intent(ledger, "1", "2"), 0);
	outcome(ledger, "2", -EACCES);
	assert_entry(ledger, "1", "1", 0, false);
	assert_int_equal(intent(ledger, "1", "3"), 0); /* and it may try again */
}

static void test_outcome_without_intent(void **state)
{
	struct ledger *ledger = ledger_of(state);

	outcome(ledger, "2", 0);
	assert_null(entry_of(ledger));
	value(ledger, "1");
	outcome(ledger, "2", 0);
	assert_entry(ledger, "1", "1", 0, false);
	change(ledger, "1", "2");
	outcome(ledger, "3", 0); /* once */
	assert_entry(ledger, "1", "2", 1, false);
}

static void test_busy(void **state)
{
	struct ledger *ledger = ledger_of(state);
	struct ledger_change other = { .netns_cookie = NETNS, .tunable = "a.y", .tuner = "first", .scenario = "near",
				       .from = "1", .to = "2" };

	value(ledger, "1");
	ledger_value(ledger, NETNS, "a.y", "1");
	assert_int_equal(intent(ledger, "1", "2"), 0);
	assert_int_equal(intent(ledger, "1", "3"), -EBUSY);
	assert_string_equal(entry_of(ledger)->intent.to, "2");
	assert_int_equal(ledger_intent(ledger, &other), 0); /* each tunable for itself */
	other.netns_cookie++;
	ledger_value(ledger, NETNS + 1, "a.y", "1");
	assert_int_equal(ledger_intent(ledger, &other), 0); /* and each namespace */
	outcome(ledger, "2", 0);
	assert_int_equal(intent(ledger, "2", "3"), 0);
}

static void test_unknown(void **state)
{
	struct ledger *ledger = ledger_of(state);
	char too_long[LEDGER_NAME_BYTES + 1];

	memset(too_long, 'a', sizeof(too_long) - 1);
	too_long[sizeof(too_long) - 1] = '\0';
	assert_int_equal(intent(ledger, "1", "2"), -EINVAL); /* nothing to go back to */
	ledger_foreign(ledger, NETNS, NAME, "2");
	ledger_renew(ledger, NETNS, NAME);
	assert_null(entry_of(ledger));
	assert_int_equal(ledger_value(ledger, NETNS, too_long, "1"), LEDGER_SAME);
	assert_int_equal(ledger_value(ledger, NETNS, "", "1"), LEDGER_SAME);
	assert_null(ledger->entries);
	too_long[LEDGER_NAME_BYTES - 1] = '\0'; /* as long as may be */
	assert_int_equal(ledger_value(ledger, NETNS, too_long, "1"), LEDGER_FIRST);
	assert_int_equal(reopen(*state), 0);
	assert_non_null(ledger_find(ledger, NETNS, too_long));
}

/* A worker died between grant and outcome: what its successor reads tells whether it wrote. */
static void test_worker_died(void **state)
{
	static const struct {
		const char *what, *read, *recorded;
		unsigned int changes;
	} cases[] = {
		{ "it had written", "2", "2", 1 },
		{ "it had not", "1", "1", 0 },
		{ "it had, and the kernel rounded", "3", "3", 1 },
	};
	struct fixture *fixture = *state;
	struct ledger *ledger = &fixture->ledger;

	for (size_t i = 0; i < 2 * ARRAY_SIZE(cases); i++) {
		size_t n = i / 2;

		value(ledger, "1");
		assert_int_equal(intent(ledger, "1", "2"), 0);
		if (i % 2) /* the supervisor died with it */
			assert_int_equal(reopen(fixture), 0);
		assert_entry(ledger, "1", "1", 0, true);
		if (value(ledger, cases[n].read) != LEDGER_SAME)
			fail_msg("%s: foreign", cases[n].what);
		assert_entry(ledger, "1", cases[n].recorded, cases[n].changes, false);
		if (cases[n].changes)
			assert_row(ledger_last(entry_of(ledger)), "1", cases[n].recorded, "near");
		outcome(ledger, "9", 0); /* settled */
		assert_entry(ledger, "1", cases[n].recorded, cases[n].changes, false);
		assert_int_equal(reopen(fixture), 0); /* on disk as well */
		assert_entry(ledger, "1", cases[n].recorded, cases[n].changes, false);
		assert_int_equal(intent(ledger, cases[n].read, "9"), 0);
		ledger_gone(ledger, NETNS);
	}
}

static void test_foreign_value(void **state)
{
	struct ledger *ledger = ledger_of(state);

	value(ledger, "1");
	assert_int_equal(value(ledger, "5"), LEDGER_FOREIGN);
	assert_entry(ledger, "1", "5", 0, false);
	assert_int_equal(value(ledger, "5"), LEDGER_SAME); /* said once */
	ledger_foreign(ledger, NETNS, NAME, "6");
	assert_entry(ledger, "1", "6", 0, false);
	assert_int_equal(value(ledger, "1"), LEDGER_FOREIGN);
	assert_entry(ledger, "1", "1", 0, false);
}

/* Somebody else writes while a change of ours is under way; the kernel takes it or not. */
static void test_foreign_meanwhile(void **state)
{
	static const struct {
		const char *what, *theirs, *read_back; /* NULL: the worker died */
		const char *then_read;
		bool foreign;
		unsigned int changes;
	} cases[] = {
		{ "before ours was read back", "5", "5", "5", true, 1 },
		{ "after it", "5", "2", "5", true, 1 },
		{ "and it undid ours", "1", "2", "1", true, 1 },
		{ "at once", "1", "1", "1", true, 1 },
		{ "in words that the kernel understands", "0x5", "5", "5", true, 1 },
		{ "what the kernel does not take", "999", "2", "2", false, 1 },
		{ "and the worker died", "5", NULL, "5", true, 0 },
		{ "and it undid ours, and the worker died", "1", NULL, "1", true, 0 },
		{ "what the kernel does not take, then something else, and the worker died", "999", NULL, "7", true, 0 },
		{ "what the kernel does not take, and the worker died", "999", NULL, "1", false, 0 },
		{ "what the kernel does not take, and the worker died after its write", "999", NULL, "2", false, 1 },
	};
	struct ledger *ledger = ledger_of(state);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		value(ledger, "1");
		assert_int_equal(intent(ledger, "1", "2"), 0);
		ledger_foreign(ledger, NETNS, NAME, cases[i].theirs);
		if (cases[i].read_back)
			outcome(ledger, cases[i].read_back, 0);
		value(ledger, cases[i].then_read);
		assert_entry(ledger, "1", cases[i].then_read, cases[i].changes, false);
		if (entry_of(ledger)->foreign != cases[i].foreign)
			fail_msg("%s: %s", cases[i].what, cases[i].foreign ? "taken for ours" : "taken for theirs");
		if (cases[i].changes)
			assert_row(ledger_last(entry_of(ledger)), "1", "2", "near");
		ledger_gone(ledger, NETNS);
	}
}

/* What somebody else writes is told of before it is there. */
static void test_foreign_is_read_early(void **state)
{
	struct ledger *ledger = ledger_of(state);

	value(ledger, "1");
	change(ledger, "1", "2");
	ledger_foreign(ledger, NETNS, NAME, "5");
	assert_int_equal(value(ledger, "2"), LEDGER_SAME);
	assert_false(entry_of(ledger)->foreign);
	assert_int_equal(value(ledger, "5"), LEDGER_FOREIGN);
	assert_int_equal(value(ledger, "2"), LEDGER_FOREIGN); /* somebody's, too: theirs had been there */
	assert_true(entry_of(ledger)->foreign);
}

/* After ledger_doubt(), a value that equals ours counts as somebody else's. */
static void test_doubt(void **state)
{
	struct ledger *ledger = ledger_of(state);

	ledger_doubt(ledger, NETNS, NAME); /* nothing is known */
	value(ledger, "1");
	change(ledger, "1", "2");
	ledger_foreign(ledger, NETNS, NAME, "5");
	ledger_doubt(ledger, NETNS, NAME);
	assert_int_equal(value(ledger, "2"), LEDGER_FOREIGN);
	assert_true(entry_of(ledger)->foreign);
}

static void test_renew(void **state)
{
	struct fixture *fixture = *state;
	struct ledger *ledger = &fixture->ledger;

	value(ledger, "1");
	change(ledger, "1", "2");
	ledger_foreign(ledger, NETNS, NAME, "5");
	ledger_renew(ledger, NETNS, NAME);
	assert_entry(ledger, "1", "5", 1, false); /* not before it is read */
	assert_int_equal(reopen(fixture), 0);
	assert_int_equal(value(ledger, "5"), LEDGER_FIRST);
	assert_entry(ledger, "5", "5", 1, false);
	assert_int_equal(value(ledger, "6"), LEDGER_FOREIGN); /* once */
	assert_entry(ledger, "5", "6", 1, false);
}

static void test_scenarios_are_counted(void **state)
{
	struct ledger *ledger = ledger_of(state);
	const struct ledger_entry *entry;

	value(ledger, "0");
	for (unsigned int i = 0; i < 2 * LEDGER_SCENARIOS_MAX; i++) {
		char name[32], from[16], to[16];

		snprintf(name, sizeof(name), "scenario%u", i);
		for (unsigned int j = 0; j <= i % 2; j++) {
			snprintf(from, sizeof(from), "%u.%u", i, j);
			snprintf(to, sizeof(to), "%u.%u", i, j + 1);
			assert_int_equal(intent_by(ledger, from, to, name), 0);
			outcome(ledger, to, 0);
		}
	}
	for (int again = 0; again < 2; again++, assert_int_equal(reopen(*state), 0)) {
		entry = entry_of(ledger);
		assert_int_equal(ledger_changes(entry), 3 * LEDGER_SCENARIOS_MAX); /* none is lost */
		for (unsigned int i = 0; i + 1 < LEDGER_SCENARIOS_MAX; i++)
			assert_int_equal(entry->scenarios[i].changes, 1 + i % 2);
		assert_string_equal(entry->scenarios[0].name, "scenario0");
	}
}

static void make_changes(struct ledger *ledger, unsigned int n)
{
	char from[16] = "0", to[16];

	value(ledger, from);
	for (unsigned int i = 1; i <= n; i++) {
		snprintf(to, sizeof(to), "%u", i);
		change(ledger, from, to);
		strcpy(from, to);
	}
}

static void test_rows_are_bounded(void **state)
{
	struct ledger *ledger = ledger_of(state);
	unsigned int n = LEDGER_ROWS_MAX + 10;

	make_changes(ledger, n);
	for (int again = 0; again < 2; again++, assert_int_equal(reopen(*state), 0)) {
		assert_entry(ledger, "0", "74", n, false);
		assert_int_equal(entry_of(ledger)->n_rows, LEDGER_ROWS_MAX);
		assert_row(&entry_of(ledger)->rows[0], "10", "11", "near");
		assert_row(ledger_last(entry_of(ledger)), "73", "74", "near");
	}
}

static void test_values_are_cut(void **state)
{
	struct ledger *ledger = ledger_of(state);
	char text[2 * BPFTUNE_TEXT_BYTES];

	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(value(ledger, text), LEDGER_FIRST);
	assert_int_equal(strlen(entry_of(ledger)->initial), BPFTUNE_VALUE_BYTES - 1);
	assert_int_equal(ledger_intent(ledger, &(struct ledger_change){ .netns_cookie = NETNS, .tunable = NAME,
				       .tuner = text, .scenario = text, .from = text, .to = text, .reason = text }), 0);
	outcome(ledger, text, 0);
	assert_int_equal(reopen(*state), 0);
	assert_int_equal(ledger_changes(entry_of(ledger)), 1);
	assert_int_equal(strlen(ledger_last(entry_of(ledger))->reason), BPFTUNE_TEXT_BYTES - 1);
}

/* --- tuners' states ----------------------------------------------------------------------------- */

static void test_tuner_states(void **state)
{
	static const struct {
		enum tuner_state state;
		const char *name;
	} cases[] = {
		{ TUNER_MANUAL, "manual" }, { TUNER_PAUSED, "paused" }, { TUNER_OFF, "off" }, { TUNER_ACTIVE, "active" },
	};
	struct ledger *ledger = ledger_of(state);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_string_equal(tuner_state_name(cases[i].state), cases[i].name);
		ledger_set_state(ledger, NETNS, "first", cases[i].state, "why \"so\"");
		assert_int_equal(reopen(*state), 0);
		assert_int_equal(ledger_get_state(ledger, NETNS, "first")->state, cases[i].state);
		assert_string_equal(ledger_get_state(ledger, NETNS, "first")->why, "why \"so\"");
	}
	ledger_set_state(ledger, NETNS, "first", TUNER_ACTIVE, NULL);
	assert_string_equal(ledger_get_state(ledger, NETNS, "first")->why, "");
	assert_null(ledger_get_state(ledger, NETNS, "second"));
	assert_null(ledger_get_state(ledger, NETNS + 1, "first"));
}

/* --- the file ----------------------------------------------------------------------------------- */

static void path_of(const struct fixture *fixture, const char *name, char ret_path[PATH_BYTES])
{
	snprintf(ret_path, PATH_BYTES, "%s/%s", fixture->dir, name);
}

static off_t file_size(const struct fixture *fixture)
{
	char path[PATH_BYTES];
	struct stat st;

	path_of(fixture, "ledger", path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	return st.st_size;
}

static char *read_file(const struct fixture *fixture, size_t *ret_size)
{
	size_t size = file_size(fixture);
	char path[PATH_BYTES], *text = malloc(size + 1);
	_cleanup_fclose_ FILE *file = NULL;

	path_of(fixture, "ledger", path);
	file = fopen(path, "re");
	assert_true(file && text && fread(text, 1, size, file) == size);
	text[size] = '\0';
	*ret_size = size;
	return text;
}

static void write_file(const struct fixture *fixture, const char *text, size_t size)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[PATH_BYTES];

	path_of(fixture, "ledger", path);
	file = fopen(path, "we");
	assert_true(file && fwrite(text, 1, size, file) == size);
}

/* A line as the ledger would write it. */
static size_t put_line(char *to, const char *json)
{
	return sprintf(to, "%08lx %s\n", crc32(0, (const Bytef *)json, strlen(json)), json);
}

static void populate(struct ledger *ledger)
{
	value(ledger, "1");
	change(ledger, "1", "2");
	change(ledger, "2", "4");
	ledger_value(ledger, NETNS, "a.y", "cubic \"x\"\\");
	ledger_value(ledger, NETNS + 1, NAME, "4096 16384 65536");
	ledger_set_state(ledger, NETNS + 1, "first", TUNER_MANUAL, "a.x was set to 1 by sh (pid 1)");
}

static void assert_populated(const struct ledger *ledger)
{
	assert_int_equal(HASH_COUNT(ledger->entries), 3);
	assert_int_equal(HASH_COUNT(ledger->states), 1);
	assert_entry(ledger, "1", "4", 2, false);
	assert_row(&entry_of(ledger)->rows[0], "1", "2", "near");
	assert_row(&entry_of(ledger)->rows[1], "2", "4", "near");
	assert_string_equal(ledger_find(ledger, NETNS, "a.y")->initial, "cubic \"x\"\\");
	assert_string_equal(ledger_find(ledger, NETNS + 1, NAME)->current, "4096 16384 65536");
	assert_int_equal(ledger_get_state(ledger, NETNS + 1, "first")->state, TUNER_MANUAL);
}

static void test_reopen(void **state)
{
	struct fixture *fixture = *state;

	populate(&fixture->ledger);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(reopen(fixture), 0);
		assert_populated(&fixture->ledger);
	}
	assert_int_equal(fixture->complaints, 0);
	assert_int_equal(each_file(fixture, "", false), 1);
}

/* Wherever the last write was torn, all lines before are believed, and nothing is said. */
static void test_torn(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *text = NULL;
	size_t size, whole;

	populate(&fixture->ledger);
	assert_int_equal(reopen(fixture), 0);
	text = read_file(fixture, &whole);
	value(&fixture->ledger, "9");
	free(text);
	text = read_file(fixture, &size);
	assert_true(size > whole);
	for (size_t cut = whole; cut < size; cut++) {
		write_file(fixture, text, cut);
		assert_int_equal(reopen(fixture), 0);
		assert_populated(&fixture->ledger);
	}
	write_file(fixture, text, size);
	assert_int_equal(reopen(fixture), 0);
	assert_entry(&fixture->ledger, "1", "9", 2, false);
	assert_int_equal(fixture->complaints, 0);
}

/* One bit anywhere: nothing of the file is believed. */
static void test_damaged(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *text = NULL;
	unsigned int complaints = 0;
	size_t size;

	populate(&fixture->ledger);
	text = read_file(fixture, &size);
	for (size_t at = 0; at < size; at += at < 100 ? 1 : 37) {
		unsigned int before = fixture->complaints;

		if (text[at] == '\n' && at + 1 == size)
			continue; /* torn, not damaged */
		text[at] ^= 1;
		write_file(fixture, text, size);
		text[at] ^= 1;
		assert_int_equal(reopen(fixture), 0);
		if (fixture->ledger.entries || fixture->ledger.states || fixture->complaints != before + 1)
			fail_msg("byte %zu: %u entries, %u complaints", at, HASH_COUNT(fixture->ledger.entries),
				 fixture->complaints - before);
		complaints++;
	}
	assert_true(complaints > 100);
	assert_non_null(strstr(fixture->last, "ledger.damaged-"));
	assert_true(each_file(fixture, "ledger.damaged-", false) >= 1);
	value(&fixture->ledger, "1"); /* it goes on, in a new file */
	assert_int_equal(reopen(fixture), 0);
	assert_entry(&fixture->ledger, "1", "1", 0, false);
}

/* Whole lines with a right checksum that say what cannot be. */
/* As net.ipv4.ip_local_reserved_ports is by default. */
static void test_empty_value_is_kept(void **state)
{
	struct fixture *fixture = *state;
	struct ledger *ledger = &fixture->ledger;

	assert_int_equal(ledger_value(ledger, 7, "a.x", ""), LEDGER_FIRST);
	assert_int_equal(reopen(fixture), 0);
	assert_int_equal(fixture->complaints, 0);
	assert_int_equal(ledger_value(ledger, 7, "a.x", ""), LEDGER_SAME);
	assert_int_equal(ledger_value(ledger, 7, "a.x", "1"), LEDGER_FOREIGN);
	assert_string_equal(ledger_find(ledger, 7, "a.x")->initial, "");
}

static void test_nonsense(void **state)
{
	static const char *const lines[] = {
		"[]", "{}", "{\"kind\":\"entry\"}", "{\"kind\":\"dance\",\"netns\":7}", "{\"kind\":1,\"netns\":7}",
		"{\"kind\":\"entry\",\"netns\":\"7\",\"tunable\":\"a.x\",\"initial\":\"1\",\"current\":\"1\"}",
		"{\"kind\":\"entry\",\"netns\":7,\"tunable\":\"\",\"initial\":\"1\",\"current\":\"1\"}",
		"{\"kind\":\"intent\",\"netns\":9,\"tunable\":\"a.x\",\"from\":\"1\",\"to\":\"2\",\"scenario\":\"near\"}",
		"{\"kind\":\"change\",\"netns\":9,\"tunable\":\"a.x\",\"from\":\"1\",\"to\":\"2\",\"scenario\":\"near\"}",
		"{\"kind\":\"change\",\"netns\":7,\"tunable\":\"a.x\",\"from\":\"1\",\"to\":\"2\"}",
		"{\"kind\":\"change\",\"netns\":7,\"from\":\"1\",\"to\":\"2\",\"scenario\":\"near\"}",
		"{\"kind\":\"change\",\"netns\":7,\"tunable\":\"a.x\",\"to\":\"2\",\"scenario\":\"near\"}",
		"{\"kind\":\"change\",\"netns\":7,\"tunable\":\"a.x\",\"from\":\"1\",\"scenario\":\"near\"}",
		"{\"kind\":\"state\",\"netns\":7,\"tuner\":\"first\",\"state\":\"asleep\"}",
		"{\"kind\":\"gone\",\"kind\":\"gone\",\"netns\":7}",
	};
	struct fixture *fixture = *state;
	_cleanup_free_ char *text = NULL, *longer = NULL;
	size_t size, n;

	populate(&fixture->ledger);
	text = read_file(fixture, &size);
	longer = malloc(size + 1024);
	memcpy(longer, text, size);
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		n = put_line(longer + size, lines[i]);
		write_file(fixture, longer, size + n);
		assert_int_equal(reopen(fixture), 0);
		if (fixture->ledger.entries || fixture->complaints != i + 1)
			fail_msg("believed: %s", lines[i]);
	}
}

static void test_other_heads(void **state)
{
	static const struct {
		const char *head, *name;
	} cases[] = {
		{ "{\"bpftune_ledger\":2,\"boot\":\"x\"}", "ledger.other-version-" },
		{ "{\"bpftune_ledger\":0,\"boot\":\"x\"}", "ledger.other-version-" },
		{ "{\"bpftune_ledger\":1,\"boot\":\"x\"}", "ledger.other-boot-" },
		{ "{\"bpftune_ledger\":1}", "ledger.damaged-" },
		{ "{\"boot\":\"x\"}", "ledger.damaged-" },
	};
	struct fixture *fixture = *state;
	char text[1024];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t n = put_line(text, cases[i].head);

		n += put_line(text + n, "{\"kind\":\"entry\",\"netns\":7,\"tunable\":\"a.x\",\"initial\":\"1\","
					"\"current\":\"1\",\"renew\":false,\"scenarios\":{}}");
		each_file(fixture, "ledger.", true);
		write_file(fixture, text, n);
		assert_int_equal(reopen(fixture), 0);
		assert_null(fixture->ledger.entries);
		assert_int_equal(fixture->complaints, i + 1);
		if (each_file(fixture, cases[i].name, false) != 1 || !strstr(fixture->last, cases[i].name))
			fail_msg("%s: %s", cases[i].head, fixture->last);
	}
	each_file(fixture, "ledger", true);
	write_file(fixture, "", 0); /* its very first write never came: nothing to complain of */
	assert_int_equal(reopen(fixture), 0);
	assert_int_equal(fixture->complaints, ARRAY_SIZE(cases));
}

static void test_replay_errors(void **state)
{
	static const char *const head = "{\"bpftune_ledger\":1,\"boot\":\"x\"}";
	static const struct {
		const char *head, *line; /* NULL: a line without a checksum */
		int err;
	} cases[] = {
		{ "{\"bpftune_ledger\":1}", "{}", -EBADMSG },
		{ "{\"bpftune_ledger\":2,\"boot\":\"x\"}", "{}", -EPROTONOSUPPORT },
		{ "{\"bpftune_ledger\":1,\"boot\":\"y\"}", "{}", -ESTALE },
		{ NULL, "{\"kind\":\"gone\",\"netns\":7}", 0 },
		{ NULL, "{\"kind\":\"dance\",\"netns\":7}", -EBADMSG },
		{ NULL, "{\"kind\":\"entry\",\"netns\":7}", -EBADMSG },
		{ NULL, NULL, -EBADMSG },
	};
	struct ledger ledger = { .fd = -1 };
	char text[1024];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t n = put_line(text, cases[i].head ? cases[i].head : head);

		n += cases[i].line ? put_line(text + n, cases[i].line) : (size_t)sprintf(text + n, "{}\n");
		if (ledger_replay(&ledger, text, n, "x") != cases[i].err)
			fail_msg("case %zu", i);
	}
	assert_int_equal(ledger_replay(&ledger, "torn", 4, "x"), -EBADMSG);
	assert_int_equal(ledger_replay(&ledger, "", 0, "x"), 0);
}

static void test_not_a_file(void **state)
{
	struct fixture *fixture = *state;
	char path[PATH_BYTES];

	ledger_close(&fixture->ledger);
	path_of(fixture, "ledger", path);
	unlink(path);
	assert_int_equal(symlink("/dev/zero", path), 0);
	assert_int_equal(reopen(fixture), 0);
	assert_int_equal(fixture->complaints, 1);
	assert_int_equal(each_file(fixture, "ledger.damaged-", false), 1);
	value(&fixture->ledger, "1");
	assert_true(file_size(fixture) > 0); /* a file of its own, not the link's end */
}

static void test_huge(void **state)
{
	struct fixture *fixture = *state;
	char path[PATH_BYTES];

	populate(&fixture->ledger);
	path_of(fixture, "ledger", path);
	assert_int_equal(truncate(path, LEDGER_FILE_MAX + 1L), 0);
	assert_int_equal(reopen(fixture), 0);
	assert_null(fixture->ledger.entries);
	assert_int_equal(fixture->complaints, 1);
	assert_int_equal(each_file(fixture, "ledger.damaged-", false), 1);
	assert_true(file_size(fixture) < 1000);
}

static void test_no_directory(void **state)
{
	struct fixture *fixture = *state;

	strcat(fixture->dir, "/none");
	assert_int_equal(reopen(fixture), -ENOENT);
	assert_int_equal(fixture->complaints, 1);
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
	assert_true(largest < 1024 * 1024);
	for (int again = 0; again < 2; again++, assert_int_equal(reopen(fixture), 0)) {
		assert_entry(&fixture->ledger, "1", "3000", n + 2, false);
		assert_int_equal(entry_of(&fixture->ledger)->n_rows, LEDGER_ROWS_MAX);
		assert_row(ledger_last(entry_of(&fixture->ledger)), "2999", "3000", "near");
		assert_string_equal(ledger_find(&fixture->ledger, NETNS, "a.y")->initial, "cubic \"x\"\\");
		assert_int_equal(ledger_get_state(&fixture->ledger, NETNS + 1, "first")->state, TUNER_MANUAL);
	}
	assert_int_equal(intent(&fixture->ledger, "3000", "3001"), 0);
	assert_int_equal(reopen(fixture), 0); /* an intent under way as well */
	assert_entry(&fixture->ledger, "1", "3000", n + 2, true);
	assert_int_equal(fixture->complaints, 0);
}

/* Bytes that are no UTF-8 come from a sysctl or from a process's name: they cost neither record nor file. */
static void test_not_utf8(void **state)
{
	struct fixture *fixture = *state;

	value(&fixture->ledger, "1");
	ledger_set_state(&fixture->ledger, NETNS, "first", TUNER_MANUAL, "a.x was set to \xff by \xc3 (pid 1)");
	assert_int_equal(ledger_intent(&fixture->ledger, &(struct ledger_change){ .netns_cookie = NETNS, .tunable = NAME,
				       .tuner = "first", .scenario = "near", .from = "1", .to = "2",
				       .reason = "\xe2\x82" }), 0);
	assert_int_equal(fixture->complaints, 0);
	assert_int_equal(reopen(fixture), 0);
	assert_non_null(ledger_get_state(&fixture->ledger, NETNS, "first"));
	assert_int_equal(ledger_get_state(&fixture->ledger, NETNS, "first")->state, TUNER_MANUAL);
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

#define on_a_ledger(test) cmocka_unit_test_setup_teardown(test, open_ledger, close_ledger)

int main(void)
{
	const struct CMUnitTest tests[] = {
		on_a_ledger(test_initial_is_kept),
		on_a_ledger(test_changes),
		on_a_ledger(test_outcome_is_what_was_read_back),
		on_a_ledger(test_failed_outcome),
		on_a_ledger(test_outcome_without_intent),
		on_a_ledger(test_busy),
		on_a_ledger(test_unknown),
		on_a_ledger(test_worker_died),
		on_a_ledger(test_foreign_value),
		on_a_ledger(test_foreign_meanwhile),
		on_a_ledger(test_foreign_is_read_early),
		on_a_ledger(test_doubt),
		on_a_ledger(test_renew),
		on_a_ledger(test_scenarios_are_counted),
		on_a_ledger(test_rows_are_bounded),
		on_a_ledger(test_values_are_cut),
		on_a_ledger(test_tuner_states),
		on_a_ledger(test_reopen),
		on_a_ledger(test_torn),
		on_a_ledger(test_damaged),
		on_a_ledger(test_empty_value_is_kept),
		on_a_ledger(test_nonsense),
		on_a_ledger(test_other_heads),
		on_a_ledger(test_replay_errors),
		on_a_ledger(test_not_a_file),
		on_a_ledger(test_huge),
		on_a_ledger(test_no_directory),
		on_a_ledger(test_full_disk),
		on_a_ledger(test_full_disk_at_the_first_value),
		on_a_ledger(test_compaction),
		on_a_ledger(test_not_utf8),
		on_a_ledger(test_gone),
		on_a_ledger(test_prune),
	};

	return cmocka_run_group_tests_name("ledger", tests, NULL, NULL);
}
