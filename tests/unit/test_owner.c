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

	assert_int_equal(instance->counted->n_instances, 2);
	owner_count(instances, instance);
	assert_int_equal(instance->counted->n_instances, 2);
	instance->owner = "/b";
	owner_count(instances, instance);
	assert_int_equal(instance->counted->n_instances, 1);
	assert_int_equal(other->counted->n_instances, 1);
	other->is_mounted = true;
	owner_count(instances, other);
	assert_null(other->counted);
	owner_count(instances, count_one(instances, 2, NULL, false));
	assert_null(instances_of_all[2].counted);
	uncount(instances, 0, 3);
	assert_null(instances->owners);
}

static struct owner_log *log_of(struct instances *instances, size_t i, char *owner, bool is_mounted)
{
	return owner_log_of(instances, count_one(instances, i, owner, is_mounted));
}

/* One for each owner; a few for all without one, so that none of those silences all others; none for root. */
static void test_logs(void **state)
{
	struct instances *instances = &((struct fixture *)*state)->instances;
	struct owner_log *log = log_of(instances, 0, "/a", false);

	assert_ptr_equal(log_of(instances, 1, "/a", false), log);
	assert_ptr_not_equal(log_of(instances, 2, "/b", false), log);
	assert_null(log_of(instances, 3, "/a", true));
	for (uint64_t id = 1; id <= 3 * OWNERLESS_LOGS; id++) {
		struct instance unknown = { .view.id = id }, ownerless = { .view.id = id, .owner = "" };

		owner_count(instances, &ownerless);
		log = owner_log_of(instances, &ownerless);
		assert_ptr_equal(log, &instances->ownerless_logs[id % OWNERLESS_LOGS]);
		assert_ptr_equal(owner_log_of(instances, &unknown), log);
		owner_uncount(instances, &ownerless);
	}
	uncount(instances, 0, 4);
}

/* Whoever ends all of his and comes again has no more to spend. */
static void test_owner_with_debts_is_kept(void **state)
{
	struct fixture *fixture = *state;
	struct instances *instances = &fixture->instances;

	assert_true(bucket_take(&log_of(instances, 0, "/a", false)->records, 5, 100, 5, 0));
	uncount(instances, 0, 1);
	assert_false(bucket_has(&log_of(instances, 0, "/a", false)->records, 100, 5, 0));
	fixture->loop.time = 500;
	uncount(instances, 0, 1);
	assert_null(instances->owners);
}

/* Many owners that come and go are forgotten, but for those that have spent something. */
static void test_idle_owners_are_forgotten(void **state)
{
	struct fixture *fixture = *state;
	struct instances *instances = &fixture->instances;
	char name[32];

	bucket_take(&log_of(instances, 0, "/flood", false)->records, 5, 1000000, 5, 0);
	uncount(instances, 0, 1);
	for (unsigned int i = 0; i < 5 * OWNERS_KEPT; i++) {
		snprintf(name, sizeof(name), "/owner %u", i);
		bucket_take(&log_of(instances, 0, name, false)->records, 1, 10, 1, i);
		uncount(instances, 0, 1);
		fixture->loop.time = i;
	}
	assert_true(HASH_COUNT(instances->owners) <= OWNERS_KEPT);
	assert_false(bucket_has(&log_of(instances, 0, "/flood", false)->records, 1000000, 5, fixture->loop.time));
	uncount(instances, 0, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_a_registry(test_limit),
		in_a_registry(test_room_again),
		in_a_registry(test_root),
		in_a_registry(test_owner_changes),
		in_a_registry(test_logs),
		in_a_registry(test_owner_with_debts_is_kept),
		in_a_registry(test_idle_owners_are_forgotten),
	};

	return cmocka_run_group_tests_name("owner", tests, NULL, NULL);
}
