// SPDX-License-Identifier: GPL-2.0-or-later
/* Lines and files of sysctl.d, and what is known of keys. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "supervisor/cli/advise_files.h"
#include "supervisor/cli/advise_known.h"
#include "supervisor/cli/advise_value.h"

/* --- lines -------------------------------------------------------------------------------------- */

static void test_lines(void **state)
{
	static const struct {
		const char *line, *key, *value;
		bool may_fail, is_glob;
	} cases[] = {
		{ "", NULL, NULL, false, false },
		{ " \t\r", NULL, NULL, false, false },
		{ "# net.ipv4.x = 1", NULL, NULL, false, false },
		{ "\t; net.ipv4.x = 1", NULL, NULL, false, false },
		{ "net.ipv4.x=1", "net.ipv4.x", "1", false, false },
		{ "  net.ipv4.x \t=  1 \t 2\t\t3 \r", "net.ipv4.x", "1 2 3", false, false },
		{ "net.ipv4.x = 1\f2\v3", "net.ipv4.x", "1 2 3", false, false },
		{ "net/ipv4/conf/eth0.1/x = 1", "net.ipv4.conf.eth0/1.x", "1", false, false },
		{ "net.ipv4.conf.eth0/1.x = 1", "net.ipv4.conf.eth0/1.x", "1", false, false },
		{ "kernel.core_pattern = |/bin/x a=%e # b", "kernel.core_pattern", "|/bin/x a=%e # b", false, false },
		{ "kernel.x =", "kernel.x", "", false, false },
		{ "-net.x = 1", "net.x", "1", true, false },
		{ "- net.x = 1", "net.x", "1", true, false },
		{ "-net.x", "net.x", NULL, true, false },
		{ "net.*.x = 1", "net.*.x", "1", false, true },
		{ "net/ipv?/[a]x = 1", "net.ipv?.[a]x", "1", false, true },
		{ "x=1", "x", "1", false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct setting setting;

		assert_int_equal(setting_parse(cases[i].line, strlen(cases[i].line), &setting), 0);
		assert_null(setting.malformed);
		assert_int_equal(!setting.key, !cases[i].key);
		assert_int_equal(!setting.value, !cases[i].value);
		if (setting.key)
			assert_string_equal(setting.key, cases[i].key);
		if (setting.value)
			assert_string_equal(setting.value, cases[i].value);
		assert_int_equal(setting.may_fail, cases[i].may_fail);
		assert_int_equal(setting.is_glob, cases[i].is_glob);
		setting_clear(&setting);
	}
}

static void assert_malformed(const char *line, size_t n, const char *why)
{
	struct setting setting;

	assert_int_equal(setting_parse(line, n, &setting), 0);
	assert_non_null(setting.malformed);
	assert_non_null(strstr(setting.malformed, why));
	assert_null(setting.key);
	assert_null(setting.value);
}

static void test_malformed(void **state)
{
	static const struct {
		const char *line, *why;
	} cases[] = {
		{ "net.ipv4.x 1", "no '='" },
		{ "= 1", "no key" },
		{ "-", "no key" },
		{ "- = 1", "no key" },
		{ "sysctl -w net.x = 1", "blank" },
		{ "net.ipv4..x = 1", "empty" },
		{ ".net.x = 1", "empty" },
		{ "net.x. = 1", "empty" },
		{ "/proc/sys/net/x = 1", "empty" },
		{ "net/../kernel/x = 1", "leads out" },
		{ "net/./x = 1", "leads out" },
		{ "net.//.x = 1", "leads out" },
		{ "\xef\xbb\xbfnet.x = 1", "character" }, /* a byte order mark */
		{ "net.\x01x = 1", "character" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_malformed(cases[i].line, strlen(cases[i].line), cases[i].why);
	assert_malformed("net.x = 1\0002", 11, "NUL");
}

/* --- files -------------------------------------------------------------------------------------- */

struct fixture {
	char dir[256], high[300], low[300];
	struct sysctl_files files;
};

static void put(const char *dir, const char *name, const char *text)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[600];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "we");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
}

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	const char *tmp = getenv("TMPDIR");

	*state = fixture;
	if (!fixture)
		return -1;
	snprintf(fixture->dir, sizeof(fixture->dir), "%s/advise.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(fixture->dir))
		return -1;
	snprintf(fixture->high, sizeof(fixture->high), "%s/high", fixture->dir);
	snprintf(fixture->low, sizeof(fixture->low), "%s/low", fixture->dir);
	return mkdir(fixture->high, 0700) || mkdir(fixture->low, 0700);
}

static int tear_down(void **state)
{
	static const char *const names[] = { "high/10-a.conf",
					     "high/30-c.conf",
					     "high/.hidden.conf",
					     "high/README",
					     "low/10-a.conf",
					     "low/20-b.conf",
					     "high",
					     "low" };
	struct fixture *fixture = *state;
	char path[600];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", fixture->dir, names[i]);
		remove(path);
	}
	sysctl_files_clear(&fixture->files);
	rmdir(fixture->dir);
	free(fixture);
	return 0;
}

static void find(struct fixture *fixture)
{
	const char *const dirs[] = { fixture->high, fixture->low, "/nowhere/at/all" }, *dir;

	assert_int_equal(sysctl_files_find(&fixture->files, dirs, ARRAY_SIZE(dirs), &dir), 0);
}

static void assert_file(const struct fixture *fixture, size_t i, const char *path, bool is_shadowed)
{
	const struct sysctl_file *file = &fixture->files.files[i];

	assert_string_equal(file->path + strlen(fixture->dir), path);
	assert_int_equal(file->shadowed_by != NULL, is_shadowed);
}

/* By name over all directories; of two with the same name the earlier directory's. */
static void test_order(void **state)
{
	struct fixture *fixture = *state;
	char path[600];

	put(fixture->high, "30-c.conf", "");
	put(fixture->high, "10-a.conf", "");
	put(fixture->high, ".hidden.conf", "");
	put(fixture->high, "README", "");
	put(fixture->low, "10-a.conf", "");
	put(fixture->low, "20-b.conf", "");
	find(fixture);
	assert_int_equal(fixture->files.n_files, 4);
	assert_file(fixture, 0, "/high/10-a.conf", false);
	assert_file(fixture, 1, "/low/10-a.conf", true);
	assert_file(fixture, 2, "/low/20-b.conf", false);
	assert_file(fixture, 3, "/high/30-c.conf", false);

	snprintf(path, sizeof(path), "%s/../low/20-b.conf", fixture->high);
	assert_true(sysctl_files_have(&fixture->files, path));
	snprintf(path, sizeof(path), "%s/10-a.conf", fixture->low);
	assert_false(sysctl_files_have(&fixture->files, path)); /* it is not read */
	assert_false(sysctl_files_have(&fixture->files, "/nowhere"));
}

static void assert_line(const struct sysctl_files *files, size_t i, unsigned int number, const char *key,
			int overridden_by)
{
	const struct sysctl_line *line = &files->lines[i];

	assert_int_equal(line->number, number);
	if (key)
		assert_string_equal(line->setting.key, key);
	else
		assert_non_null(line->setting.malformed);
	assert_ptr_equal(line->overridden_by, overridden_by < 0 ? NULL : &files->lines[overridden_by]);
}

/* Each line that is neither blank nor a comment is there, also the last one without a newline. */
static void test_read(void **state)
{
	struct fixture *fixture = *state;
	struct sysctl_files *files = &fixture->files;

	put(fixture->high, "10-a.conf", "# comment\nnet.a = 1\n\nnet/a = 2\nbad\n-net.c = 1\n-net.a\n");
	put(fixture->low, "20-b.conf", "net.a=3\r\nnet.b=1\nnet.c=2");
	find(fixture);
	assert_int_equal(files->n_files, 2);
	assert_int_equal(sysctl_files_read(files, &files->files[0]), 0);
	assert_int_equal(sysctl_files_read(files, &files->files[1]), 0);
	assert_int_equal(sysctl_files_compare(files), 0);
	assert_int_equal(files->n_lines, 8);
	assert_line(files, 0, 2, "net.a", 5);
	assert_line(files, 1, 4, "net.a", 5);
	assert_line(files, 2, 5, NULL, -1);
	assert_line(files, 3, 6, "net.c", 7);
	assert_line(files, 4, 7, "net.a", -1); /* it sets nothing */
	assert_line(files, 5, 1, "net.a", -1);
	assert_line(files, 6, 2, "net.b", -1);
	assert_line(files, 7, 3, "net.c", -1);
	assert_string_equal(files->lines[5].setting.value, "3");
	assert_string_equal(files->lines[5].path, files->files[1].path);
}

static void test_unreadable(void **state)
{
	struct fixture *fixture = *state;
	const char *dir = NULL, *const dirs[] = { "/dev/null" };

	assert_int_equal(sysctl_files_add(&fixture->files, fixture->high), 0);
	assert_int_equal(sysctl_files_add(&fixture->files, "/nowhere"), 0);
	assert_int_equal(sysctl_files_read(&fixture->files, &fixture->files.files[0]), -EISDIR);
	assert_int_equal(sysctl_files_read(&fixture->files, &fixture->files.files[1]), -ENOENT);
	assert_int_equal(sysctl_files_find(&fixture->files, dirs, 1, &dir), -ENOTDIR);
	assert_string_equal(dir, "/dev/null");
}

/* --- keys --------------------------------------------------------------------------------------- */

static void test_known(void **state)
{
	(void)state;
	assert_non_null(known_obsolete("net.ipv4.tcp_tw_recycle"));
	assert_non_null(known_obsolete("net.ipv4.netfilter.ip_conntrack_max"));
	assert_non_null(known_obsolete("net.ipv6.ip6frag_low_thresh"));
	assert_null(known_obsolete("net.ipv6.ip6frag_high_thresh"));
	assert_null(known_obsolete("net.ipv4.tcp_tw_reuse"));
	assert_null(known_obsolete("net.ipv6.route.max_size"));
	assert_string_equal(known_module("net.bridge.bridge-nf-call-iptables"), "br_netfilter");
	assert_string_equal(known_module("net.netfilter.nf_conntrack_max"), "nf_conntrack");
	assert_null(known_module("net.core.somaxconn"));
	assert_string_equal(known_namespace("kernel.shmmax"), "IPC namespace");
	assert_string_equal(known_namespace("kernel.hostname"), "UTS namespace");
	assert_null(known_namespace("kernel.panic"));
	assert_true(known_safe_for_pods("net.ipv4.tcp_rmem"));
	assert_false(known_safe_for_pods("net.core.somaxconn"));
}

/* --- values ------------------------------------------------------------------------------------- */

static void test_count_numbers(void **state)
{
	(void)state;
	assert_int_equal(value_count_numbers(""), 0);
	assert_int_equal(value_count_numbers("1"), 1);
	assert_int_equal(value_count_numbers("4096 -1 0"), 3);
	assert_int_equal(value_count_numbers("4096 4M"), 0);
	assert_int_equal(value_count_numbers("cubic"), 0);
}

static void test_in_effect(void **state)
{
	(void)state;
	assert_true(value_is_in_effect("1", "1"));
	assert_true(value_is_in_effect("4096 16384", "4096 16384 65536"));
	assert_true(value_is_in_effect("", ""));
	assert_false(value_is_in_effect("", "1"));
	assert_false(value_is_in_effect("1", "10"));
	assert_false(value_is_in_effect("10", "1"));
	assert_false(value_is_in_effect("4096 16384 65536", "4096 16384"));
}

static void test_taken_back(void **state)
{
	static const struct {
		const char *wanted, *initial, *current;
		bool is_taken_back;
	} cases[] = {
		{ "4096", "4096", "16384", true },  /* raised */
		{ "16383", "4096", "16384", true }, /* a part */
		{ "16384", "4096", "16384", false },
		{ "20000", "4096", "16384", false },
		{ "1", "1", "0", true }, /* lowered */
		{ "0", "1", "0", false },
		{ "-1", "1", "0", false },
		{ "5", "7", "7", false }, /* nobody has changed it */
		{ "32768 60999", "32768 60999", "10240 60999", true },
		{ "1024 65535", "32768 60999", "10240 65535", false },
		{ "10240 60999", "32768 60999", "10240 65535", true },
		{ "4096 16384", "4096 16384 65536", "4096 16384 262144", false }, /* the line leaves the third */
		{ "bbr", "cubic", "bbr", false },
		{ "", "1", "2", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(value_is_taken_back(cases[i].wanted, cases[i].initial, cases[i].current),
				 cases[i].is_taken_back);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test_setup_teardown(test_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unreadable, set_up, tear_down),
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_count_numbers),
		cmocka_unit_test(test_in_effect),
		cmocka_unit_test(test_taken_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
