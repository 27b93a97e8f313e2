// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "supervisor/child.h"
#include "supervisor/instance.h"

/* The life of a worker as one picture; "-" is no news: the state stays, nothing is done. */
static void test_every_cell(void **state)
{
#define _ { -1, CHILD_IGNORE }
#define TO(next, action) { CHILD_##next, CHILD_##action }
	static const struct {
		int next, action;
	} expected[N_CHILD_STATES][N_CHILD_EVENTS] = {
		/* clang-format off */
		/*                    WANTED              IS_READY          EXITED              UNUSED                 TIMEOUT             FAILED              PUT_OFF           STOP */
		[CHILD_NONE]     = { TO(STARTING, FORK), _,                _,                  TO(GONE, FORGET),      _,                  _,                  _,                TO(GONE, FORGET) },
		[CHILD_STARTING] = { _,                  TO(READY, SERVE), TO(BACKOFF, DELAY), TO(RETIRING, HANG_UP), TO(STARTING, KILL), TO(BACKOFF, DELAY), TO(NONE, IGNORE), TO(RETIRING, HANG_UP) },
		[CHILD_READY]    = { _,                  _,                TO(BACKOFF, DELAY), TO(RETIRING, HANG_UP), _,                  _,                  _,                TO(RETIRING, HANG_UP) },
		[CHILD_RETIRING] = { _,                  _,                TO(GONE, FORGET),   _,                     TO(RETIRING, KILL), _,                  _,                _ },
		[CHILD_BACKOFF]  = { _,                  _,                _,                  TO(GONE, FORGET),      TO(STARTING, FORK), _,                  _,                TO(GONE, FORGET) },
		[CHILD_GONE]     = { _,                  _,                _,                  _,                     _,                  _,                  _,                _ },
		/* clang-format on */
	};
#undef TO
#undef _

	(void)state;
	for (int from = 0; from < N_CHILD_STATES; from++)
		for (int event = 0; event < N_CHILD_EVENTS; event++) {
			struct child_transition then = child_next(from, event);
			int next = expected[from][event].next < 0 ? from : expected[from][event].next;

			if ((int)then.next != next || (int)then.action != expected[from][event].action)
				fail_msg("%s, event %d: to %s with action %d", child_state_name(from), event,
					 child_state_name(then.next), then.action);
		}
}

/* Wherever a worker is, an order to stop leads to its end in a few steps. */
static void test_stop_ends(void **state)
{
	(void)state;
	for (int from = 0; from < N_CHILD_STATES; from++) {
		enum child_state now = child_next(from, CHILD_STOP).next;

		now = child_next(now, CHILD_IS_READY).next; /* was under way */
		now = child_next(now, CHILD_TIMEOUT).next;  /* it does not listen: killed */
		now = child_next(now, CHILD_EXITED).next;
		assert_int_equal(now, CHILD_GONE);
	}
}

static void test_state_names(void **state)
{
	static const char *const names[] = { "none", "starting", "ready", "retiring", "backoff", "gone" };

	(void)state;
	assert_int_equal(ARRAY_SIZE(names), N_CHILD_STATES);
	for (int i = 0; i < N_CHILD_STATES; i++)
		assert_string_equal(child_state_name(i), names[i]);
}

static void test_backoff_sequence(void **state)
{
	static const unsigned int seconds[] = { 1, 2, 4, 8, 16, 32, 60, 60, 60 };
	unsigned int ms = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(seconds); i++) {
		ms = child_backoff_ms(ms, 10);
		assert_int_equal(ms, 1000 * seconds[i]);
	}
	assert_int_equal(child_backoff_ms(ms, CHILD_HEALTHY_MS), 1000);
	assert_int_equal(child_backoff_ms(1000, 10), 2000); /* and then anew */
}

static void test_backoff_edges(void **state)
{
	static const struct {
		unsigned int last_ms;
		uint64_t lived_ms;
		unsigned int next_ms;
	} cases[] = {
		{ 0, 0, 1000 },
		{ 0, UINT64_MAX, 1000 },
		{ 1000, 0, 2000 },
		{ 1000, 59999, 2000 },
		{ 1000, 60000, 1000 },
		{ 60000, 59999, 60000 },
		{ 60000, 60000, 1000 },
		{ 60000, UINT64_MAX, 1000 },
		{ 29999, 0, 59998 },
		{ 30000, 0, 60000 },
		{ UINT32_MAX, 0, 60000 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(child_backoff_ms(cases[i].last_ms, cases[i].lived_ms), cases[i].next_ms);
}

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
static void test_room_of_an_owner(void **state)
{
	struct registry registry = { 0 };
	struct instance *one, *plain, *named;

	(void)state;
	one = add(&registry, "/docker/a", false, 0);
	plain = add(&registry, NULL, false, 0);
	named = add(&registry, NULL, true, 0);
	for (int i = 0; i < CHILD_WORKERS_PER_OWNER_MAX - 1; i++) {
		add(&registry, "/docker/a", false, 1000 + i);
		add(&registry, NULL, false, 2000 + i);
		add(&registry, NULL, true, 3000 + i);
		add(&registry, "/docker/b", false, 4000 + i);
	}
	assert_int_equal(child_load(&registry, one).here, CHILD_WORKERS_PER_OWNER_MAX - 1);
	assert_true(child_has_room(child_load(&registry, one)));
	assert_true(child_has_room(child_load(&registry, plain)));
	one->child.pid = plain->child.pid = 1;
	assert_false(child_has_room(child_load(&registry, one)));
	assert_false(child_has_room(child_load(&registry, plain)));
	assert_int_equal(child_load(&registry, named).here, 0);
	assert_true(child_has_room(child_load(&registry, named)));
	clear(&registry);
}

static void test_room_in_all(void **state)
{
	struct registry registry = { 0 };
	struct instance *last;

	(void)state;
	for (int i = 0; i < CHILD_WORKERS_MAX - 1; i++)
		add(&registry, NULL, true, 1 + i);
	last = add(&registry, NULL, true, 0);
	assert_int_equal(child_load(&registry, last).all, CHILD_WORKERS_MAX - 1);
	assert_true(child_has_room(child_load(&registry, last)));
	last->child.pid = 1;
	assert_int_equal(child_load(&registry, last).all, CHILD_WORKERS_MAX);
	assert_false(child_has_room(child_load(&registry, add(&registry, "/a", false, 0))));
	clear(&registry);
}

static void test_lack_of_room(void **state)
{
	static const int lacks[] = { -EUSERS, -EMFILE, -ENFILE, -EAGAIN, -ENOMEM };
	static const int others[] = { 0, -ESRCH, -ENOENT, -ESTALE, -EPERM, -EINVAL };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lacks); i++)
		assert_true(child_lacks_room(lacks[i]));
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		assert_false(child_lacks_room(others[i]));
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
	struct child_load load;

	(void)state;
	add(&registry, "/a", false, 1);
	assert_null(child_to_serve(&registry, NULL, "/a", true));
	a = add_unserved(&registry, "/a", false, -EUSERS);
	plain = add_unserved(&registry, NULL, false, -EUSERS);
	named = add_unserved(&registry, NULL, true, -EUSERS);
	a2 = add_unserved(&registry, "/a", false, -EUSERS);
	assert_ptr_equal(child_to_serve(&registry, NULL, "/a", false), a);
	assert_ptr_equal(child_to_serve(&registry, a, "/a", false), a2);
	assert_null(child_to_serve(&registry, a2, "/a", false));
	assert_ptr_equal(child_to_serve(&registry, NULL, "", false), plain);
	assert_null(child_to_serve(&registry, plain, "", false));
	assert_null(child_to_serve(&registry, NULL, "/b", false));
	assert_null(child_to_serve(&registry, NULL, NULL, false));
	assert_ptr_equal(child_to_serve(&registry, NULL, "/b", true), a);
	assert_ptr_equal(child_to_serve(&registry, a, "/b", true), plain);
	assert_ptr_equal(child_to_serve(&registry, plain, "/b", true), named);
	a->child.state = CHILD_STARTING; /* is being served */
	assert_ptr_equal(child_to_serve(&registry, NULL, "/a", false), a2);
	short_of = add_unserved(&registry, "/c", false, -EMFILE);
	assert_ptr_equal(child_to_serve(&registry, NULL, NULL, false), short_of);
	assert_ptr_equal(child_to_serve(&registry, a2, "/a", false), short_of);
	load = child_load(&registry, a);
	assert_int_equal(load.waiting, 1); /* besides itself */
	assert_int_equal(load.short_of, 1);
	assert_int_equal(child_load(&registry, short_of).short_of, 0);
	clear(&registry);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_cell),
		cmocka_unit_test(test_stop_ends),
		cmocka_unit_test(test_state_names),
		cmocka_unit_test(test_backoff_sequence),
		cmocka_unit_test(test_backoff_edges),
		cmocka_unit_test(test_room_of_an_owner),
		cmocka_unit_test(test_room_in_all),
		cmocka_unit_test(test_lack_of_room),
		cmocka_unit_test(test_whom_to_serve),
	};

	return cmocka_run_group_tests_name("child", tests, NULL, NULL);
}
