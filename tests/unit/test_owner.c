// SPDX-License-Identifier: GPL-2.0-or-later
/* How many namespaces and containers an owner may have. */
#include "tests/unit/fake_registry.h"

#include "supervisor/instances/owner.h"

static struct instance instances_of_all[3 * OWNER_INSTANCES_MAX];

static struct instance *count_one(struct instances *instances, size_t i, char *owner, bool is_mounted)
{
	struct instance *instance = &instances_of_all[i];

	*instance = (struct instance){ .owner = owner, .is_mounted = is_mounted };
	owner_count(instances, instance);
	return instance;
}

static void uncount(struct instances *instances, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		owner_uncount(instances, &instances_of_all[i]);
}

static void test_limit(void **state)
{
	static char user[] = "/user.slice/user-1000.slice", other[] = "/docker/x", none[] = "";
	char *owners[] = { user, other, none };
	struct fixture *fixture = *state;
	struct instances *instances = &fixture->instances;

	for (size_t o = 0; o < ARRAY_SIZE(owners); o++) {
		for (size_t i = 0; i < OWNER_INSTANCES_MAX; i++)
			assert_false(owner_is_over(count_one(instances, i, owners[o], false)));
		for (size_t i = OWNER_INSTANCES_MAX; i < OWNER_INSTANCES_MAX + 2; i++) {
			assert_true(owner_is_over(count_one(instances, i, owners[o], false)));
			owner_say_over(instances, &instances_of_all[i]);
		}
		assert_int_equal(fixture->n_logged, o + 1); /* once */
		assert_false(owner_is_over(count_one(instances, OWNER_INSTANCES_MAX + 2, "/docker/y", false)));
		uncount(instances, 0, OWNER_INSTANCES_MAX + 3);
		assert_null(instances->owners);
	}
}

/* It goes, and another one comes: the log says it anew only after there was room. */
static void test_room_again(void **state)
{
	struct fixture *fixture = *state;
	struct instances *instances = &fixture->instances;
	size_t n = OWNER_INSTANCES_MAX;

	for (size_t i = 0; i < n; i++)
		count_one(instances, i, "/a", false);
	for (int again = 0; again < 3; again++) {
		assert_true(owner_is_over(count_one(instances, n, "/a", false)));
		owner_say_over(instances, &instances_of_all[n]);
		uncount(instances, n, n + 1);
	}
	assert_int_equal(fixture->n_logged, 1);
	uncount(instances, 0, 1);
	assert_false(owner_is_over(count_one(instances, 0, "/a", false)));
	assert_true(owner_is_over(count_one(instances, n, "/a", false)));
	owner_say_over(instances, &instances_of_all[n]);
	assert_int_equal(fixture->n_logged, 2);
	uncount(instances, 0, n + 1);
	assert_null(instances->owners);
}

/* Root may have any number: of namespaces with a name, and in a session. */
static void test_root(void **state)
{
	static char sessions[] = "/user.slice/user-0.slice";
	struct fixture *fixture = *state;
	struct instances *instances = &fixture->instances;
	size_t n = 2 * OWNER_INSTANCES_MAX;

	for (size_t i = 0; i < n; i++)
		assert_false(owner_is_over(count_one(instances, i, i % 2 ? "/a" : sessions, i % 2)));
	uncount(instances, 0, n);
	for (size_t i = 0; i < n; i++)
		assert_false(owner_is_over(count_one(instances, i, sessions, false)));
	assert_int_equal(fixture->n_logged, 0);
	uncount(instances, 0, n);
}

/* Who turns out to be another's, or root's, counts there. */
static void test_owner_changes(void **state)
{
	struct instances *instances = &((struct fixture *)*state)->instances;
	struct instance *instance = count_one(instances, 0, "/a", false), *other = count_one(instances, 1, "/a", false);

	assert_int_equal(instance->counted->n, 2);
	owner_count(instances, instance);
	assert_int_equal(instance->counted->n, 2);
	instance->owner = "/b";
	owner_count(instances, instance);
	assert_int_equal(instance->counted->n, 1);
	assert_int_equal(other->counted->n, 1);
	other->is_mounted = true;
	owner_count(instances, other);
	assert_null(other->counted);
	owner_count(instances, count_one(instances, 2, NULL, false));
	assert_null(instances_of_all[2].counted);
	uncount(instances, 0, 3);
	assert_null(instances->owners);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_a_registry(test_limit),
		in_a_registry(test_room_again),
		in_a_registry(test_root),
		in_a_registry(test_owner_changes),
	};

	return cmocka_run_group_tests_name("owner", tests, NULL, NULL);
}
