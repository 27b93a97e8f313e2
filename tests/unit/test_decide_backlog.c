// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tuners/decide_backlog.h"

#define KIB 1024ULL
#define CPUS 4

/* A second of a CPU, and what it was before: counters that wrap in between. */
static void pass(struct softnet_cpu *before, struct softnet_cpu *now, uint32_t processed, uint32_t dropped,
		 uint32_t flow_limited, unsigned int idle)
{
	*before = (struct softnet_cpu){ UINT32_MAX - 5, UINT32_MAX - 5, UINT32_MAX, UINT32_MAX - 5, 1000, 5000 };
	*now = *before;
	now->processed += processed;
	now->dropped += dropped;
	now->squeezed += 2;
	now->flow_limited += flow_limited;
	now->idle += idle;
	now->all += 100;
}

static void test_look(void **state)
{
	struct softnet_cpu before[CPUS], now[CPUS];
	struct backlog_view view;

	(void)state;
	pass(&before[0], &now[0], 1000, 0, 0, 90);
	pass(&before[1], &now[1], 2000, 50, 0, 20);
	pass(&before[2], &now[2], 4000, 70, 0, 19); /* no time to spare */
	pass(&before[3], &now[3], 8000, 30, 10, 100);
	view = backlog_look(before, now, CPUS);
	assert_true(view.has_spare && view.came == 10080);
	assert_int_equal(view.dropped, 70); /* 80, of which ten may be the limit of flows' */
	assert_true(view.worst == 2 && view.worst_dropped == 70 && view.worst_idle_percent == 19);
	assert_int_equal(view.worst_squeezed, 2);
	view = backlog_look(before, now, 2);
	assert_true(view.has_spare && view.dropped == 50 && view.came == 2050);
	assert_true(view.worst == 1 && view.worst_dropped == 50 && view.worst_idle_percent == 20);
}

static void test_look_at_nothing(void **state)
{
	struct softnet_cpu before[CPUS], now[CPUS];
	struct backlog_view view;

	(void)state;
	pass(&before[0], &now[0], 1000, 0, 0, 90);
	pass(&before[1], &now[1], 2000, 0, 0, 90);
	pass(&before[2], &now[2], 4000, 40, 0, 90);
	pass(&before[3], &now[3], 8000, 40, 81, 90); /* of flows, to this CPU and that; one was read a little later */
	view = backlog_look(before, now, CPUS);
	assert_true(!view.dropped && !view.has_spare);
	now[3].flow_limited -= 16; /* 65 */
	assert_true(!backlog_look(before, now, CPUS).dropped);
	now[3].flow_limited -= 1;
	view = backlog_look(before, now, CPUS);
	assert_true(view.has_spare && view.dropped == 16 && view.came == 12080);
	now[3].flow_limited += 17;
	now[2].dropped += 100000; /* of many, a sixteenth is what the counters may differ by */
	now[3].flow_limited += 94120;
	assert_true(!backlog_look(before, now, CPUS).dropped);
	now[3].flow_limited -= 1000;
	assert_true(backlog_look(before, now, CPUS).has_spare);
	now[2].dropped -= 100000;
	now[3].flow_limited -= 93120;
	before[1] = (struct softnet_cpu){ 0 }; /* it has come online */
	now[1] = (struct softnet_cpu){ .processed = 5, .dropped = 9, .idle = 50, .all = 60 };
	assert_int_equal(backlog_look(before, now, CPUS).dropped, 0);
	now[1] = before[1];
	before[1] = (struct softnet_cpu){ .processed = 5, .dropped = 9, .flow_limited = 7, .idle = 50, .all = 60 };
	now[3].flow_limited -= 80; /* one is left */
	view = backlog_look(before, now, CPUS); /* it has gone offline */
	assert_true(view.has_spare && view.dropped == 79 && view.came == 12080 && view.worst == 2);
}

static void test_look_at_busy_cpus(void **state)
{
	struct softnet_cpu before[CPUS], now[CPUS];
	struct backlog_view view;

	(void)state;
	pass(&before[0], &now[0], 1000, 0, 7, 90);
	pass(&before[1], &now[1], 2000, 50, 0, 0);
	pass(&before[2], &now[2], 4000, 70, 0, 19);
	pass(&before[3], &now[3], 8000, 7, 0, 100); /* as many as the limit of flows may have dropped */
	view = backlog_look(before, now, CPUS);
	assert_true(!view.has_spare && view.dropped == 120 && view.came == 14127);
	assert_true(view.worst == 2 && view.worst_dropped == 70);
}

/* What /proc/stat says of a time too short for it, or of a clock that went back. */
static void test_look_without_time(void **state)
{
	struct softnet_cpu before[1], now[1];

	(void)state;
	pass(before, now, 1000, 10, 0, 90);
	now->all = before->all;
	assert_false(backlog_look(before, now, 1).has_spare);
	pass(before, now, 1000, 10, 0, 90);
	now->idle = before->idle - 1;
	assert_int_equal(backlog_look(before, now, 1).worst_idle_percent, 0);
	pass(before, now, 1000, 10, 0, 101);
	assert_int_equal(backlog_look(before, now, 1).worst_idle_percent, 100);
}

static void test_needed(void **state)
{
	(void)state;
	assert_int_equal(backlog_needed(20, 980), 1490);
	assert_int_equal(backlog_needed(1000, 10), 1500);
	assert_int_equal(backlog_needed(1000, 333), 1500);
	assert_int_equal(backlog_needed(1000, 334), 1501);
	assert_int_equal(backlog_needed(1000, 0), 1500);
	assert_int_equal(backlog_needed(1, UINT32_MAX), 1 + 6442450942LL);
	assert_int_equal(backlog_needed(INT64_MAX, 1), INT64_MAX);
}

static void test_whole(void **state)
{
	(void)state;
	assert_int_equal(backlog_whole(1024 * KIB, 4 * KIB, 2), 16384); /* 4 GiB */
	assert_int_equal(backlog_whole(1024 * KIB, 4 * KIB, 0), 16384);
	assert_int_equal(backlog_whole(4096 * KIB, 4 * KIB, 2), 16384);
	assert_int_equal(backlog_whole(4096 * KIB, 4 * KIB, 1), 16384);
	assert_int_equal(backlog_whole(256 * KIB, 4 * KIB, 1), 8192);
	assert_int_equal(backlog_whole(256 * KIB, 4 * KIB, 0), 8192);
	assert_int_equal(backlog_whole(64 * KIB, 64 * KIB, 4), 8192);
	assert_int_equal(backlog_whole(64, 4 * KIB, 1), 2);
	assert_int_equal(backlog_whole(63, 4 * KIB, 1), 0);
	assert_int_equal(backlog_whole(UINT64_MAX, 4 * KIB, 1), 0);
	assert_int_equal(backlog_whole(1024 * KIB, 0, 1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_look),
		cmocka_unit_test(test_look_at_nothing),
		cmocka_unit_test(test_look_at_busy_cpus),
		cmocka_unit_test(test_look_without_time),
		cmocka_unit_test(test_needed),
		cmocka_unit_test(test_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
