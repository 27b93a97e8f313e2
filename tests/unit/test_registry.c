// SPDX-License-Identifier: GPL-2.0-or-later
/* The records, what finds them, and what is told of them: to the log, to the BPF programs. */
#include "ipc/unshared.h"
#include "tests/unit/fake_registry.h"

static void test_new(void **state)
{
	struct fixture *fixture = *state;
	const struct instance *instance = instance_by_id(&fixture->instances, 8);

	assert_int_equal(instance->view.id, 8);
	assert_int_equal(instance->view.netns_cookie, 108);
	assert_int_equal(instance->view.netns_inode, 2008);
	assert_string_equal(instance->view.name, "netns-2008");
	assert_string_equal(instance->view.cgroup_path, "/");
	assert_int_equal(instance->view.event_fd, -1);
	assert_int_equal(instance->view.ring_fd, EVENTS_FD);
	assert_null(instance->child);
	assert_null(instance->state);
	assert_int_equal(instance_by_id(&fixture->instances, INSTANCE_HOST)->view.netns_cookie, 101);
}

static void test_by_key(void **state)
{
	struct instances *instances = &((struct fixture *)*state)->instances;

	for (uint64_t id = 1; id <= 8; id++) {
		assert_int_equal(instance_by_id(instances, id)->view.id, id);
		assert_ptr_equal(instance_by_cookie(instances, 100 + id), instance_by_id(instances, id));
	}
	assert_null(instance_by_id(instances, 0));
	assert_null(instance_by_id(instances, 9));
	assert_null(instance_by_id(instances, 101));
	assert_null(instance_by_cookie(instances, 0));
	assert_null(instance_by_cookie(instances, 1));
	assert_null(instance_by_cookie(instances, 102 + (1ULL << 32)));
}

static void test_by_inode(void **state)
{
	struct fixture *fixture = *state;
	struct instances *instances = &fixture->instances;

	assert_ptr_equal(registry_by_inode(instances, fixture->own_inode), instance_host(instances));
	for (uint32_t id = 2; id <= 8; id++)
		assert_ptr_equal(registry_by_inode(instances, 2000 + id), instance_by_id(instances, id));
	assert_null(registry_by_inode(instances, 0));
	assert_null(registry_by_inode(instances, 2009));
	remove_it(instances, instance_by_id(instances, 8));
	assert_null(registry_by_inode(instances, 2008));
	assert_int_equal(registry_by_inode(instances, 2007)->view.id, 7);
}

/* The kernel may give a namespace's inode to another namespace before the end of the first has been told. */
static void test_inode_of_two(void **state)
{
	struct fixture *fixture = *state;
	struct instances *instances = &fixture->instances;
	struct instance *old = instance_by_id(instances, 8), *new = add(instances, 109, 2008, NULL, NULL);

	assert_ptr_equal(registry_by_inode(instances, 2008), new);
	assert_ptr_equal(instance_by_cookie(instances, 108), old);
	remove_it(instances, old);
	assert_ptr_equal(registry_by_inode(instances, 2008), new);
	assert_true(registry_name_is_taken(instances, "netns-2008"));
	remove_it(instances, new);
	assert_null(registry_by_inode(instances, 2008));
	assert_false(registry_name_is_taken(instances, "netns-2008"));
}

static void test_free_reuses_no_id(void **state)
{
	struct fixture *fixture = *state;
	struct instances *instances = &fixture->instances;

	remove_it(instances, instance_by_id(instances, 8));
	assert_null(instance_by_id(instances, 8));
	assert_null(instance_by_cookie(instances, 108));
	assert_int_equal(instance_by_cookie(instances, 107)->view.id, 7);
	assert_int_equal(add(instances, 108, 2008, NULL, NULL)->view.id, 9);
}

static void test_names(void **state)
{
	static const char *const taken[] = { "host", "web", "db", "2", "cache", "abc", "netns-2008" };
	static const char *const free_names[] = { "", "we", "web2", "WEB", "abcdef0123", "netns-2002" };
	struct fixture *fixture = *state;
	struct instances *instances = &fixture->instances;
	struct instance *web = instance_by_id(instances, 2);

	for (size_t i = 0; i < ARRAY_SIZE(taken); i++)
		assert_true(registry_name_is_taken(instances, taken[i]));
	for (size_t i = 0; i < ARRAY_SIZE(free_names); i++)
		assert_false(registry_name_is_taken(instances, free_names[i]));
	registry_rename(instances, web, unshared_strdup("shop"));
	assert_string_equal(web->view.name, "shop");
	assert_true(registry_name_is_taken(instances, "shop"));
	assert_false(registry_name_is_taken(instances, "web"));
	remove_it(instances, instance_by_id(instances, 3));
	assert_true(registry_name_is_taken(instances, "db")); /* the other's */
	remove_it(instances, instance_by_id(instances, 4));
	assert_false(registry_name_is_taken(instances, "db"));
}

/* The name of an instance that is on its way out is free for another; as long as there are two of that name, it names none. */
static void test_name_of_one_that_ends(void **state)
{
	struct fixture *fixture = *state;
	struct instances *instances = &fixture->instances;
	struct instance *web = instance_by_id(instances, 2), *other;

	instance_is_to_end(instances, web);
	assert_true(web->is_ending);
	assert_false(registry_name_is_taken(instances, "web"));
	assert_string_equal(web->view.name, "web");
	assert_ptr_equal(instance_find(instances, "web"), web);
	instance_is_to_end(instances, web); /* told twice */
	registry_rename(instances, web, unshared_strdup("shop"));
	assert_string_equal(web->view.name, "shop");
	assert_false(registry_name_is_taken(instances, "shop"));
	other = add(instances, 109, 2009, "shop", NULL);
	assert_true(registry_name_is_taken(instances, "shop"));
	assert_null(instance_find(instances, "shop"));
	assert_int_equal(errno, ENOTUNIQ);
	remove_it(instances, web);
	assert_true(registry_name_is_taken(instances, "shop"));
	assert_ptr_equal(instance_find(instances, "shop"), other);
}

/* A container in the host's namespace has a record of its own, and the cookie stays the host's. */
static void test_claim(void **state)
{
	struct fixture *fixture = *state;
	struct instances *instances = &fixture->instances;
	struct instance *host = instance_by_id(instances, INSTANCE_HOST), *shared = registry_add_claim(instances, "/a");

	assert_non_null(shared);
	assert_true(shared->view.shares_netns);
	assert_int_equal(shared->view.id, 9);
	assert_int_equal(shared->view.netns_cookie, 101);
	assert_int_equal(shared->view.netns_inode, host->view.netns_inode);
	assert_ptr_equal(instance_by_cookie(instances, 101), host);
	assert_ptr_equal(registry_by_inode(instances, fixture->own_inode), host);
	assert_ptr_equal(instance_by_id(instances, 9), shared);
	assert_ptr_equal(registry_by_claim(instances, "/a"), shared);
	assert_null(registry_by_claim(instances, "/a/b"));
	assert_null(registry_by_claim(instances, "/"));
	assert_true(instance_is_claim(shared));
	shared->view.cgroup_id = 1;
	assert_false(instance_is_claim(shared));
	assert_false(instance_is_claim(host));
	remove_it(instances, shared);
	assert_ptr_equal(instance_by_cookie(instances, 101), host);
	assert_ptr_equal(registry_by_inode(instances, fixture->own_inode), host);
	assert_null(instance_by_id(instances, 9));
	assert_null(registry_by_claim(instances, "/a"));
}

/* A cgroup of the same path may be made, and claimed, while the end of the first is under way. */
static void test_claim_of_one_that_ends(void **state)
{
	struct fixture *fixture = *state;
	struct instances *instances = &fixture->instances;
	struct instance *old = registry_add_claim(instances, "/a"), *new;

	instance_is_to_end(instances, old);
	assert_null(registry_by_claim(instances, "/a"));
	assert_ptr_equal(instance_by_id(instances, 9), old);
	new = registry_add_claim(instances, "/a");
	assert_ptr_equal(registry_by_claim(instances, "/a"), new);
	remove_it(instances, old);
	assert_ptr_equal(registry_by_claim(instances, "/a"), new);
}

static void test_log(void **state)
{
	struct fixture *fixture = *state;
	struct instances *instances = &fixture->instances;

	instance_log(instances, instance_by_id(instances, 2), LOG_NOTICE, "%s %d", "line", 1);
	assert_string_equal(fixture->logged, "2 of web (5): line 1");
	instance_log(instances, NULL, LOG_ERR, "line %d", 2);
	assert_string_equal(fixture->logged, "1 of host (3): line 2");
	remove_it(instances, instance_host(instances));
	instance_log(instances, NULL, LOG_ERR, "line %d", 3);
	assert_string_equal(fixture->logged, "1 of host (3): line 3"); /* it may be the first to end */
	assert_int_equal(fixture->n_logged, 3);
}

static void test_gate(void **state)
{
	static const struct {
		const char *what;
		bool is_host, is_entered;
		const char *path; /* NULL: not paired */
		struct bpftune_gate gate;
	} cases[] = {
		{ "a container", false, true, "/ab/c", { .tuners_off = 5, .cgroup_id = 77, .cgroup_level = 2, .own_users = 1 } },
		{ "one that our worker is not in", false, false, "/ab", { .tuners_off = 5, .cgroup_id = 77, .cgroup_level = 1 } },
		{ "one of no cgroup", false, true, NULL, { .tuners_off = 5, .own_users = 1 } },
		{ "the host, whose tasks may be anywhere", true, true, "/", { .tuners_off = 5 } },
	};
	struct fixture *fixture = *state;
	struct instances *instances = &fixture->instances;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct instance *instance = instance_by_id(instances, cases[i].is_host ? INSTANCE_HOST : 2);

		instance->tuners_off = 5;
		instance->is_entered = cases[i].is_entered;
		instance->view.cgroup_id = cases[i].path ? 77 : 0;
		unshared_free(instance->view.cgroup_path);
		instance->view.cgroup_path = unshared_strdup(cases[i].path ? cases[i].path : "/");
		instance_set_gate(instances, instance);
		assert_int_equal(fixture->n_gates, i + 1);
		assert_int_equal(fixture->gate_cookie, cases[i].is_host ? 101 : 102);
		if (memcmp(&fixture->gate, &cases[i].gate, sizeof(fixture->gate)) != 0)
			fail_msg("%s", cases[i].what);
	}
}

/* A container that shares the host's namespace has no gate of its own, and those of the host's tuners that are on for it. */
static void test_tuners_of_a_sharer(void **state)
{
	struct fixture *fixture = *state;
	struct instances *instances = &fixture->instances;
	struct instance *host = instance_host(instances), *web = instance_by_id(instances, 2);
	struct instance *shared = registry_add_claim(instances, "/a");

	host->tuners_off = 1 << 3 | 1;
	shared->tuners_off = 1 << 2;
	shared->switched_off = 1 << 4;
	web->tuners_off = 1 << 1;
	for (uint16_t i = 0; i < 5; i++) {
		assert_int_equal(instance_tuner_is_active(instances, host, i), i != 3 && i != 0);
		assert_int_equal(instance_tuner_is_active(instances, shared, i), i != 3 && i != 0 && i != 4);
		assert_int_equal(instance_tuner_is_active(instances, web, i), i != 1);
	}
	instance_set_gate(instances, shared);
	assert_int_equal(fixture->n_gates, 0);
	remove_it(instances, host); /* it may be the first to end */
	assert_false(instance_tuner_is_active(instances, shared, 2));
	assert_true(instance_tuner_is_active(instances, shared, 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_a_registry(test_new),
		in_a_registry(test_by_key),
		in_a_registry(test_by_inode),
		in_a_registry(test_inode_of_two),
		in_a_registry(test_free_reuses_no_id),
		in_a_registry(test_names),
		in_a_registry(test_name_of_one_that_ends),
		in_a_registry(test_claim),
		in_a_registry(test_claim_of_one_that_ends),
		in_a_registry(test_log),
		in_a_registry(test_gate),
		in_a_registry(test_tuners_of_a_sharer),
	};

	return cmocka_run_group_tests_name("registry", tests, NULL, NULL);
}
