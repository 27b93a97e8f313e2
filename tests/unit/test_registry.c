// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "supervisor/instances/registry.h"

struct fixture {
	struct registry registry;
	ino_t own_inode; /* of this process's network namespace */
};

static struct instance *add(struct registry *registry, uint64_t cookie, uint32_t inode, const char *name,
			    const char *container_id)
{
	struct instance *instance = instance_new(registry, cookie, inode);

	assert_non_null(instance);
	if (name) {
		free(instance->pub.name);
		instance->pub.name = strdup(name);
	}
	if (container_id)
		instance->container_id = strdup(container_id);
	return instance;
}

static int populate(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct registry *registry;
	struct stat st;

	*state = fixture;
	if (!fixture || stat("/proc/self/ns/net", &st) < 0)
		return -1;
	fixture->own_inode = st.st_ino;
	registry = &fixture->registry;
	add(registry, 101, st.st_ino, "host", NULL);	/* 1 */
	add(registry, 102, 2002, "web", "abcdef0123");	/* 2 */
	add(registry, 103, 2003, "db", "abcxyz4567");	/* 3 */
	add(registry, 104, 2004, "db", NULL);		/* 4 */
	add(registry, 105, 2005, "2", NULL);		/* 5: called as another's id */
	add(registry, 106, 2006, "cache", "77fe");	/* 6 */
	add(registry, 107, 2007, "abc", "66fe");	/* 7: called as a prefix of others */
	add(registry, 108, 2008, NULL, NULL);		/* 8 */
	return 0;
}

static int clear(void **state)
{
	struct fixture *fixture = *state;

	while (fixture->registry.by_id)
		instance_free(&fixture->registry, fixture->registry.by_id);
	assert_null(fixture->registry.by_cookie);
	free(fixture);
	return 0;
}

static void test_new(void **state)
{
	struct fixture *fixture = *state;
	const struct instance *instance = instance_by_id(&fixture->registry, 8);

	assert_int_equal(instance->pub.id, 8);
	assert_int_equal(instance->pub.netns_cookie, 108);
	assert_int_equal(instance->pub.netns_inode, 2008);
	assert_string_equal(instance->pub.name, "netns-2008");
	assert_string_equal(instance->pub.cgroup_path, "/");
	assert_int_equal(instance->child.state, CHILD_NONE);
	assert_int_equal(instance->child.event_fd, -1);
	assert_int_equal(instance->child.report_fd, -1);
	assert_int_equal(instance_by_id(&fixture->registry, INSTANCE_HOST)->pub.netns_cookie, 101);
}

static void test_by_key(void **state)
{
	const struct registry *registry = &((struct fixture *)*state)->registry;

	for (uint64_t id = 1; id <= 8; id++) {
		assert_int_equal(instance_by_id(registry, id)->pub.id, id);
		assert_ptr_equal(instance_by_cookie(registry, 100 + id), instance_by_id(registry, id));
	}
	assert_null(instance_by_id(registry, 0));
	assert_null(instance_by_id(registry, 9));
	assert_null(instance_by_id(registry, 101));
	assert_null(instance_by_cookie(registry, 0));
	assert_null(instance_by_cookie(registry, 1));
	assert_null(instance_by_cookie(registry, 102 + (1ULL << 32)));
}

static void test_free_reuses_no_id(void **state)
{
	struct fixture *fixture = *state;
	struct registry *registry = &fixture->registry;

	instance_free(registry, instance_by_id(registry, 8));
	assert_null(instance_by_id(registry, 8));
	assert_null(instance_by_cookie(registry, 108));
	assert_int_equal(instance_by_cookie(registry, 107)->pub.id, 7);
	assert_int_equal(add(registry, 108, 2008, NULL, NULL)->pub.id, 9);
}

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
		{ "pid:", 0, ENOENT },
		{ "pid:self", 0, ENOENT },
		{ "pid:0", 0, ENOENT },
		{ "pid:-1", 0, ENOENT },
		{ "pid:../self", 0, ENOENT },
		{ "pid:4294967295", 0, ENOENT },
		{ "pid:18446744073709551616", 0, ENOENT },
		{ "pid:99999999999999999999999999", 0, ENOENT },
	};
	const struct registry *registry = &((struct fixture *)*state)->registry;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct instance *found;
		int error;

		errno = 0;
		found = instance_find(registry, cases[i].container);
		error = found ? 0 : errno;
		if ((found ? found->pub.id : 0) != cases[i].id || error != cases[i].error)
			fail_msg("'%s': %llu, %s", cases[i].container, (unsigned long long)(found ? found->pub.id : 0),
				 strerror(error));
	}
}

static void test_find_by_pid(void **state)
{
	struct fixture *fixture = *state;
	char container[32];

	snprintf(container, sizeof(container), "pid:%d", getpid());
	assert_ptr_equal(instance_find(&fixture->registry, container), instance_by_id(&fixture->registry, 1));
	instance_by_id(&fixture->registry, 1)->pub.netns_inode = 1;
	errno = 0;
	assert_null(instance_find(&fixture->registry, container));
	assert_int_equal(errno, ENOENT);
}

static void test_find_in_none(void **state)
{
	static const struct registry none;
	static const char *const containers[] = { "host", "1", "", "pid:0" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(containers); i++) {
		errno = 0;
		assert_null(instance_find(&none, containers[i]));
		assert_int_equal(errno, ENOENT);
	}
}

/* A container in the host's namespace has a record of its own, and the cookie stays the host's. */
static void test_shared(void **state)
{
	struct fixture *fixture = *state;
	struct registry *registry = &fixture->registry;
	struct instance *host = instance_by_id(registry, INSTANCE_HOST), *shared = instance_new_shared(registry, host);
	char container[32];

	assert_non_null(shared);
	assert_true(shared->pub.shares_netns);
	assert_int_equal(shared->pub.id, 9);
	assert_int_equal(shared->pub.netns_cookie, 101);
	assert_int_equal(shared->pub.netns_inode, host->pub.netns_inode);
	assert_ptr_equal(instance_by_cookie(registry, 101), host);
	assert_ptr_equal(instance_by_id(registry, 9), shared);
	assert_true(instance_is_claim(shared)); /* until it is paired it is nothing to name */
	assert_null(instance_find(registry, "9"));
	assert_null(instance_find(registry, shared->pub.name));
	shared->pub.cgroup_id = 1;
	assert_false(instance_is_claim(shared));
	assert_false(instance_is_claim(host));
	assert_ptr_equal(instance_find(registry, "9"), shared);
	snprintf(container, sizeof(container), "pid:%d", getpid());
	assert_ptr_equal(instance_find(registry, container), host);
	instance_free(registry, shared);
	assert_ptr_equal(instance_by_cookie(registry, 101), host);
	assert_null(instance_by_id(registry, 9));
}

/* OUTER/INNER: a prefix of the outer id means the outer one, however many it holds. */
static void test_find_nested(void **state)
{
	struct fixture *fixture = *state;
	struct registry *registry = &fixture->registry;

	add(registry, 109, 2009, "a", "beef01");	/* 9 */
	add(registry, 110, 2010, "b", "beef01/cafe02"); /* 10 */
	add(registry, 111, 2011, "c", "beef01/cafe03"); /* 11 */
	assert_int_equal(instance_find(registry, "bee")->pub.id, 9);
	assert_int_equal(instance_find(registry, "beef01")->pub.id, 9);
	assert_int_equal(instance_find(registry, "beef01/cafe02")->pub.id, 10);
	assert_int_equal(instance_find(registry, "beef01/cafe03")->pub.id, 11);
	assert_null(instance_find(registry, "beef01/cafe"));
	assert_int_equal(errno, ENOTUNIQ);
	assert_null(instance_find(registry, "cafe02"));
	assert_int_equal(errno, ENOENT);
}

#define in_a_registry(test) cmocka_unit_test_setup_teardown(test, populate, clear)

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_a_registry(test_new),
		in_a_registry(test_by_key),
		in_a_registry(test_free_reuses_no_id),
		in_a_registry(test_find),
		in_a_registry(test_find_by_pid),
		in_a_registry(test_shared),
		in_a_registry(test_find_nested),
		cmocka_unit_test(test_find_in_none),
	};

	return cmocka_run_group_tests_name("instance", tests, NULL, NULL);
}
