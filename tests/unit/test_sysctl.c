// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "worker/sysctl.h"

/* --- names -------------------------------------------------------------------------------------- */

static void test_path(void **state)
{
	static const struct {
		const char *name, *path; /* NULL: -EINVAL */
	} cases[] = {
		{ "net.ipv4.tcp_wmem", "net/ipv4/tcp_wmem" },
		{ "fs", "fs" },
		{ "net.ipv4.conf.eth0/1.rp_filter", "net/ipv4/conf/eth0.1/rp_filter" },
		{ "net.ipv4.conf.a/b/c.rp_filter", "net/ipv4/conf/a.b.c/rp_filter" },
		{ "net.ipv4.conf.eth0//1.rp_filter", "net/ipv4/conf/eth0..1/rp_filter" },
		{ "net.ipv4.conf.eth0//.rp_filter", "net/ipv4/conf/eth0../rp_filter" },
		{ "net.ipv4.conf.//eth0.rp_filter", "net/ipv4/conf/..eth0/rp_filter" },
		{ "net.ipv4.conf.///.rp_filter", "net/ipv4/conf/.../rp_filter" },
		{ "", NULL },
		{ ".", NULL },
		{ "..", NULL },
		{ "/", NULL },
		{ "/net.ipv4", NULL },
		{ "/etc/passwd", NULL },
		{ ".net.ipv4", NULL },
		{ "net.ipv4.", NULL },
		{ "net..ipv4", NULL },
		{ "//.net.ipv4", NULL },
		{ "//", NULL },
		{ "net.//.ipv4", NULL },
		{ "net.ipv4.//", NULL },
		{ "net.a//.//.ipv4", NULL },
		{ "net.///.//.ipv4", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char path[64] = "";
		int err = sysctl_path(cases[i].name, path, sizeof(path));

		if (err != (cases[i].path ? 0 : -EINVAL) || (!err && strcmp(path, cases[i].path)))
			fail_msg("'%s': %d, '%s'", cases[i].name, err, path);
	}
}

static void test_path_length(void **state)
{
	char name[512], path[256];

	(void)state;
	assert_int_equal(sysctl_path("abc", path, 4), 0);
	assert_int_equal(sysctl_path("abc", path, 3), -ENAMETOOLONG);
	memset(name, 'a', sizeof(name));
	name[256] = '\0';
	assert_int_equal(sysctl_path(name, path, sizeof(path)), -ENAMETOOLONG);
	name[255] = '\0';
	assert_int_equal(sysctl_path(name, path, sizeof(path)), 0);
	assert_int_equal(sysctl_read(AT_FDCWD, name, path), -ENOENT);
	name[255] = 'a', name[511] = '\0';
	assert_int_equal(sysctl_read(AT_FDCWD, name, path), -ENAMETOOLONG);
	assert_int_equal(sysctl_write(AT_FDCWD, name, "1"), -ENAMETOOLONG);
}

/* --- integers ----------------------------------------------------------------------------------- */

static void test_parse(void **state)
{
	static const struct {
		const char *value;
		unsigned int n;
		int err;
		long long ints[BPFTUNE_INTS_MAX];
	} cases[] = {
		{ "4096 16384 262144", 3, 0, { 4096, 16384, 262144 } },
		{ "4096\t16384\t262144", 3, 0, { 4096, 16384, 262144 } },
		{ " \t1 \t 2\t", 2, 0, { 1, 2 } },
		{ "0", 1, 0, { 0 } },
		{ "-1", 1, 0, { -1 } },
		{ "007", 1, 0, { 7 } },
		{ "9223372036854775807 -9223372036854775808", 2, 0, { LLONG_MAX, LLONG_MIN } },
		{ "9223372036854775808", 1, -ERANGE, { 0 } },
		{ "1 -9223372036854775809", 2, -ERANGE, { 0 } },
		{ "99999999999999999999999999999999999999", 1, -ERANGE, { 0 } },
		{ "", 1, -EINVAL, { 0 } },
		{ " \t", 1, -EINVAL, { 0 } },
		{ "1", 2, -EINVAL, { 0 } },
		{ "1 2 ", 3, -EINVAL, { 0 } },
		{ "1 2", 1, -EINVAL, { 0 } },
		{ "1 2 3 4", 3, -EINVAL, { 0 } },
		{ "1 2 3 x", 3, -EINVAL, { 0 } },
		{ "x", 1, -EINVAL, { 0 } },
		{ "1x", 1, -EINVAL, { 0 } },
		{ "1,2", 2, -EINVAL, { 0 } },
		{ "1.5", 1, -EINVAL, { 0 } },
		{ "1e3", 1, -EINVAL, { 0 } },
		{ "0x10", 1, -EINVAL, { 0 } },
		{ "+1", 1, -EINVAL, { 0 } },
		{ "-", 1, -EINVAL, { 0 } },
		{ "--1", 1, -EINVAL, { 0 } },
		{ "- 1", 1, -EINVAL, { 0 } },
		{ "1-2", 2, -EINVAL, { 0 } },
		{ "1\n2", 2, -EINVAL, { 0 } },
		{ "1\v2", 2, -EINVAL, { 0 } },
		{ "1", 0, -EINVAL, { 0 } },
		{ "1 2 3 4", BPFTUNE_INTS_MAX + 1, -EINVAL, { 0 } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		long long ints[BPFTUNE_INTS_MAX] = { -77, -77, -77 }, untouched = -77;
		unsigned int n = cases[i].err ? 0 : cases[i].n;
		int err = sysctl_parse_ints(cases[i].value, cases[i].n, ints);

		if (err != cases[i].err || memcmp(ints, cases[i].ints, n * sizeof(*ints)) ||
		    (n < BPFTUNE_INTS_MAX && ints[n] != untouched))
			fail_msg("%u of '%s': %d: %lld %lld %lld", cases[i].n, cases[i].value, err, ints[0], ints[1], ints[2]);
	}
}

static void test_format(void **state)
{
	static const struct {
		long long ints[BPFTUNE_INTS_MAX];
		unsigned int n;
		const char *value;
	} cases[] = {
		{ { 4096, 16384, 262144 }, 3, "4096 16384 262144" },
		{ { 4096, 16384, 262144 }, 1, "4096" },
		{ { 1 }, 0, "" },
		{ { LLONG_MIN, LLONG_MIN, LLONG_MIN }, 3,
		  "-9223372036854775808 -9223372036854775808 -9223372036854775808" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char value[BPFTUNE_VALUE_BYTES];
		long long ints[BPFTUNE_INTS_MAX];

		sysctl_format_ints(cases[i].ints, cases[i].n, value);
		assert_string_equal(value, cases[i].value);
		if (!cases[i].n)
			continue;
		assert_int_equal(sysctl_parse_ints(value, cases[i].n, ints), 0);
		assert_memory_equal(ints, cases[i].ints, cases[i].n * sizeof(*ints));
	}
}

/* --- files -------------------------------------------------------------------------------------- */

struct root {
	char path[PATH_MAX];
	int fd;
};

static int make_root(void **state)
{
	const char *tmp = getenv("TMPDIR");
	struct root *root = malloc(sizeof(*root));

	*state = root;
	if (!root)
		return -1;
	snprintf(root->path, sizeof(root->path), "%s/sysctl.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(root->path))
		return -1;
	root->fd = open(root->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return root->fd < 0 || mkdirat(root->fd, "net", 0700) < 0 ? -1 : 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int drop_root(void **state)
{
	struct root *root = *state;

	nftw(root->path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	close(root->fd);
	free(root);
	return 0;
}

static void put(const struct root *root, const char *path, const char *text, size_t n)
{
	_cleanup_close_ int fd = openat(root->fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, n), n);
}

#define NINES_63 "999999999999999999999999999999999999999999999999999999999999999"

static void test_read(void **state)
{
	static const struct {
		const char *text;
		int err;
		const char *value;
	} cases[] = {
		{ "1\n", 0, "1" },
		{ "1", 0, "1" },
		{ "4096\t16384\t262144\n", 0, "4096 16384 262144" },
		{ "cubic\n", 0, "cubic" },
		{ "\n", 0, "" },
		{ "", 0, "" },
		{ NINES_63, 0, NINES_63 },
		{ NINES_63 "\n", 0, NINES_63 },
		{ NINES_63 "9", -EMSGSIZE, NULL },
		{ NINES_63 "9\n", -EMSGSIZE, NULL },
		{ NINES_63 "99\n", -EMSGSIZE, NULL },
		{ NINES_63 NINES_63 NINES_63 "\n", -EMSGSIZE, NULL },
	};
	const struct root *root = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char value[BPFTUNE_VALUE_BYTES] = "untouched";
		int err;

		put(root, "net/value", cases[i].text, strlen(cases[i].text));
		err = sysctl_read(root->fd, "net.value", value);
		if (err != cases[i].err || strcmp(value, err ? "untouched" : cases[i].value))
			fail_msg("'%s': %d, '%s'", cases[i].text, err, value);
	}
}

static void test_write(void **state)
{
	const struct root *root = *state;
	char value[BPFTUNE_VALUE_BYTES];

	put(root, "net/eth0.1", "", 0);
	assert_int_equal(sysctl_write(root->fd, "net.eth0/1", "4096 16384 262144"), 0);
	assert_int_equal(sysctl_read(root->fd, "net.eth0/1", value), 0);
	assert_string_equal(value, "4096 16384 262144");
}

/* What is no file of this directory is neither read, written nor made. */
static void test_refused(void **state)
{
	static const struct {
		const char *name;
		int read_error, write_error;
	} cases[] = {
		{ "net.missing", -ENOENT, -ENOENT },
		{ "missing.value", -ENOENT, -ENOENT },
		{ "net", -EISDIR, -EISDIR },
		{ "net.file.value", -ENOTDIR, -ENOTDIR },
		{ "net.link", -ELOOP, -ELOOP },
		{ "net.//.net.file", -EINVAL, -EINVAL },
		{ "//.file", -EINVAL, -EINVAL },
		{ "/dev/null", -EINVAL, -EINVAL },
		{ "", -EINVAL, -EINVAL },
	};
	const struct root *root = *state;
	char value[BPFTUNE_VALUE_BYTES] = "untouched";

	put(root, "net/file", "1", 1);
	assert_int_equal(symlinkat("file", root->fd, "net/link"), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int read_error = sysctl_read(root->fd, cases[i].name, value);
		int write_error = sysctl_write(root->fd, cases[i].name, "2");

		if (read_error != cases[i].read_error || write_error != cases[i].write_error)
			fail_msg("'%s': %d, %d", cases[i].name, read_error, write_error);
	}
	assert_string_equal(value, "untouched");
	assert_int_equal(sysctl_read(root->fd, "net.file", value), 0);
	assert_string_equal(value, "1");
	assert_int_equal(faccessat(root->fd, "net/missing", F_OK, 0), -1);
}

/* A device that takes nothing: that the file could be opened is not success. */
static void test_write_that_fails(void **state)
{
	_cleanup_close_ int dev = open("/dev", O_PATH | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	assert_true(dev >= 0);
	assert_int_equal(sysctl_write(dev, "full", "1"), -ENOSPC);
}

/* The kernel's own: not even root writes to a read-only one. */
static void test_read_only(void **state)
{
	_cleanup_close_ int dir_fd = open("/proc/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char value[BPFTUNE_VALUE_BYTES];
	int err;

	(void)state;
	assert_int_equal(sysctl_read(dir_fd, "kernel.ostype", value), 0);
	assert_string_equal(value, "Linux");
	err = sysctl_write(dir_fd, "kernel.ostype", "Linux");
	assert_true(err == -EACCES || err == -EROFS);
}

#define below_a_root(test) cmocka_unit_test_setup_teardown(test, make_root, drop_root)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_path),	  cmocka_unit_test(test_path_length),
		cmocka_unit_test(test_parse),	  cmocka_unit_test(test_format),
		below_a_root(test_read),	  below_a_root(test_write),
		below_a_root(test_refused),	  cmocka_unit_test(test_write_that_fails),
		cmocka_unit_test(test_read_only),
	};

	return cmocka_run_group_tests_name("sysctl", tests, NULL, NULL);
}
