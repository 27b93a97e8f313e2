// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "supervisor/instances/registry.h"
#include "supervisor/workers/capacity.h"

static struct instance *add(struct registry *registry, const char *owner, bool named, pid_t pid)
{
	struct instance *instance = instance_new(registry, registry->last_id + 1, registry->last_id + 1);

	assert_non_null(instance);
	instance->owner = owner ? strdup(owner) : NULL;
	instance->named = named;
	instance->child.pid = pid;
	return instance;
}

static void clear(struct registry *registry)
{
	while (registry->by_id)
		instance_free(registry, registry->by_id);
}

/* By who made the namespace, whatever cgroups he made below; without a worker it takes no room. */
static void test_capacity_of_an_owner(void **state)
{
	struct registry registry = { 0 };
	struct instance *one, *plain, *named;

	(void)state;
	one = add(&registry, "/docker/a", false, 0);
	plain = add(&registry, NULL, false, 0);
	named = add(&registry, NULL, true, 0);
	for (int i = 0; i < ROOM_WORKERS_PER_OWNER_MAX - 1; i++) {
		add(&registry, "/docker/a", false, 1000 + i);
		add(&registry, NULL, false, 2000 + i);
		add(&registry, NULL, true, 3000 + i);
		add(&registry, "/docker/b", false, 4000 + i);
	}
	assert_int_equal(room_load(&registry, one).here, ROOM_WORKERS_PER_OWNER_MAX - 1);
	assert_true(room_is_left(room_load(&registry, one)));
	assert_true(room_is_left(room_load(&registry, plain)));
	one->child.pid = plain->child.pid = 1;
	assert_false(room_is_left(room_load(&registry, one)));
	assert_false(room_is_left(room_load(&registry, plain)));
	assert_int_equal(room_load(&registry, named).here, 0);
	assert_true(room_is_left(room_load(&registry, named)));
	clear(&registry);
}

static void test_capacity_in_all(void **state)
{
	struct registry registry = { 0 };
	struct instance *last;

	(void)state;
	for (int i = 0; i < ROOM_WORKERS_MAX - 1; i++)
		add(&registry, NULL, true, 1 + i);
	last = add(&registry, NULL, true, 0);
	assert_int_equal(room_load(&registry, last).all, ROOM_WORKERS_MAX - 1);
	assert_true(room_is_left(room_load(&registry, last)));
	last->child.pid = 1;
	assert_int_equal(room_load(&registry, last).all, ROOM_WORKERS_MAX);
	assert_false(room_is_left(room_load(&registry, add(&registry, "/a", false, 0))));
	clear(&registry);
}

static void test_lack_of_room(void **state)
{
	static const int lacks[] = { -EUSERS, -EMFILE, -ENFILE, -EAGAIN, -ENOMEM };
	static const int others[] = { 0, -ESRCH, -ENOENT, -ESTALE, -EPERM, -EINVAL };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lacks); i++)
		assert_true(room_is_lacking(lacks[i]));
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		assert_false(room_is_lacking(others[i]));
}

static struct instance *add_unserved(struct registry *registry, const char *owner, bool named, int unserved)
{
	struct instance *instance = add(registry, owner, named, 0);

	instance->unserved = unserved;
	return instance;
}

/* Those of one owner when one of its workers went; anybody when all was full; who is short of descriptors, always. */
static void test_whom_to_serve(void **state)
{
	struct registry registry = { 0 };
	struct instance *a, *plain, *named, *a2, *short_of;
	struct room_load load;

	(void)state;
	add(&registry, "/a", false, 1);
	assert_null(room_next_unserved(&registry, NULL, "/a", true));
	a = add_unserved(&registry, "/a", false, -EUSERS);
	plain = add_unserved(&registry, NULL, false, -EUSERS);
	named = add_unserved(&registry, NULL, true, -EUSERS);
	a2 = add_unserved(&registry, "/a", false, -EUSERS);
	assert_ptr_equal(room_next_unserved(&registry, NULL, "/a", false), a);
	assert_ptr_equal(room_next_unserved(&registry, a, "/a", false), a2);
	assert_null(room_next_unserved(&registry, a2, "/a", false));
	assert_ptr_equal(room_next_unserved(&registry, NULL, "", false), plain);
	assert_null(room_next_unserved(&registry, plain, "", false));
	assert_null(room_next_unserved(&registry, NULL, "/b", false));
	assert_null(room_next_unserved(&registry, NULL, NULL, false));
	assert_ptr_equal(room_next_unserved(&registry, NULL, "/b", true), a);
	assert_ptr_equal(room_next_unserved(&registry, a, "/b", true), plain);
	assert_ptr_equal(room_next_unserved(&registry, plain, "/b", true), named);
	a->child.state = CHILD_STARTING; /* is being served */
	assert_ptr_equal(room_next_unserved(&registry, NULL, "/a", false), a2);
	short_of = add_unserved(&registry, "/c", false, -EMFILE);
	assert_ptr_equal(room_next_unserved(&registry, NULL, NULL, false), short_of);
	assert_ptr_equal(room_next_unserved(&registry, a2, "/a", false), short_of);
	load = room_load(&registry, a);
	assert_int_equal(load.waiting, 1); /* besides itself */
	assert_int_equal(load.short_of, 1);
	assert_int_equal(room_load(&registry, short_of).short_of, 0);
	clear(&registry);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_capacity_of_an_owner),
		cmocka_unit_test(test_capacity_in_all),
		cmocka_unit_test(test_lack_of_room),
		cmocka_unit_test(test_whom_to_serve),
	};

	return cmocka_run_group_tests_name("room", tests, NULL, NULL);
}
