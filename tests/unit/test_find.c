// SPDX-License-Identifier: GPL-2.0-or-later
/* What an operator may call an instance. */
#include "ipc/unshared.h"
#include "tests/unit/fake_registry.h"

static void test_find(void **state)
{
	static const struct {
		const char *container;
		uint64_t id;
		int error;
	} cases[] = {
		{ "host", 1, 0 },
		{ "web", 2, 0 },
		{ "abcdef0123", 2, 0 },
		{ "abcd", 2, 0 },
		{ "abcx", 3, 0 },
		{ "netns-2008", 8, 0 },
		{ "1", 1, 0 },
		{ "8", 8, 0 },
		{ "2", 5, 0 }, /* a name comes before an id */
		{ "abc", 7, 0 }, /* and before a prefix */
		{ "6", 6, 0 }, /* an id before a prefix */
		{ "66", 7, 0 },
		{ "77", 6, 0 },
		{ "db", 0, ENOTUNIQ },
		{ "ab", 0, ENOTUNIQ },
		{ "abcdef01234", 0, ENOENT },
		{ "we", 0, ENOENT }, /* a name is not cut */
		{ "WEB", 0, ENOENT },
		{ "web ", 0, ENOENT },
		{ "", 0, ENOENT },
		{ "0", 0, ENOENT },
		{ "9", 0, ENOENT },
		{ "-1", 0, ENOENT },
		{ "+1", 0, ENOENT },
		{ " 1", 0, ENOENT },
		{ "1x", 0, ENOENT },
		{ "18446744073709551617", 0, ENOENT }, /* 2^64 + 1 */
		{ "99999999999999999999999999", 0, ENOENT },
		{ "instance:6", 6, 0 },
		{ "instance:", 0, ENOENT },
		{ "instance:0", 0, ENOENT },
		{ "instance:99", 0, ENOENT },
		{ "instance:1x", 0, ENOENT },
		{ "instance:-1", 0, ENOENT },
		{ "instance:18446744073709551617", 0, ENOENT }, /* 2^64 + 1 */
		{ "pid:", 0, ENOENT },
		{ "pid:self", 0, ENOENT },
		{ "pid:0", 0, ENOENT },
		{ "pid:-1", 0, ENOENT },
		{ "pid:../self", 0, ENOENT },
		{ "pid:4294967295", 0, ENOENT },
		{ "pid:18446744073709551616", 0, ENOENT },
		{ "pid:99999999999999999999999999", 0, ENOENT },
	};
	struct instances *instances = &((struct fixture *)*state)->instances;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct instance *found;
		int error;

		errno = 0;
		found = instance_find(instances, cases[i].container);
		error = found ? 0 : errno;
		if ((found ? found->view.id : 0) != cases[i].id || error != cases[i].error)
			fail_msg("'%s': %llu, %s", cases[i].container, (unsigned long long)(found ? found->view.id : 0),
				 strerror(error));
	}
}

static void test_find_by_pid(void **state)
{
	struct fixture *fixture = *state;
	char container[32];

	snprintf(container, sizeof(container), "pid:%d", getpid());
	assert_ptr_equal(instance_find(&fixture->instances, container), instance_by_id(&fixture->instances, 1));
	remove_it(&fixture->instances, instance_by_id(&fixture->instances, 1));
	errno = 0;
	assert_null(instance_find(&fixture->instances, container));
	assert_int_equal(errno, ENOENT);
	add(&fixture->instances, 109, fixture->own_inode, NULL, NULL);
	assert_int_equal(instance_find(&fixture->instances, container)->view.id, 9);
}

static void test_find_in_none(void **state)
{
	static struct instances none;
	static const char *const containers[] = { "host", "1", "", "pid:0" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(containers); i++) {
		errno = 0;
		assert_null(instance_find(&none, containers[i]));
		assert_int_equal(errno, ENOENT);
	}
}

/* Until a claim is paired it is nothing to name. */
static void test_find_shared(void **state)
{
	struct fixture *fixture = *state;
	struct instances *instances = &fixture->instances;
	struct instance *host = instance_by_id(instances, INSTANCE_HOST), *shared = registry_add_claim(instances, "/a");
	char container[32];

	assert_null(instance_find(instances, "9"));
	assert_null(instance_find(instances, shared->view.name));
	shared->view.cgroup_id = 1;
	assert_ptr_equal(instance_find(instances, "9"), shared);
	snprintf(container, sizeof(container), "pid:%d", getpid());
	assert_ptr_equal(instance_find(instances, container), host);
}

/* OUTER/INNER: a prefix of the outer id means the outer one, however many it holds. */
static void test_find_nested(void **state)
{
	struct fixture *fixture = *state;
	struct instances *instances = &fixture->instances;

	add(instances, 109, 2009, "a", "beef01");	/* 9 */
	add(instances, 110, 2010, "b", "beef01/cafe02"); /* 10 */
	add(instances, 111, 2011, "c", "beef01/cafe03"); /* 11 */
	assert_int_equal(instance_find(instances, "bee")->view.id, 9);
	assert_int_equal(instance_find(instances, "beef01")->view.id, 9);
	assert_int_equal(instance_find(instances, "beef01/cafe02")->view.id, 10);
	assert_int_equal(instance_find(instances, "beef01/cafe03")->view.id, 11);
	assert_null(instance_find(instances, "beef01/cafe"));
	assert_int_equal(errno, ENOTUNIQ);
	assert_null(instance_find(instances, "cafe02"));
	assert_int_equal(errno, ENOENT);
}

/* A user's containers are found by the user's id and what theirs begins with, and are no others. */
static void test_find_of_users(void **state)
{
	static const struct {
		const char *container;
		uint64_t id;
		int error;
	} cases[] = {
		{ "abcdef0123", 2, 0 }, /* whatever users call theirs */
		{ "abcd", 2, 0 },
		{ "uid 1000/abcdef0123", 9, 0 },
		{ "uid 1000/abcd", 9, 0 },
		{ "uid 1000/mine", 10, 0 },
		{ "uid 100/abcdef0123", 11, 0 },
		{ "uid 100/abcd", 11, 0 },
		{ "uid 1000/", 0, ENOENT },
		{ "uid 1000", 0, ENOENT },
		{ "uid ", 0, ENOENT },
		{ "uid", 0, ENOENT },
		{ "uid 0/abcd", 0, ENOENT },
		{ "uid 10000/abcd", 0, ENOENT },
		{ "mine", 0, ENOENT },
	};
	struct instances *instances = &((struct fixture *)*state)->instances;

	add(instances, 109, 2009, "uid 1000/abcdef0123", "abcdef0123")->uid = unshared_strdup("1000"); /* 9 */
	add(instances, 110, 2010, "uid 1000/mine", "mine")->uid = unshared_strdup("1000");	      /* 10 */
	add(instances, 111, 2011, "uid 100/abcdef0123", "abcdef0123")->uid = unshared_strdup("100");  /* 11 */
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct instance *found;

		errno = 0;
		found = instance_find(instances, cases[i].container);
		if ((found ? found->view.id : 0) != cases[i].id || (!found && errno != cases[i].error))
			fail_msg("'%s': %llu, %s", cases[i].container, (unsigned long long)(found ? found->view.id : 0),
				 strerror(errno));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_a_registry(test_find),
		in_a_registry(test_find_by_pid),
		cmocka_unit_test(test_find_in_none),
		in_a_registry(test_find_shared),
		in_a_registry(test_find_nested),
		in_a_registry(test_find_of_users),
	};

	return cmocka_run_group_tests_name("find", tests, NULL, NULL);
}
