// SPDX-License-Identifier: GPL-2.0-or-later
/* Cgroups by id: with answers that the kernel might give, then with the kernel's own. */
#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static int fake_open_by_handle_at(int mount_fd, struct file_handle *handle, int flags);
static ssize_t fake_readlink(const char *name, char *ret_path, size_t size);

#define open_by_handle_at fake_open_by_handle_at
#define readlink fake_readlink
#include "supervisor/kernel/cgroupfs.c" /* NOLINT(bugprone-suspicious-include) */
#undef open_by_handle_at
#undef readlink

/* --- answers that the kernel might give --------------------------------------------------------- */

enum { FAKE_FD = 1000000, FAKE_MEMORY_FD };

static struct {
	bool on;
	const int *errors; /* of the calls of open_by_handle_at(), in turn */
	int opens;         /* how many there were */
	int mount_fd;      /* what the last one was asked for */
	uint64_t id;
	const char *mount, *path; /* of the hierarchy's root, and of the cgroup; NULL: no such file */
	int (*before_readlink)(void);
} fake;

static int fake_open_by_handle_at(int mount_fd, struct file_handle *handle, int flags)
{
	if (!fake.on)
		return open_by_handle_at(mount_fd, handle, flags);
	assert_int_equal(handle->handle_type, 0xfe);
	assert_int_equal(handle->handle_bytes, 8);
	assert_int_equal(flags, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	memcpy(&fake.id, handle->f_handle, sizeof(fake.id));
	fake.mount_fd = mount_fd;
	errno = fake.errors[fake.opens++];
	return errno ? -1 : open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static ssize_t fake_readlink(const char *name, char *ret_path, size_t size)
{
	const char *path;
	size_t n;
	int fd;

	if (fake.before_readlink)
		assert_int_equal(fake.before_readlink(), 0);
	fake.before_readlink = NULL;
	if (!fake.on)
		return readlink(name, ret_path, size);
	assert_int_equal(sscanf(name, "/proc/self/fd/%d", &fd), 1);
	path = fd == FAKE_FD || fd == FAKE_MEMORY_FD ? fake.mount : fake.path;
	if (!path) {
		errno = ENOENT;
		return -1;
	}
	n = strlen(path) < size ? strlen(path) : size;
	memcpy(ret_path, path, n); /* NOLINT(bugprone-not-null-terminated-result): as readlink(2) does */
	return n;
}

static int stop_faking(void **state)
{
	(void)state;
	memset(&fake, 0, sizeof(fake));
	return 0;
}

#define MOUNT "/sys/fs/cgroup"

static void test_paths(void **state)
{
	static const struct {
		const char *what, *mount, *path;
		int errors[2], opens;
		const char *result; /* NULL: err */
		int err;
	} cases[] = {
		{ "below", MOUNT, MOUNT "/a/b", .opens = 1, .result = "/a/b" },
		{ "the root", MOUNT, MOUNT, .opens = 1, .result = "/" },
		{ "a mount that is in no tree", "/", "/a/b", .opens = 1, .result = "/a/b" },
		{ "its root", "/", "/", .opens = 1, .result = "/" },
		{ "as the mount again", MOUNT, MOUNT MOUNT "/a", .opens = 1, .result = MOUNT "/a" },
		{ "beside the mount", MOUNT, MOUNT "2/a", .opens = 1, .err = -EXDEV },
		{ "outside of the mount", MOUNT, "/a", .opens = 1, .err = -EXDEV },
		{ "above the mount", MOUNT, "/sys/fs", .opens = 1, .err = -EXDEV },
		{ "removed", MOUNT, MOUNT "/a", { ESTALE }, 1, .err = -ESTALE },
		{ "not permitted", MOUNT, MOUNT "/a", { EPERM }, 1, .err = -EPERM },
		{ "not permitted, of a root", MOUNT, MOUNT, { EPERM }, 1, .err = -EPERM },
		{ "removed meanwhile", MOUNT, MOUNT "/a (deleted)", { 0, ESTALE }, 2, .err = -ESTALE },
		{ "called so", MOUNT, MOUNT "/a (deleted)", .opens = 2, .result = "/a (deleted)" },
		{ "called nothing else", MOUNT, MOUNT "/ (deleted)", .opens = 2, .result = "/ (deleted)" },
		{ "within", MOUNT, MOUNT "/a (deleted)/b", .opens = 2, .result = "/a (deleted)/b" },
		{ "another reason, meanwhile", MOUNT, MOUNT "/a (deleted)", { 0, EMFILE }, 2, .err = -EMFILE },
		{ "no /proc", NULL, NULL, .opens = 1, .err = -ENOENT },
		{ "no /proc any more", MOUNT, NULL, .opens = 1, .err = -ENOENT },
	};
	static const struct cgroupfs fs = { .fd = FAKE_FD, .memory_fd = FAKE_MEMORY_FD };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		enum cgroup_hierarchy hierarchy = i % N_CGROUP_HIERARCHIES;
		char path[256] = "#";
		int err;

		stop_faking(NULL);
		fake.on = true;
		fake.mount = cases[i].mount, fake.path = cases[i].path, fake.errors = cases[i].errors;
		err = cgroupfs_path_of_id(&fs, hierarchy, 0x123456789abcdef0 + i, path, sizeof(path));
		if (err != cases[i].err || strcmp(path, err ? "#" : cases[i].result) || fake.opens != cases[i].opens)
			fail_msg("%s: %d, '%s', opened %d times", cases[i].what, err, path, fake.opens);
		assert_int_equal(fake.id, 0x123456789abcdef0 + i);
		assert_int_equal(fake.mount_fd, hierarchy == CGROUP2 ? FAKE_FD : FAKE_MEMORY_FD);
	}
}

/* What does not fit with its NUL is not cut: a shorter path is another cgroup. */
static void test_path_length(void **state)
{
	static const struct cgroupfs fs = { .fd = FAKE_FD, .memory_fd = -1 };
	static const int errors[4];
	char path[] = "########", longest[PATH_MAX + 1];

	(void)state;
	fake.on = true;
	fake.mount = MOUNT, fake.path = MOUNT "/1234567", fake.errors = errors;
	assert_int_equal(cgroupfs_path_of_id(&fs, CGROUP2, 2, path, 8), -ENAMETOOLONG);
	assert_string_equal(path, "########");
	assert_int_equal(cgroupfs_path_of_id(&fs, CGROUP2, 2, path, 9), 0);
	assert_string_equal(path, "/1234567");
	memset(longest, 'x', sizeof(longest));
	memcpy(longest, MOUNT "/", strlen(MOUNT "/"));
	fake.path = longest;
	longest[PATH_MAX] = '\0'; /* does not fit where the link is read, then only not into `path` */
	assert_int_equal(cgroupfs_path_of_id(&fs, CGROUP2, 2, path, 9), -ENAMETOOLONG);
	longest[PATH_MAX - 1] = '\0';
	assert_int_equal(cgroupfs_path_of_id(&fs, CGROUP2, 2, path, 9), -ENAMETOOLONG);
	assert_string_equal(path, "/1234567");
}

static void test_lines(void **state)
{
	static const struct {
		const char *line;
		int hierarchy; /* -1: neither */
		const char *path;
	} cases[] = {
		{ "0::/\n", CGROUP2, "/" },
		{ "0::/a/b\n", CGROUP2, "/a/b" },
		{ "0::/a:b::c", CGROUP2, "/a:b::c" },
		{ "4:memory:/\n", CGROUP1_MEMORY, "/" },
		{ "14:cpu,memory:/a:4:memory:/b\n", CGROUP1_MEMORY, "/a:4:memory:/b" },
		{ "14:memory,cpu:/a\n", CGROUP1_MEMORY, "/a" },
		{ "3:cpu,cpuacct:/memory\n", -1, NULL },
		{ "3:memory2,hugememory:/\n", -1, NULL },
		{ "1:name=memory:/\n", -1, NULL },
		{ "0::\n", -1, NULL },
		{ "0::", -1, NULL },
		{ "0:\n", -1, NULL },
		{ "garbage\n", -1, NULL },
		{ "\n", -1, NULL },
		{ "", -1, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *line = strdup(cases[i].line);
		enum cgroup_hierarchy hierarchy = N_CGROUP_HIERARCHIES;
		const char *path = path_of_line(line, &hierarchy);

		if (!path != !cases[i].path ||
		    (path && (strcmp(path, cases[i].path) || (int)hierarchy != cases[i].hierarchy)))
			fail_msg("'%s': %d, '%s'", cases[i].line, (int)hierarchy, path ? path : "none");
	}
}

enum { ROOT = 1, OWN = 20, OTHER = 30, MEMORY_ROOT = 2, OWN_MEMORY = 21, OTHER_MEMORY = 31 };

static void test_tasks(void **state)
{
	static const struct {
		const char *what;
		uint64_t cgroup_id, memory_cgroup_id;
		int hierarchy; /* -1: none, and err */
		int err, refusal;
		bool without_memory;
	} cases[] = {
		{ "cgroup2 alone", OTHER, OTHER, CGROUP2, .without_memory = true },
		{ "cgroup2 alone, memory is accounted elsewhere", ROOT, OTHER, -1, -ENOENT, .without_memory = true },
		{ "cgroup2 alone, the same place", OWN, OTHER, -1, -ENOENT, .without_memory = true },
		{ "hybrid, in both", OTHER, OTHER_MEMORY, CGROUP2 },
		{ "hybrid, cgroup2 unused", ROOT, OTHER_MEMORY, CGROUP1_MEMORY },
		{ "hybrid, the same place in cgroup2", OWN, OTHER_MEMORY, CGROUP1_MEMORY },
		{ "hybrid, cgroup2's is not known", 0, OTHER_MEMORY, CGROUP1_MEMORY },
		{ "hybrid, both the same", OWN, OWN_MEMORY, -1, -ENOENT },
		{ "hybrid, both roots", ROOT, MEMORY_ROOT, -1, -ENOENT },
		{ "hybrid, nothing is known", 0, 0, -1, -ENOENT },
		{ "hybrid, numbers of the other hierarchy", MEMORY_ROOT, ROOT, CGROUP2 },
		{ "hybrid, cgroup2's was removed", OTHER, OTHER_MEMORY, -1, -ESTALE, ESTALE },
		{ "hybrid, memory's was removed", ROOT, OTHER_MEMORY, -1, -ESTALE, ESTALE },
		{ "not permitted", OTHER, OTHER_MEMORY, -1, -EPERM, EPERM },
		{ "not permitted, and not needed", ROOT, OWN_MEMORY, -1, -ENOENT, EPERM },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cgroupfs fs = {
			.fd = FAKE_FD,
			.memory_fd = cases[i].without_memory ? -1 : FAKE_MEMORY_FD,
			.root_ids = { ROOT, cases[i].without_memory ? 0 : MEMORY_ROOT },
			.own_ids = { OWN, cases[i].without_memory ? 0 : OWN_MEMORY },
		};
		enum cgroup_hierarchy hierarchy = N_CGROUP_HIERARCHIES;
		char path[16] = "#";
		int err;

		stop_faking(NULL);
		fake.on = true;
		fake.mount = "/", fake.path = "/a", fake.errors = &cases[i].refusal;
		err = cgroupfs_path_of_task(&fs, cases[i].cgroup_id, cases[i].memory_cgroup_id, path, sizeof(path),
					    &hierarchy);
		if (err != cases[i].err || strcmp(path, err ? "#" : "/a") ||
		    (int)hierarchy != (err ? (int)N_CGROUP_HIERARCHIES : cases[i].hierarchy))
			fail_msg("%s: %d, '%s', %d", cases[i].what, err, path, (int)hierarchy);
		if (err)
			continue;
		assert_int_equal(fake.id, hierarchy == CGROUP2 ? cases[i].cgroup_id : cases[i].memory_cgroup_id);
		assert_int_equal(fake.mount_fd, hierarchy == CGROUP2 ? FAKE_FD : FAKE_MEMORY_FD);
	}
}

/* --- the kernel's own answers ------------------------------------------------------------------- */

#define INNER "x (deleted)" /* nobody but us calls a cgroup so */

static struct {
	struct cgroupfs fs;
	char name[64]; /* of the test's cgroup below a root */
	int root;      /* where it was made; -1: nowhere */
} real = { .fs = { .fd = -1, .memory_fd = -1 }, .root = -1 };

static int remove_inner(void)
{
	char inner[128];

	snprintf(inner, sizeof(inner), "%s/%s", real.name, INNER);
	return unlinkat(real.root, inner, AT_REMOVEDIR);
}

static int remove_cgroups(void **state)
{
	stop_faking(state);
	if (real.root >= 0) {
		remove_inner();
		unlinkat(real.root, real.name, AT_REMOVEDIR);
	}
	real.root = -1;
	cgroupfs_close(&real.fs);
	return 0;
}

static void open_cgroups(void)
{
	int err = cgroupfs_open(&real.fs);

	if (err) {
		print_message("not tested as user %u: no cgroup2 is mounted, and mounting one: %s\n", geteuid(),
			      strerror(-err));
		assert_int_equal(real.fs.fd, -1);
		assert_int_equal(real.fs.memory_fd, -1);
		assert_null(real.fs.mount);
		skip();
	}
	assert_non_null(real.fs.mount);
}

static void make_cgroups(int root)
{
	struct kernfs_handle handle = { .head.handle_bytes = sizeof(handle.id) };
	_cleanup_close_ int fd = -1;
	char inner[128];
	int mount_id;

	/* Containers and user namespaces may not: the kernel is asked by a handle of its own making. */
	assert_int_equal(name_to_handle_at(root, ".", &handle.head, &mount_id, 0), 0);
	assert_int_equal(handle.head.handle_type, FILEID_KERNFS);
	assert_int_equal(handle.head.handle_bytes, sizeof(handle.id));
	fd = open_by_handle_at(root, &handle.head, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		print_message("not tested as user %u: open_by_handle_at(2), which needs CAP_DAC_READ_SEARCH: %s\n",
			      geteuid(), strerror(errno));
		skip();
	}
	snprintf(real.name, sizeof(real.name), "bpftune-test-%d", getpid());
	snprintf(inner, sizeof(inner), "%s/%s", real.name, INNER);
	if (mkdirat(root, real.name, 0755) < 0) {
		print_message("not tested as user %u: making a cgroup: %s\n", geteuid(), strerror(errno));
		skip();
	}
	real.root = root;
	assert_int_equal(mkdirat(root, inner, 0755), 0);
}

static uint64_t find_id(const char *path)
{
	struct stat st;
	uint64_t id;

	assert_int_equal(id_of_path(real.root, path, &id), 0);
	assert_int_equal(fstatat(real.root, path + 1, &st, 0), 0);
	if (sizeof(long) == sizeof(id)) /* the kernel's ino_t */
		assert_int_equal(id, st.st_ino);
	return id;
}

static void expect_path(enum cgroup_hierarchy hierarchy, uint64_t id, int expected_err, const char *expected_path)
{
	char path[PATH_MAX] = "#";

	assert_int_equal(cgroupfs_path_of_id(&real.fs, hierarchy, id, path, sizeof(path)), expected_err);
	assert_string_equal(path, expected_err ? "#" : expected_path);
}

static void expect_task(const uint64_t ids[N_CGROUP_HIERARCHIES], enum cgroup_hierarchy expected,
			const char *expected_path)
{
	enum cgroup_hierarchy hierarchy = N_CGROUP_HIERARCHIES;
	char path[PATH_MAX] = "#";
	int err = cgroupfs_path_of_task(&real.fs, ids[CGROUP2], ids[CGROUP1_MEMORY], path, sizeof(path), &hierarchy);

	assert_int_equal(err, expected_path ? 0 : -ENOENT);
	assert_string_equal(path, expected_path ? expected_path : "#");
	assert_int_equal(hierarchy, expected);
}

/* From a cgroup's beginning to its end. */
static void follow_cgroup(enum cgroup_hierarchy hierarchy)
{
	int fds[] = { real.fs.fd, real.fs.memory_fd };
	uint64_t outer_id, inner_id, ids[N_CGROUP_HIERARCHIES];
	char outer[128], inner[256];
	struct stat st, by_id;
	int fd;

	make_cgroups(fds[hierarchy]);
	snprintf(outer, sizeof(outer), "/%s", real.name);
	snprintf(inner, sizeof(inner), "%s/%s", outer, INNER);
	outer_id = find_id(outer);
	inner_id = find_id(inner);

	fd = cgroupfs_open_id(&real.fs, hierarchy, inner_id);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &by_id), 0);
	assert_int_equal(fstatat(real.root, inner + 1, &st, 0), 0);
	assert_true(by_id.st_ino == st.st_ino && by_id.st_dev == st.st_dev);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);

	expect_path(hierarchy, real.fs.root_ids[hierarchy], 0, "/");
	expect_path(hierarchy, outer_id, 0, outer);
	expect_path(hierarchy, inner_id, 0, inner);
	memcpy(ids, real.fs.own_ids, sizeof(ids));
	expect_task(ids, N_CGROUP_HIERARCHIES, NULL);
	ids[hierarchy] = inner_id;
	expect_task(ids, hierarchy, inner);
	expect_task(real.fs.root_ids, N_CGROUP_HIERARCHIES, NULL);

	fake.before_readlink = remove_inner; /* cgroupfs_path_of_id() has opened it: d_path() says that it is removed */
	expect_path(hierarchy, inner_id, -ESTALE, NULL);
	assert_null(fake.before_readlink);
	expect_path(hierarchy, inner_id, -ESTALE, NULL);
	assert_int_equal(cgroupfs_open_id(&real.fs, hierarchy, inner_id), -ESTALE);
	expect_path(hierarchy, outer_id, 0, outer);
	assert_int_equal(unlinkat(real.root, real.name, AT_REMOVEDIR), 0);
	expect_path(hierarchy, outer_id, -ESTALE, NULL);
	expect_path(hierarchy, UINT64_MAX, -ESTALE, NULL);
	assert_int_equal(cgroupfs_open_id(&real.fs, hierarchy, 0), -ESTALE);

	assert_int_equal(mkdirat(real.root, real.name, 0755), 0); /* of the same name, by another id */
	assert_true(find_id(outer) != outer_id);
	expect_path(hierarchy, outer_id, -ESTALE, NULL);
}

static void test_cgroup2(void **state)
{
	(void)state;
	open_cgroups();
	follow_cgroup(CGROUP2);
}

static void test_private_mount(void **state)
{
	int fd = mount_cgroup2_privately();

	(void)state;
	if (fd == -EPERM || fd == -ENOSYS) { /* the latter under valgrind */
		print_message("not tested as user %u: mounting, which needs CAP_SYS_ADMIN: %s\n", geteuid(),
			      strerror(-fd));
		skip();
	}
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	real.fs = (struct cgroupfs){ .fd = fd, .memory_fd = -1 };
	assert_int_equal(read_ids(&real.fs), 0);
	follow_cgroup(CGROUP2);
}

static void test_memory(void **state)
{
	(void)state;
	open_cgroups();
	if (real.fs.memory_fd < 0) {
		print_message("not tested: no hierarchy of cgroup1 with memory is mounted\n");
		assert_int_equal(cgroupfs_open_id(&real.fs, CGROUP1_MEMORY, 1), -EBADF);
		assert_int_equal(real.fs.root_ids[CGROUP1_MEMORY], 0);
		assert_int_equal(real.fs.own_ids[CGROUP1_MEMORY], 0);
		skip();
	}
	follow_cgroup(CGROUP1_MEMORY);
}

/* No privileges are needed for ids. */
static void test_own_ids(void **state)
{
	_cleanup_fclose_ FILE *own = fopen("/proc/self/cgroup", "re");
	char text[PATH_MAX];

	(void)state;
	open_cgroups();
	assert_non_null(own);
	while (fgets(text, sizeof(text), own)) {
		enum cgroup_hierarchy hierarchy;
		const char *path = path_of_line(text, &hierarchy);
		struct stat st;
		int fd = path ? root_fd(&real.fs, hierarchy) : -1;

		if (fd < 0 || fstatat(fd, path[1] ? path + 1 : ".", &st, 0) < 0)
			continue;
		assert_int_equal((uint32_t)real.fs.own_ids[hierarchy], (uint32_t)st.st_ino);
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal((uint32_t)real.fs.root_ids[hierarchy], (uint32_t)st.st_ino);
	}
}

/* Whoever may not open a cgroup by its id is told so. */
static void test_not_permitted(void **state)
{
	int fd, err;
	char path[PATH_MAX] = "#";

	(void)state;
	open_cgroups();
	assert_int_equal(capng_get_caps_process(), 0);
	capng_update(CAPNG_DROP, CAPNG_EFFECTIVE, CAP_DAC_READ_SEARCH);
	assert_int_equal(capng_apply(CAPNG_SELECT_CAPS), 0);
	fd = cgroupfs_open_id(&real.fs, CGROUP2, real.fs.root_ids[CGROUP2]);
	err = cgroupfs_path_of_id(&real.fs, CGROUP2, real.fs.root_ids[CGROUP2], path, sizeof(path));
	if (capng_have_capability(CAPNG_PERMITTED, CAP_DAC_READ_SEARCH)) {
		capng_update(CAPNG_ADD, CAPNG_EFFECTIVE, CAP_DAC_READ_SEARCH);
		assert_int_equal(capng_apply(CAPNG_SELECT_CAPS), 0);
	}
	assert_int_equal(fd, -EPERM);
	assert_int_equal(err, -EPERM);
	assert_string_equal(path, "#");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_paths, stop_faking),
		cmocka_unit_test_teardown(test_path_length, stop_faking),
		cmocka_unit_test(test_lines),
		cmocka_unit_test_teardown(test_tasks, stop_faking),
		cmocka_unit_test_teardown(test_own_ids, remove_cgroups),
		cmocka_unit_test_teardown(test_not_permitted, remove_cgroups),
		cmocka_unit_test_teardown(test_cgroup2, remove_cgroups),
		cmocka_unit_test_teardown(test_private_mount, remove_cgroups),
		cmocka_unit_test_teardown(test_memory, remove_cgroups),
	};

	return cmocka_run_group_tests_name("cgroupfs", tests, NULL, NULL);
}
