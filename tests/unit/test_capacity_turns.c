// SPDX-License-Identifier: GPL-2.0-or-later
/* Who gets the place that a worker leaves. The life of each worker is child.c's. */
#include "tests/unit/fake_owners.h"

/* --- whom to serve ------------------------------------------------------------------------------ */

/* Those of the owner whose worker went, in the order of their coming. */
static void test_serve_the_owner(void **state)
{
	struct instance *first, *second, *plain, *other;

	(void)state;
	add_workers("/a", WORKERS_PER_OWNER_MAX);
	add_workers(NULL, WORKERS_PER_OWNER_MAX);
	add_workers("/b", WORKERS_PER_OWNER_MAX);
	first = add_wanted("/a");
	plain = add_wanted("");
	other = add_wanted("/b");
	second = add_wanted("/a");
	assert_true(is_waiting(first) && is_waiting(plain) && is_waiting(other) && is_waiting(second));
	assert_false(want(first)); /* in vain: it keeps its turn */
	end(all[0]);
	assert_true(is_started(first));
	assert_true(is_waiting(second));
	end(all[1]);
	assert_true(is_started(second));
	assert_int_equal(n_workers("/a"), WORKERS_PER_OWNER_MAX);
	end(all[2]); /* none of its own waits */
	assert_int_equal(n_workers("/a"), WORKERS_PER_OWNER_MAX - 1);
	assert_true(is_waiting(plain) && is_waiting(other));
	end(all[WORKERS_PER_OWNER_MAX]);
	assert_true(is_started(plain));
	assert_true(is_waiting(other));
}

/* Anybody when all was full, but the owner's own first. */
static void test_serve_anybody(void **state)
{
	struct instance *b, *c, *mounted;

	(void)state;
	add_workers("/b", 1);
	add_workers("/a", 2);
	add_workers(OWNER_ROOT, WORKERS_MAX - 3);
	c = add_wanted("/c");
	mounted = add_wanted(OWNER_ROOT);
	b = add_wanted("/b");
	end(all[0]);
	assert_true(is_started(b));
	assert_true(is_waiting(c) && is_waiting(mounted));
	end(all[1]);
	assert_int_equal(is_started(c) + is_started(mounted), 1);
	assert_int_equal(fake->workers.n, WORKERS_MAX);
	end(all[2]);
	assert_true(is_started(c) && is_started(mounted));
	assert_int_equal(fake->workers.n, WORKERS_MAX);
	end(b); /* nobody waits */
	assert_int_equal(fake->workers.n, WORKERS_MAX - 1);
}

/* An owner who has as many as he may is passed over. */
static void test_full_owner_is_passed_over(void **state)
{
	struct instance *a, *c;

	(void)state;
	add_workers("/a", WORKERS_PER_OWNER_MAX);
	add_workers(OWNER_ROOT, WORKERS_MAX - WORKERS_PER_OWNER_MAX);
	a = add_wanted("/a");
	c = add_wanted("/c");
	end(all[WORKERS_PER_OWNER_MAX]);
	assert_true(is_waiting(a));
	assert_true(is_started(c));
}

/* Who is short of descriptors, processes or memory comes first, whoever's worker went. */
static void test_serve_the_short_of(void **state)
{
	struct instance *a, *first, *second;

	(void)state;
	add_workers("/a", WORKERS_PER_OWNER_MAX);
	a = add_wanted("/a");
	first = add_short_of("/c", -EMFILE);
	second = add_short_of("/d", -EAGAIN);
	assert_true(first->child->retry_ms > fake->now_ms); /* which does not hold it up */
	end(all[0]);
	assert_true(is_started(first));
	assert_true(is_waiting(second) && is_waiting(a));
	process.err = -EAGAIN;
	process.starts = 0;
	end(all[1]);
	assert_int_equal(process.starts, 2); /* in vain, and then in vain for the owner's own */
	assert_true(is_waiting(second) && is_waiting(a));
	assert_int_equal(a->child->unserved, -EAGAIN);
	assert_null(owner_of("/a")->waiting);
	process.err = 0;
	end(all[2]);
	assert_true(is_started(second));
	assert_true(is_waiting(a));
	end(first); /* another owner's */
	assert_true(is_started(a));
	assert_null(fake->workers.lacking);
}

/* Who cannot be started for a reason of its own does not keep the place from the next. */
static void test_next_in_turn(void **state)
{
	struct instance *first, *second;

	(void)state;
	add_workers("/a", WORKERS_PER_OWNER_MAX);
	first = add_wanted("/a");
	second = add_wanted("/a");
	second->view.shares_netns = true; /* needs no way into a namespace */
	fake->netns_fd = -ESRCH;
	end(all[0]);
	assert_int_equal(first->child->state, CHILD_NONE);
	assert_int_equal(first->child->unserved, 0);
	assert_true(is_started(second));
}

static void test_nobody_at_the_end(void **state)
{
	struct instance *a, *lacking;

	(void)state;
	add_workers("/a", WORKERS_PER_OWNER_MAX);
	a = add_wanted("/a");
	lacking = add_short_of("/b", -EMFILE);
	add_workers(OWNER_ROOT, WORKERS_MAX - fake->workers.n);
	fake->workers.stopping = true;
	end(all[0]);
	assert_true(is_waiting(a) && is_waiting(lacking));
}

/* A worker died, and its instance ends before the next fork. */
static void test_place_of_the_dead_is_handed_on(void **state)
{
	struct instance *a, *c;

	(void)state;
	add_workers("/a", WORKERS_PER_OWNER_MAX);
	add_workers(OWNER_ROOT, WORKERS_MAX - WORKERS_PER_OWNER_MAX);
	a = add_wanted("/a");
	c = add_wanted("/c");
	assert_int_equal(end_process(all[0]), CHILD_BACKOFF);
	assert_true(is_waiting(a));
	end(all[0]);
	assert_true(is_started(a));
	assert_int_equal(end_process(all[n_all - 3]), CHILD_BACKOFF); /* one of root's */
	end(all[n_all - 3]);
	assert_true(is_started(c));
}

/* Who only waits leaves no place. */
static void test_end_of_the_waiting(void **state)
{
	struct instance *first, *second, *lacking;
	unsigned int starts;

	(void)state;
	add_workers("/a", WORKERS_PER_OWNER_MAX);
	first = add_wanted("/a");
	second = add_wanted("/a");
	lacking = add_short_of("/b", -EMFILE);
	starts = process.starts;
	end(first);
	assert_int_equal(process.starts, starts);
	assert_ptr_equal(owner_of("/a")->waiting, second->child);
	assert_int_equal(n_workers("/a"), WORKERS_PER_OWNER_MAX);
	end(lacking);
	assert_null(fake->workers.lacking);
	assert_null(owner_of("/b"));
	assert_int_equal(process.starts, starts);
}

/* --- the machine has enough again --------------------------------------------------------------- */

static void test_retry(void **state)
{
	struct instance *first, *second, *full;

	(void)state;
	assert_ptr_equal(fake->workers.retry.data, &fake->workers);
	add_workers("/a", WORKERS_PER_OWNER_MAX);
	full = add_wanted("/a");
	assert_null(fake->retry_cb); /* the end of a worker tells when there is a place */
	first = add_short_of("/b", -EMFILE);
	second = add_short_of("/b", -ENOMEM);
	assert_non_null(fake->retry_cb);
	assert_int_equal(fake->retry_starts, 1);
	process.err = -EMFILE;
	fake->retry_cb(&fake->workers.retry);
	assert_non_null(fake->retry_cb);
	assert_true(is_waiting(first) && is_waiting(second));
	assert_ptr_equal(fake->workers.lacking, first->child);
	process.err = 0;
	fake->retry_cb(&fake->workers.retry); /* within a second of that */
	assert_true(is_started(first) && is_started(second));
	assert_true(is_waiting(full));
	assert_null(fake->retry_cb);
	add_short_of("/b", -ENFILE);
	assert_non_null(fake->retry_cb);
}

/* --- slots -------------------------------------------------------------------------------------- */

static bool waits_for_slot(const struct instance *instance)
{
	return is_waiting(instance) && instance->child->unserved == -EBUSY;
}

static void make_one_ready(struct instance *instance)
{
	assert_true(is_started(instance));
	process_leave_slot(instance->child);
	child_step(instance->child, CHILD_IS_READY);
	capacity_slot_left(&fake->workers);
}

/* As many start together as there are slots. Half of the slots are free before others have their turn, in order. */
static void test_turns_to_start(void **state)
{
	struct instance *first, *last;
	size_t i;

	(void)state;
	process.takes_slots = true;
	for (i = 0; i < SLOTS_MAX; i++)
		assert_true(want(add(OWNER_ROOT)));
	first = add(OWNER_ROOT);
	assert_false(want(first));
	while (n_all < 2 * SLOTS_MAX)
		assert_false(want(add(OWNER_ROOT)));
	last = all[n_all - 1];
	assert_true(waits_for_slot(first) && waits_for_slot(last));
	assert_int_equal(fake->n_logs, 0); /* that is no news */
	assert_null(fake->retry_cb);
	assert_int_equal(fake->workers.n, SLOTS_MAX);
	assert_false(want(first)); /* an event of its own: the instance keeps its turn */
	for (i = 0; i < SLOTS_MAX / 2; i++)
		make_one_ready(all[i]);
	assert_true(waits_for_slot(first));
	end_process(all[i++]); /* died before it was ready */
	assert_true(is_started(first));
	assert_int_equal(fake->workers.slots.n_taken, SLOTS_MAX);
	assert_true(waits_for_slot(last));
	while (!is_started(last))
		make_one_ready(all[i++]);
	assert_null(fake->workers.starters);
	while (i < n_all)
		make_one_ready(all[i++]);
	assert_int_equal(fake->workers.slots.n_taken, 0);
}

/* Whoever waits for a slot may go, and at the end nobody is served. */
static void test_turn_is_given_up(void **state)
{
	struct instance *one, *two;

	(void)state;
	process.takes_slots = true;
	for (size_t i = 0; i < SLOTS_MAX; i++)
		assert_true(want(add(OWNER_ROOT)));
	one = add(OWNER_ROOT);
	two = add(OWNER_ROOT);
	assert_false(want(one) || want(two));
	end(one);
	assert_ptr_equal(fake->workers.starters, two->child);
	fake->workers.stopping = true;
	for (size_t i = 0; i < SLOTS_MAX; i++)
		make_one_ready(all[i]);
	assert_true(waits_for_slot(two));
	fake->workers.stopping = false;
}

/* A place that a worker leaves is taken though no slot is free: the instance waits for one then. */
static void test_place_without_slot(void **state)
{
	struct instance *one, *two;

	(void)state;
	add_workers("/a", WORKERS_PER_OWNER_MAX);
	one = add_wanted("/a");
	two = add_wanted("/a");
	fake->workers.slots.n = 0;
	end(all[0]);
	assert_true(waits_for_slot(one));
	assert_int_equal(two->child->unserved, -EUSERS);
	fake->workers.slots.n = 1;
	capacity_slot_left(&fake->workers);
	assert_true(is_started(one));
	assert_int_equal(fake->n_logs, 1); /* of the limit */
}

/* --- whose namespaces come and go, or whose workers die --------------------------------------------- */

/* Forks for that owner until there may be no more: a namespace comes, gets a worker, and goes. */
static void churn(const char *owner)
{
	for (int i = 0; i < CAPACITY_FORKS; i++)
		end(add_workers(owner, 1));
}

static void pass(uint64_t ms)
{
	fake->now_ms += ms;
	assert_non_null(fake->pace_cb);
	fake->pace_cb(&fake->workers.pace);
}

/* Those past the limit have their turn one after the other; others and root do not wait. */
static void test_churn(void **state)
{
	struct instance *one, *two;

	(void)state;
	churn("/a");
	assert_null(fake->pace_cb);
	one = add_wanted("/a");
	two = add_wanted("/a");
	assert_true(is_waiting(one) && is_waiting(two));
	assert_int_equal(fake->n_logs, 1);
	assert_last_log("no worker yet: 128 were started for namespaces of /a, and 10 more may be each second");
	assert_true(want(add("/b")));
	assert_true(want(add(NULL)));
	pass(CAPACITY_FORK_MS - 1);
	assert_true(is_waiting(one));
	pass(1);
	assert_true(is_started(one) && is_waiting(two));
	pass(CAPACITY_FORK_MS);
	assert_true(is_started(two));
	assert_null(fake->pace_cb);
	assert_int_equal(fake->workers.n_waiting, 0);
}

static void test_churn_of_root(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++)
		churn(OWNER_ROOT);
	assert_true(want(add(OWNER_ROOT)));
}

/* Each owner that waits gets one each time. */
static void test_turns_of_owners(void **state)
{
	struct instance *waiting[2][2];

	(void)state;
	for (int o = 0; o < 2; o++)
		churn(o ? "/b" : "/a");
	for (int o = 0; o < 2; o++)
		for (int i = 0; i < 2; i++)
			waiting[o][i] = add_wanted(o ? "/b" : "/a");
	pass(CAPACITY_FORK_MS);
	for (int o = 0; o < 2; o++)
		assert_true(is_started(waiting[o][0]) && is_waiting(waiting[o][1]));
}

/* One that has died waits, too, and whoever waits for the owner's limit of workers costs no timer. */
static void test_deaths(void **state)
{
	struct instance *dead, *late;

	(void)state;
	dead = add_workers("/a", WORKERS_PER_OWNER_MAX);
	for (int i = WORKERS_PER_OWNER_MAX; i < CAPACITY_FORKS; i++) {
		assert_int_equal(end_process(dead), CHILD_BACKOFF);
		assert_int_equal(child_step(dead->child, CHILD_TIMEOUT), CHILD_STARTING);
		fake->n_logs = 0;
	}
	late = add_wanted("/a");
	assert_true(is_waiting(late));
	assert_null(fake->pace_cb);
	assert_int_equal(end_process(dead), CHILD_BACKOFF);
	assert_int_equal(child_step(dead->child, CHILD_TIMEOUT), CHILD_NONE);
	assert_true(is_waiting(dead));
	pass(CAPACITY_FORK_MS);
	assert_true(is_started(late) && is_waiting(dead));
	assert_null(fake->pace_cb);
}

/* Ending all and beginning anew gives an owner no more. */
static void test_debts_stay(void **state)
{
	(void)state;
	churn("/a");
	assert_int_equal(owner_of("/a")->n_users, 0);
	assert_false(want(add("/a")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		on_many(test_serve_the_owner),
		on_many(test_serve_anybody),
		on_many(test_full_owner_is_passed_over),
		on_many(test_serve_the_short_of),
		on_many(test_next_in_turn),
		on_many(test_nobody_at_the_end),
		on_many(test_place_of_the_dead_is_handed_on),
		on_many(test_end_of_the_waiting),
		on_many(test_retry),
		on_many(test_turns_to_start),
		on_many(test_turn_is_given_up),
		on_many(test_place_without_slot),
		on_many(test_churn),
		on_many(test_churn_of_root),
		on_many(test_turns_of_owners),
		on_many(test_deaths),
		on_many(test_debts_stay),
	};

	return cmocka_run_group_tests_name("capacity_turns", tests, NULL, NULL);
}
