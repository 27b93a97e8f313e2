// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "tuners/decide_listen.h"

#define MANY (UINT64_MAX - 1)

/* { handshakes, overflows, drops, cookies_sent, cookies_recv } */
static void test_grown(void **state)
{
	const struct listen_counts before = { 1, 2, 3, 4, 5 }, now = { 11, 22, 33, 44, 55 }, none = { 0 };
	const struct listen_counts wrapped = { UINT64_MAX, 0, UINT64_MAX, 0, 0 };
	struct listen_counts grown = listen_grown(&before, &now);

	(void)state;
	assert_memory_equal(&grown, &((struct listen_counts){ 10, 20, 30, 40, 50 }), sizeof(grown));
	grown = listen_grown(&now, &before);
	assert_memory_equal(&grown, &none, sizeof(grown));
	grown = listen_grown(&none, &wrapped);
	assert_memory_equal(&grown, &wrapped, sizeof(grown));
	grown = listen_grown(&wrapped, &none);
	assert_memory_equal(&grown, &none, sizeof(grown));
}

struct look {
	const char *what;
	const struct listen_queue *queue;
	struct listen_counts grown, lately;
	enum listen_decision decision;
};

static void check(const struct look *looks, size_t n, bool suspected)
{
	for (size_t i = 0; i < n; i++) {
		enum listen_decision decision =
			listen_decide(&looks[i].grown, &looks[i].lately, looks[i].queue, suspected);

		if (decision != looks[i].decision)
			fail_msg("%s: %d", looks[i].what, decision);
	}
}

static void test_decide(void **state)
{
	/* { address, port, accept_len, max_len, syn_len, somaxconn, max_syn_backlog, syncookies } */
	const struct listen_queue cut = { { 0 }, 80, 129, 128, 0, 128, 2048, 1 }, own = { { 0 }, 80, 6, 5, 0, 128, 2048, 1 };
	const struct listen_queue raised = { { 0 }, 80, 129, 128, 0, 256, 2048, 1 };
	const struct listen_queue syns = { { 0 }, 80, 0, 128, 128, 128, 2048, 1 }, own_syns = { { 0 }, 80, 0, 64, 64, 128, 2048, 1 };
	const struct listen_queue bare = { { 0 }, 80, 0, 4096, 96, 4096, 128, 0 },
				  bare_cut = { { 0 }, 80, 0, 128, 128, 128, 2048, 0 };
	const struct listen_queue nearly = { { 0 }, 80, 0, 128, 95, 128, 2048, 1 }, quarter_left = { { 0 }, 80, 0, 128, 96, 128, 2048, 1 };
	const struct listen_queue bare_equal = { { 0 }, 80, 0, 4096, 96, 4096, 4096, 0 },
				  bare_more = { { 0 }, 80, 0, 4096, 96, 4096, 4097, 0 };
	const struct listen_queue none = { { 0 }, 80, 0, 0, 0, 0, 2048, 1 }, one_waits = { { 0 }, 80, 1, 0, 0, 0, 2048, 1 };
	const struct listen_queue three = { { 0 }, 80, 3, 3, 0, 3, 2048, 1 }, three_syns = { { 0 }, 80, 0, 3, 3, 3, 2048, 1 };
	const struct listen_queue empty = { 0 }, huge = { { 0 }, 80, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, 0, 1 };
	const struct look looks[] = {
		{ "a full queue that lost nothing", &cut, { .handshakes = 500 }, { .handshakes = 100 }, LISTEN_HOLD },
		{ "a burst", &cut, { 129, 800, 800, 0, 0 }, { 0 }, LISTEN_RAISE_SOMAXCONN },
		{ "one overflow", &cut, { 200, 1, 1, 0, 0 }, { 0 }, LISTEN_RAISE_SOMAXCONN },
		{ "nothing is accepted", &cut, { 0, 800, 800, 0, 0 }, { 0 }, LISTEN_HOLD },
		{ "hardly anything is", &cut, { 31, 800, 800, 0, 0 }, { 0 }, LISTEN_HOLD },
		{ "just enough", &cut, { 32, 800, 800, 0, 0 }, { 0 }, LISTEN_RAISE_SOMAXCONN },
		{ "the server's own small wish", &own, { 129, 800, 800, 0, 0 }, { 0 }, LISTEN_HOLD },
		{ "listened before somaxconn was raised", &raised, { 129, 800, 800, 0, 0 }, { 0 }, LISTEN_HOLD },
		{ "overflows, yet a flood", &cut, { 129, 800, 800, 0, 0 }, { 2, 0, 0, 90, 1 }, LISTEN_SUSPECT },
		{ "cookies for real clients", &syns, { 0 }, { 300, 0, 0, 250, 240 }, LISTEN_RAISE_SOMAXCONN },
		{ "cookies, a quarter of the queue is left", &quarter_left, { 0 }, { 300, 0, 0, 250, 240 }, LISTEN_RAISE_SOMAXCONN },
		{ "cookies, more than a quarter is left", &nearly, { 0 }, { 300, 0, 0, 250, 240 }, LISTEN_HOLD },
		{ "cookies, a smaller wish", &own_syns, { 0 }, { 300, 0, 0, 250, 240 }, LISTEN_HOLD },
		{ "cookies in vain", &syns, { 9999, 0, 0, 9999, 0 }, { 3, 0, 0, 250, 3 }, LISTEN_SUSPECT },
		{ "a few cookies in vain", &syns, { 0 }, { 0, 0, 0, 31, 0 }, LISTEN_HOLD },
		{ "just a flood", &syns, { 0 }, { 0, 0, 0, 32, 0 }, LISTEN_SUSPECT },
		{ "a flood among real clients", &syns, { 0 }, { 99, 0, 0, 400, 0 }, LISTEN_SUSPECT },
		{ "more clients than flood", &syns, { 0 }, { 100, 0, 0, 400, 0 }, LISTEN_HOLD },
		{ "no cookies, real clients", &bare, { 0 }, { 96, 0, 900, 0, 0 }, LISTEN_RAISE_SYN_BACKLOG },
		{ "no cookies, a flood", &bare, { 0 }, { 3, 0, 900, 0, 0 }, LISTEN_SUSPECT },
		{ "no cookies, just a flood", &bare, { 0 }, { 23, 0, 32, 0, 0 }, LISTEN_SUSPECT },
		{ "no cookies, a few SYNs less", &bare, { 0 }, { 23, 0, 31, 0, 0 }, LISTEN_RAISE_SYN_BACKLOG },
		{ "no cookies, a client more", &bare, { 0 }, { 24, 0, 32, 0, 0 }, LISTEN_RAISE_SYN_BACKLOG },
		{ "no cookies, both limits are one", &bare_equal, { 0 }, { 2000, 0, 9000, 0, 0 }, LISTEN_RAISE_SYN_BACKLOG },
		{ "no cookies, the backlog is longer", &bare_more, { 0 }, { 2000, 0, 9000, 0, 0 }, LISTEN_HOLD },
		{ "no cookies, clients of long ago",
		  &bare,
		  { 9999, 0, 900, 0, 0 },
		  { 0, 0, 900, 0, 0 },
		  LISTEN_SUSPECT },
		{ "no cookies, somaxconn is the bound",
		  &bare_cut,
		  { 0 },
		  { 96, 0, 900, 0, 0 },
		  LISTEN_RAISE_SOMAXCONN },
		{ "nothing at all", &empty, { 0 }, { 0 }, LISTEN_HOLD },
		{ "no queue at all", &empty, { 1, 1, 1, 1, 1 }, { 1, 1, 1, 1, 1 }, LISTEN_HOLD },
		{ "listen(0), nobody there", &none, { 9, 9, 9, 9, 9 }, { 9, 9, 9, 9, 9 }, LISTEN_HOLD },
		{ "listen(0), one waits", &one_waits, { 9, 9, 9, 9, 9 }, { 9, 9, 9, 9, 9 }, LISTEN_RAISE_SOMAXCONN },
		{ "listen(3), room for one", &three, { 9, 9, 9, 9, 9 }, { 9, 9, 9, 9, 9 }, LISTEN_HOLD },
		{ "listen(3), no room for SYNs", &three_syns, { 0 }, { 9, 0, 0, 9, 9 }, LISTEN_RAISE_SOMAXCONN },
		{ "all there can be",
		  &huge,
		  { MANY, MANY, MANY, MANY, MANY },
		  { MANY, MANY, MANY, MANY, MANY },
		  LISTEN_RAISE_SOMAXCONN },
		{ "a flood of all there can be",
		  &huge,
		  { MANY, MANY, MANY, MANY, 0 },
		  { 0, 0, MANY, MANY, 0 },
		  LISTEN_SUSPECT },
		{ "more overflows than drops", &syns, { 0, 9, 3, 0, 0 }, { 0, MANY, 3, 0, MANY }, LISTEN_HOLD },
	};

	(void)state;
	check(looks, ARRAY_SIZE(looks), false);
}

/* When a flood is suspected: what has completed in both seconds tells. */
static void test_second_look(void **state)
{
	const struct listen_queue syns = { { 0 }, 80, 0, 128, 128, 128, 2048, 1 }, bare = { { 0 }, 80, 0, 4096, 96, 4096, 128, 0 };
	const struct listen_queue overflowing = { { 0 }, 80, 129, 128, 0, 128, 2048, 1 };
	const struct look looks[] = {
		{ "handshakes were under way", &syns, { 0 }, { 184, 0, 0, 190, 184 }, LISTEN_RAISE_SOMAXCONN },
		{ "and overflow the queue",
		  &overflowing,
		  { 129, 60, 60, 0, 0 },
		  { 129, 60, 60, 190, 184 },
		  LISTEN_RAISE_SOMAXCONN },
		{ "nobody came back", &syns, { 0 }, { 0, 0, 0, 600, 0 }, LISTEN_RESIST },
		{ "it has ended, and one client came", &syns, { 0 }, { 1, 0, 0, 300, 1 }, LISTEN_RESIST },
		{ "it ended, and one client's connection overflowed",
		  &overflowing,
		  { 129, 1, 1, 300, 1 },
		  { 1, 1, 1, 300, 1 },
		  LISTEN_RESIST },
		{ "no cookies, handshakes were under way",
		  &bare,
		  { 0 },
		  { 96, 0, 150, 0, 0 },
		  LISTEN_RAISE_SYN_BACKLOG },
		{ "no cookies, among as few clients a second as before",
		  &bare,
		  { 0 },
		  { 47, 0, 600, 0, 0 },
		  LISTEN_RESIST },
		{ "no cookies, just more", &bare, { 0 }, { 48, 0, 600, 0, 0 }, LISTEN_RAISE_SYN_BACKLOG },
	};

	(void)state;
	check(looks, ARRAY_SIZE(looks), true);
}

static void test_troubles(void **state)
{
	const struct listen_counts some = { 9, 20, 50, 7, 3 }, odd = { 9, 20, 15, 0, 0 };

	(void)state;
	assert_int_equal(listen_refused(&some), 30);
	assert_int_equal(listen_turned_away(&some), 57);
	assert_int_equal(listen_refused(&odd), 0);
	assert_int_equal(listen_turned_away(&odd), 20);
}

static void test_needed(void **state)
{
	static const struct {
		uint32_t accept_len;
		uint64_t overflows;
		uint32_t needed;
	} cases[] = {
		{ 0, 0, 1 },	   { 1, 0, 1 },	       { 1, 1, 2 },		{ 2, 1, 4 },
		{ 6, 95, 128 },	   { 6, 122, 128 },    { 6, 123, 256 },		{ 1, 32767, 32768 },
		{ 1, 32768, 65535 }, { 1, MANY, 65535 }, { UINT32_MAX, 0, 65535 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct listen_queue queue = { .accept_len = cases[i].accept_len };
		const struct listen_counts grown = { .overflows = cases[i].overflows };

		assert_int_equal(listen_needed(&queue, &grown), cases[i].needed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grown),
		cmocka_unit_test(test_decide),
		cmocka_unit_test(test_second_look),
		cmocka_unit_test(test_troubles),
		cmocka_unit_test(test_needed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
