// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "tuners/decide_udp.h"

#define SECOND UINT64_C(1000000000)
#define HOUR (3600 * SECOND)
#define FIRST 212992
#define CAP (16 << 20)

/* A port, the clock, and the counters of its namespace. */
struct world {
	struct udp_port port;
	uint64_t now_ns, drops, received;
	int64_t cap;
	struct udp_window window;
};

static struct world world_of(int64_t cap)
{
	struct world world = { .port = { .number = 5400 }, .now_ns = HOUR, .cap = cap };

	udp_port_dropped(&world.port, world.now_ns, FIRST, ++world.drops);
	return world;
}

/* What a look says, a second later, in which so many were dropped and so many received. */
static enum udp_verdict_kind see(struct world *world, uint64_t drops, uint64_t received)
{
	world->now_ns += SECOND;
	world->drops += drops;
	world->received += received;
	if (drops)
		udp_port_dropped(&world->port, world->now_ns, FIRST, world->drops);
	return udp_port_look(&world->port, world->now_ns, world->received, world->cap, &world->window);
}

static void sized(struct world *world)
{
	udp_port_sized(&world->port, world->now_ns, world->port.size_bytes, world->port.size_bytes);
}

/* As far as to a first step that is in effect, with a window that has begun. */
static struct world world_with_a_step(uint64_t drops, uint64_t received)
{
	struct world world = world_of(CAP);

	assert_int_equal(see(&world, drops, received), UDP_KEEP);
	assert_int_equal(see(&world, drops, received), UDP_RAISE);
	sized(&world);
	assert_int_equal(see(&world, 0, 0), UDP_KEEP);
	return world;
}

static void test_raised_and_kept(void **state)
{
	struct world world = world_of(CAP);

	(void)state;
	assert_int_equal(see(&world, 50, 100), UDP_KEEP); /* the window begins */
	assert_int_equal(see(&world, 150, 250), UDP_RAISE);
	assert_int_equal(world.window.drops, 150);
	assert_int_equal(world.window.received, 250);
	assert_int_equal(world.port.size_bytes, 4 * FIRST);
	sized(&world);
	assert_int_equal(see(&world, 0, 400), UDP_KEEP); /* the window begins with the size */
	assert_int_equal(see(&world, 0, 400), UDP_HELPED);
	assert_int_equal(see(&world, 0, 400), UDP_KEEP);
	assert_int_equal(world.port.size_bytes, 4 * FIRST);
	world.now_ns += 24 * HOUR; /* it does not decay */
	assert_int_equal(see(&world, 0, 400), UDP_KEEP);
	assert_int_equal(see(&world, 10, 400), UDP_RAISE);
	assert_int_equal(world.port.size_bytes, 16 * FIRST);
}

static void test_waits_for_a_socket(void **state)
{
	struct world world = world_of(CAP);

	(void)state;
	see(&world, 50, 100);
	assert_int_equal(see(&world, 50, 100), UDP_RAISE);
	for (int i = 0; i < 100; i++)
		assert_int_equal(see(&world, 50, 100), UDP_KEEP); /* no socket has the size: that judges nothing */
	udp_port_sized(&world.port, world.now_ns, FIRST, FIRST);  /* of an earlier verdict */
	assert_int_equal(see(&world, 50, 100), UDP_KEEP);
	sized(&world);
	assert_int_equal(see(&world, 0, 100), UDP_KEEP);
	sized(&world); /* another socket of the port: the window goes on */
	assert_int_equal(see(&world, 50, 100), UDP_UNDO);
}

static void test_undone_and_held(void **state)
{
	struct world world = world_with_a_step(100, 100);

	(void)state;
	assert_int_equal(see(&world, 99, 100), UDP_UNDO);
	assert_int_equal(world.port.size_bytes, FIRST);
	assert_false(world.port.is_waiting);
	assert_int_equal(see(&world, 100, 100), UDP_RAISE); /* held for a second */
	sized(&world);
	see(&world, 0, 0);
	assert_int_equal(see(&world, 50, 100), UDP_UNDO);  /* half is not less than half */
	assert_int_equal(see(&world, 100, 100), UDP_KEEP); /* two seconds */
	assert_int_equal(see(&world, 100, 100), UDP_RAISE);
	sized(&world);
	see(&world, 0, 0);
	assert_int_equal(see(&world, 49, 100), UDP_RAISE);
	assert_int_equal(world.port.size_bytes, 16 * FIRST);
}

/* What a step has added is full after a while. */
static void test_given_up(void **state)
{
	struct world world = world_with_a_step(100, 100);

	(void)state;
	assert_int_equal(see(&world, 10, 100), UDP_RAISE); /* it has helped, but not enough */
	sized(&world);
	see(&world, 0, 0);
	assert_int_equal(see(&world, 0, 100), UDP_HELPED);
	assert_int_equal(world.port.size_bytes, 16 * FIRST);
	assert_int_equal(see(&world, 49, 100),
			 UDP_RAISE); /* more than before the last step, not than before the first */
	sized(&world);
	see(&world, 0, 0);
	assert_int_equal(see(&world, 0, 100), UDP_HELPED);
	assert_int_equal(see(&world, 50, 100), UDP_GIVE_UP);
	assert_int_equal(world.port.size_bytes, FIRST);
	assert_int_equal(see(&world, 100, 100), UDP_KEEP);
	world.now_ns += HOUR;
	assert_int_equal(see(&world, 100, 100), UDP_RAISE);
}

static void test_reader_that_naps(void **state)
{
	struct world world = world_of(CAP);

	(void)state;
	see(&world, 1, 0);
	assert_int_equal(see(&world, 50, 15), UDP_KEEP);
	assert_int_equal(see(&world, 50, 0), UDP_KEEP);
	assert_int_equal(see(&world, 50, 1), UDP_RAISE);
	assert_int_equal(world.window.drops, 150);
	assert_int_equal(world.window.received, 16);
}

static void test_reader_that_reads_nothing(void **state)
{
	struct world world = world_of(CAP);

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_int_equal(see(&world, 1000, 0), UDP_KEEP);
}

static void test_counters_that_go_back(void **state)
{
	struct world world = world_of(CAP);

	(void)state;
	see(&world, 50, 100);
	world.drops = 0; /* the program has made room for others */
	assert_int_equal(see(&world, 1, 100), UDP_KEEP);
	assert_int_equal(see(&world, 1, 100), UDP_RAISE);
	assert_int_equal(world.window.drops, 1);

	world = world_of(CAP);
	see(&world, 50, 100);
	world.received = 0;
	assert_int_equal(see(&world, 50, 50), UDP_KEEP);
	assert_int_equal(see(&world, 50, 50), UDP_RAISE);
}

static void test_early_looks(void **state)
{
	struct world world = world_of(CAP);

	(void)state;
	see(&world, 50, 100);
	world.now_ns -= SECOND / 5;
	assert_int_equal(see(&world, 50, 100), UDP_KEEP);
	world.now_ns -= SECOND / 10 * 9;
	assert_int_equal(see(&world, 50, 100), UDP_RAISE);
	assert_int_equal(world.window.received, 200);
}

static void test_granted_less(void **state)
{
	struct world world = world_of(CAP);

	(void)state;
	see(&world, 50, 100);
	assert_int_equal(see(&world, 50, 100), UDP_RAISE);
	udp_port_sized(&world.port, world.now_ns, 4 * FIRST, 2 * FIRST);
	assert_int_equal(world.port.granted_bytes, 2 * FIRST);
	see(&world, 0, 0);
	assert_int_equal(see(&world, 20, 100), UDP_FULL);
	assert_int_equal(world.port.size_bytes, 4 * FIRST);		 /* what is asked for at the next bind(2) */
	udp_port_sized(&world.port, world.now_ns, 4 * FIRST, 4 * FIRST); /* rmem_max was raised */
	assert_int_equal(see(&world, 20, 100), UDP_RAISE);
	assert_int_equal(world.port.size_bytes, 16 * FIRST);
}

static void test_cap(void **state)
{
	struct world world = world_of(FIRST);
	static const struct {
		uint64_t container, machine, page;
		int64_t bytes;
	} cases[] = {
		{ UINT64_MAX, 4 << 20, 4096, 16 << 20 },     { 0, 4 << 20, 4096, 16 << 20 },
		{ UINT64_MAX, 1 << 20, 4096, 4 << 20 }, /* 4 GiB */
		{ 65536, 4 << 20, 4096, 4 << 20 },	/* 256 MiB */
		{ 65536, 1 << 16, 4096, 256 << 10 },	     { 1, 4 << 20, 4096, 0 },
		{ UINT64_MAX, UINT64_MAX, 65536, 16 << 20 },
	};

	(void)state;
	see(&world, 50, 100);
	assert_int_equal(see(&world, 50, 100), UDP_FULL);
	assert_int_equal(world.port.size_bytes, FIRST);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (udp_cap_bytes(cases[i].container, cases[i].machine, cases[i].page) != cases[i].bytes)
			fail_msg("case %zu", i);
}

static void test_memory(void **state)
{
	(void)state;
	assert_int_equal(udp_mem_more(100, 100), 300);
	assert_int_equal(udp_mem_more(400, 100), 1500);
	assert_int_equal(udp_mem_more(INT64_MAX, 1), INT64_MAX - 1);
	assert_int_equal(udp_mem_more(INT64_MAX / 4, 1), INT64_MAX / 4 * 4 - 1);
	assert_int_equal(udp_mem_more(INT64_MAX / 4 + 1, 1), INT64_MAX - 1);
	assert_int_equal(udp_mem_more(99, 100), 0);
	assert_int_equal(udp_mem_more(100, -1), 0);
	assert_int_equal(udp_mem_more(0, 0), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_raised_and_kept),
		cmocka_unit_test(test_waits_for_a_socket),
		cmocka_unit_test(test_undone_and_held),
		cmocka_unit_test(test_given_up),
		cmocka_unit_test(test_reader_that_naps),
		cmocka_unit_test(test_reader_that_reads_nothing),
		cmocka_unit_test(test_counters_that_go_back),
		cmocka_unit_test(test_early_looks),
		cmocka_unit_test(test_granted_less),
		cmocka_unit_test(test_cap),
		cmocka_unit_test(test_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
