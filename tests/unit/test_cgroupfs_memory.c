// SPDX-License-Identifier: GPL-2.0-or-later
/* How much memory a cgroup may have, by its own limit and those above it. */
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
#include "supervisor/kernel/cgroupfs.h"

static void put(int root, const char *cgroup, const char *max)
{
	char path[64];
	int fd;

	assert_int_equal(mkdirat(root, cgroup, 0755), 0);
	if (!max)
		return;
	snprintf(path, sizeof(path), "%s/memory.max", cgroup);
	fd = openat(root, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(write(fd, max, strlen(max)), strlen(max));
	close(fd);
}

static void test_memory_pages(void **state)
{
	static const struct {
		const char *path;
		uint64_t pages;
	} cases[] = {
		{ "/a", 100 }, { "/a/b", 50 },	   { "/a/b/c", 50 }, { "/a/d", 100 },
		{ "/n", UINT64_MAX }, { "/n/o", UINT64_MAX }, { "/", 0 },	     { "/gone", 0 },
	};
	char directory[] = "/tmp/test_cgroupfs_memory.XXXXXX", command[80], text[32];
	struct cgroupfs fs = { .memory_fd = -1 };
	long page = sysconf(_SC_PAGESIZE);

	(void)state;
	assert_non_null(mkdtemp(directory));
	fs.fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fs.fd >= 0);
	snprintf(text, sizeof(text), "%ld\n", 100 * page);
	put(fs.fd, "a", text);
	snprintf(text, sizeof(text), "%ld\n", 50 * page);
	put(fs.fd, "a/b", text);
	put(fs.fd, "a/b/c", "max\n");
	put(fs.fd, "a/d", NULL);
	put(fs.fd, "n", NULL);
	put(fs.fd, "n/o", "max\n");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (cgroupfs_memory_pages(&fs, cases[i].path) != cases[i].pages)
			fail_msg("%s", cases[i].path);
	assert_int_equal(cgroupfs_memory_pages(&fs, NULL), 0);
	fs.memory_fd = fs.fd;
	assert_true(cgroupfs_memory_pages(&fs, "/a") == UINT64_MAX);
	close(fs.fd);
	snprintf(command, sizeof(command), "rm -r %s", directory);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory_pages),
	};

	return cmocka_run_group_tests_name("cgroupfs_memory", tests, NULL, NULL);
}
