// SPDX-License-Identifier: GPL-2.0-or-later
/* The states of a worker, and what each event does in each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "supervisor/workers/child.h"

/* The life of a worker as one picture; "-" is no news: the state stays, nothing is done. */
static void test_every_cell(void **state)
{
#define _ { -1, CHILD_IGNORE }
#define TO(next, action) { CHILD_##next, CHILD_##action }
	static const struct {
		int next, action;
	} expected[N_CHILD_STATES][N_CHILD_EVENTS] = {
		/* clang-format off */
		/*                    WANTED              IS_READY          EXITED              UNUSED                 TIMEOUT             FAILED              PUT_OFF           STOP                   OUTDATED             DISMISSED */
		[CHILD_NONE]     = { TO(STARTING, FORK), _,                _,                  TO(GONE, FORGET),      _,                  _,                  _,                TO(GONE, FORGET),      _, TO(NONE, REST) },
		[CHILD_STARTING] = { _,                  TO(READY, SERVE), TO(BACKOFF, DELAY), TO(RETIRING, HANG_UP), TO(STARTING, KILL), TO(BACKOFF, DELAY), TO(NONE, IGNORE), TO(RETIRING, HANG_UP), _, TO(LEAVING, LEAVE) },
		[CHILD_READY]    = { _,                  _,                TO(BACKOFF, DELAY), TO(RETIRING, HANG_UP), _,                  _,                  _,                TO(RETIRING, HANG_UP), TO(RENEWING, LEAVE), TO(LEAVING, LEAVE) },
		[CHILD_RENEWING] = { _,                  _,                TO(STARTING, RENEW), TO(RETIRING, HANG_UP), TO(RENEWING, KILL), _,                 _,                TO(RETIRING, HANG_UP), _, TO(LEAVING, IGNORE) },
		[CHILD_LEAVING]  = { TO(RENEWING, IGNORE), _,              TO(NONE, REST),     TO(RETIRING, HANG_UP), TO(LEAVING, KILL),  _,                  _,                TO(RETIRING, HANG_UP), _, _ },
		[CHILD_RETIRING] = { _,                  _,                TO(GONE, FORGET),   _,                     TO(RETIRING, KILL), _,                  _,                _,                     _, _ },
		[CHILD_BACKOFF]  = { _,                  _,                _,                  TO(GONE, FORGET),      TO(STARTING, FORK), _,                  _,                TO(GONE, FORGET),      _, TO(NONE, REST) },
		[CHILD_GONE]     = { _,                  _,                _,                  _,                     _,                  _,                  _,                _,                     _, _ },
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
	static const char *const names[] = { "none", "starting", "ready", "renewing", "leaving", "retiring", "backoff", "gone" };

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_cell),
		cmocka_unit_test(test_stop_ends),
		cmocka_unit_test(test_state_names),
		cmocka_unit_test(test_backoff_sequence),
		cmocka_unit_test(test_backoff_edges),
	};

	return cmocka_run_group_tests_name("child_table", tests, NULL, NULL);
}
