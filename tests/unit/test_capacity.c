// SPDX-License-Identifier: GPL-2.0-or-later
/* How many workers there may be, of all and of each owner, and what the log says if there are too many. */
#include "ipc/unshared.h"
#include "tests/unit/fake_owners.h"

/* --- how many ----------------------------------------------------------------------------------- */

/* By who made the namespace, whatever cgroups he made below; without a worker it takes no place. */
static void test_limit_of_an_owner(void **state)
{
	static const char *const owners[] = { "/docker/a", NULL, OWNER_ROOT, "/docker/b" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(owners); i++) {
		add_workers(owners[i], WORKERS_PER_OWNER_MAX - 1);
		add(owners[i]);
	}
	assert_int_equal(n_workers("/docker/a"), WORKERS_PER_OWNER_MAX - 1);
	assert_int_equal(n_workers(""), WORKERS_PER_OWNER_MAX - 1);
	for (size_t i = 0; i < ARRAY_SIZE(owners); i++)
		add_workers(owners[i], 1);
	for (size_t i = 0; i < ARRAY_SIZE(owners); i++) {
		bool is_root = owners[i] && !strcmp(owners[i], OWNER_ROOT);

		assert_int_equal(want(add(owners[i])), is_root);
	}
	assert_int_equal(fake->workers.n, 4 * WORKERS_PER_OWNER_MAX + 1);
	assert_int_equal(n_workers(OWNER_ROOT), WORKERS_PER_OWNER_MAX + 1);
	assert_int_equal(n_workers("/docker/a"), WORKERS_PER_OWNER_MAX);
	assert_true(want(add("/docker")));
}

static void test_limit_of_all(void **state)
{
	(void)state;
	add_workers(OWNER_ROOT, WORKERS_MAX - 1);
	assert_int_equal(fake->workers.n, WORKERS_MAX - 1);
	assert_true(want(add(OWNER_ROOT)));
	assert_int_equal(fake->workers.n, WORKERS_MAX);
	assert_false(want(add(OWNER_ROOT)));
	assert_false(want(add("/a")));
	assert_int_equal(fake->workers.n, WORKERS_MAX);
}

static void test_what_is_lacking(void **state)
{
	static const int lacks[] = { -EUSERS, -EMFILE, -ENFILE, -EAGAIN, -ENOMEM };
	static const int others[] = { 0, -ESRCH, -ENOENT, -ESTALE, -EPERM, -EINVAL };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lacks); i++)
		assert_true(capacity_is_lacking(lacks[i]));
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		assert_false(capacity_is_lacking(others[i]));
}

/* A worker that died takes no place until it is forked again, and may find none then. */
static void test_place_of_the_dead(void **state)
{
	struct instance *dead, *late;

	(void)state;
	dead = add_workers("/a", WORKERS_PER_OWNER_MAX);
	late = add_wanted("/a");
	assert_int_equal(end_process(dead), CHILD_BACKOFF);
	assert_int_equal(n_workers("/a"), WORKERS_PER_OWNER_MAX - 1);
	assert_true(is_waiting(late));
	assert_true(want(late)); /* an event of its own */
	assert_int_equal(late->child->unserved, 0);
	assert_null(owner_of("/a")->waiting);
	assert_int_equal(child_step(dead->child, CHILD_TIMEOUT), CHILD_NONE);
	assert_true(is_waiting(dead));
	assert_int_equal(n_workers("/a"), WORKERS_PER_OWNER_MAX);
}

/* --- who turns out to be another owner's -------------------------------------------------------- */

static void change_owner(struct instance *instance, const char *owner)
{
	unshared_free(instance->owner);
	instance->owner = owner ? unshared_strdup(owner) : NULL;
}

static void test_recount_a_worker(void **state)
{
	struct instance *one, *waits;

	(void)state;
	add_workers("/a", WORKERS_PER_OWNER_MAX - 1);
	one = add_workers("/a", 1);
	workers_recount(&fake->workers, one); /* nothing has changed */
	assert_int_equal(n_workers("/a"), WORKERS_PER_OWNER_MAX);
	change_owner(one, "/b");
	workers_recount(&fake->workers, one);
	assert_int_equal(n_workers("/a"), WORKERS_PER_OWNER_MAX - 1);
	assert_int_equal(n_workers("/b"), 1);
	assert_int_equal(fake->workers.n, WORKERS_PER_OWNER_MAX);
	add_workers("/a", 1);
	waits = add_wanted("/a");
	end(one);
	assert_null(owner_of("/b"));
	assert_true(is_waiting(waits));
}

static void test_recount_the_waiting(void **state)
{
	struct instance *one, *two, *lacking;

	(void)state;
	add_workers("/a", WORKERS_PER_OWNER_MAX);
	add_workers("/b", WORKERS_PER_OWNER_MAX);
	one = add_wanted("/b");
	two = add_wanted("/a");
	lacking = add_short_of("/d", -EMFILE);
	change_owner(two, "/b");
	workers_recount(&fake->workers, two);
	assert_null(owner_of("/a")->waiting);
	assert_true(is_waiting(two));
	change_owner(lacking, "/c");
	workers_recount(&fake->workers, lacking);
	assert_int_equal(n_workers("/c"), 0);
	assert_ptr_equal(fake->workers.lacking, lacking->child);
	assert_int_equal(lacking->child->unserved, -EMFILE);
	assert_int_equal(fake->workers.n, 2 * WORKERS_PER_OWNER_MAX);
	end(lacking);
	end(all[WORKERS_PER_OWNER_MAX]);
	assert_true(is_started(one));
	end(all[WORKERS_PER_OWNER_MAX + 1]);
	assert_true(is_started(two));
}

/* Who was never counted is not counted for it. */
static void test_recount_nobody(void **state)
{
	struct instance *instance = add("/a"), none = { .owner = NULL };

	(void)state;
	workers_recount(&fake->workers, &none);
	workers_recount(&fake->workers, instance);
	assert_no_owner_is_held();
	assert_int_equal(fake->workers.n, 0);
}

static void find_mount(struct instance *instance)
{
	instance->is_mounted = true;
}

/* Found out when it is to be served: it was the last of its owner, and cannot be started after all. */
static void test_owner_found_late(void **state)
{
	struct instance *late, *next;

	(void)state;
	add_workers(OWNER_ROOT, WORKERS_MAX);
	late = add_wanted("/a");
	next = add_wanted("/b");
	fake->find_owner = find_mount;
	process.err = -EMFILE;
	end(all[0]);
	assert_null(owner_of("/a"));
	assert_null(owner_of("/b"));
	assert_true(is_waiting(late) && is_waiting(next));
	assert_ptr_equal(late->child->owner, owner_of(OWNER_ROOT));
	assert_ptr_equal(fake->workers.lacking, late->child);
}

/* By the time of its fork it is another owner's, who has as many as he may. */
static void test_owner_found_at_the_fork(void **state)
{
	struct instance *one;

	(void)state;
	add_workers("/a", WORKERS_PER_OWNER_MAX);
	one = add_workers("/b", 1);
	assert_int_equal(end_process(one), CHILD_BACKOFF);
	change_owner(one, "/a");
	assert_int_equal(child_step(one->child, CHILD_TIMEOUT), CHILD_NONE);
	assert_true(is_waiting(one));
	assert_int_equal(owner_of("/b")->n_users, 0);
}

/* --- the log ------------------------------------------------------------------------------------ */

/* Once, until nobody waits for it any more. */
static void test_what_is_said(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		add_short_of("/b", -EMFILE);
		add_short_of("/c", -ENOMEM);
		assert_int_equal(fake->n_logs, i + 1);
		assert_last_log(i ? "no worker: Too many open files; there are 2 workers" :
				    "no worker: Too many open files; there are 0 workers");
		fake->retry_cb(&fake->workers.retry);
	}
	fake->n_logs = 0;
	add_workers("/a", WORKERS_PER_OWNER_MAX);
	add_workers("", WORKERS_PER_OWNER_MAX);
	for (int i = 0; i < 2; i++)
		add_wanted("/a");
	assert_int_equal(fake->n_logs, 1);
	assert_last_log("no worker: 64 are running for namespaces of /a, the most for one owner");
	add_wanted(NULL);
	assert_int_equal(fake->n_logs, 2);
	assert_last_log("no worker: 64 are running for namespaces of no container, the most for one owner");
	add_workers(OWNER_ROOT, WORKERS_MAX - fake->workers.n);
	add_wanted(OWNER_ROOT);
	assert_int_equal(fake->n_logs, 3);
	assert_last_log("no worker: 4096 are running, the most there may be");
}

/* Who waits for one thing and is short of another by then has been in the log already. */
static void test_said_once_for_each(void **state)
{
	struct instance *one;

	(void)state;
	add_workers("/a", WORKERS_PER_OWNER_MAX);
	one = add_wanted("/a");
	assert_int_equal(fake->n_logs, 1);
	process.err = -EMFILE;
	end(all[0]);
	assert_int_equal(one->child->unserved, -EMFILE);
	assert_int_equal(fake->n_logs, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		on_many(test_limit_of_an_owner),
		on_many(test_limit_of_all),
		on_many(test_what_is_lacking),
		on_many(test_place_of_the_dead),
		on_many(test_recount_a_worker),
		on_many(test_recount_the_waiting),
		on_many(test_recount_nobody),
		on_many(test_owner_found_late),
		on_many(test_owner_found_at_the_fork),
		on_many(test_what_is_said),
		on_many(test_said_once_for_each),
	};

	return cmocka_run_group_tests_name("capacity", tests, NULL, NULL);
}
