// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "tuners/decide_ports.h"

#define NO_WALLS                            \
	{                                   \
		PORTS_LOWEST, PORTS_HIGHEST \
	}
#define SECOND UINT64_C(1000000000)

static void test_waiting(void **state)
{
	const struct ports_range range = { 1001, 1100 };

	(void)state;
	assert_true(ports_are_waiting(50, &range));
	assert_false(ports_are_waiting(49, &range));
	assert_false(ports_are_waiting(0, &range));
	assert_true(ports_are_waiting(UINT32_MAX, &range));
	assert_true(ports_are_waiting(1, &(struct ports_range){ 1001, 1002 }));
	assert_false(ports_are_waiting(0, &(struct ports_range){ 1001, 1001 }));
}

static void test_walls(void **state)
{
	static const struct {
		uint16_t ports[3];
		struct ports_range walls;
	} cases[] = {
		{ { 20000 }, { 20001, PORTS_HIGHEST } },
		{ { 50000 }, { PORTS_LOWEST, 49999 } },
		{ { 20000, 50000, 19999 }, { 20001, 49999 } },
		{ { 20000, 25000, 22000 }, { 25001, PORTS_HIGHEST } },
		{ { 50000, 45000, 60000 }, { PORTS_LOWEST, 44999 } },
		{ { 80, 8080, 10239 }, NO_WALLS }, /* they are lower than any range becomes */
		{ { 10240 }, { 10241, PORTS_HIGHEST } },
		{ { 65535 }, { PORTS_LOWEST, 65534 } },
		{ { 30000, 35000, 40000 }, NO_WALLS }, /* inside: the kernel passes over it already */
		{ { 29999, 40001 }, { 30000, 40000 } },
	};
	const struct ports_range range = { 30000, 40000 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ports_range walls = NO_WALLS;

		for (size_t n = 0; n < ARRAY_SIZE(cases[i].ports); n++)
			ports_wall_at(&walls, &range, cases[i].ports[n]);
		if (walls.low != cases[i].walls.low || walls.high != cases[i].walls.high)
			fail_msg("case %zu", i);
	}
}

static void test_widen(void **state)
{
	static const struct {
		struct ports_range from, walls, to;
	} cases[] = {
		{ { 32768, 60999 }, NO_WALLS, { PORTS_LOWEST, PORTS_HIGHEST } }, /* the kernel's default */
		{ { 40000, 40099 }, NO_WALLS, { 40000, 40399 } },
		{ { 65000, 65099 }, NO_WALLS, { 65000, 65399 } },
		{ { 65400, 65499 }, NO_WALLS, { 65136, 65535 } }, /* above first, then below */
		{ { 65401, 65500 }, NO_WALLS, { 65136, 65535 } },
		{ { 65402, 65501 }, NO_WALLS, { 65136, 65535 } },
		{ { 65400, 65500 }, NO_WALLS, { 65132, 65535 } },
		{ { 65401, 65501 }, NO_WALLS, { 65132, 65535 } },
		{ { 65436, 65535 }, NO_WALLS, { 65136, 65535 } },
		{ { 40000, 40099 }, { PORTS_LOWEST, 40101 }, { 39702, 40101 } },
		{ { 40000, 40099 }, { PORTS_LOWEST, 40100 }, { 39701, 40100 } },
		{ { 40000, 40099 }, { 39990, 40099 }, { 0 } }, /* ten more are not an eighth */
		{ { 40000, 40079 }, { 39990, 40079 }, { 39990, 40079 } },
		{ { 40000, 40000 }, NO_WALLS, { 40000, 40003 } },
		{ { 40000, 40099 }, { 39900, 40199 }, { 39900, 40199 } },
		{ { 30000, 30063 }, { 29951, 30099 }, { 29952, 30099 } }, /* one end is odd, the other one even */
		{ { 30000, 30063 }, { 29952, 30098 }, { 29953, 30098 } },
		{ { 30001, 30063 }, { 29951, 30064 }, { 29951, 30064 } },
		{ { 30001, 30063 }, { 29951, 30063 }, { 29952, 30063 } },
		{ { 1024, 4999 }, NO_WALLS, { 1024, 16927 } }, /* never narrower, though it begins too low */
		{ { 1024, 65535 }, NO_WALLS, { 0 } },
		{ { PORTS_LOWEST, PORTS_HIGHEST }, NO_WALLS, { 0 } },
		{ { PORTS_LOWEST, 60999 }, NO_WALLS, { 0 } }, /* 4,536 are not an eighth of 50,760 */
		{ { PORTS_LOWEST, 20000 }, NO_WALLS, { PORTS_LOWEST, 49283 } },
		{ { 0, 100 }, NO_WALLS, { 0 } },
		{ { -5, 100 }, NO_WALLS, { 0 } },
		{ { 200, 100 }, NO_WALLS, { 0 } },
		{ { 100, 65536 }, NO_WALLS, { 0 } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ports_range range = cases[i].from;
		bool is_wider = ports_widen(&range, &cases[i].walls);

		if (is_wider != !!cases[i].to.high ||
		    (is_wider && (range.low != cases[i].to.low || range.high != cases[i].to.high)))
			fail_msg("case %zu: %lld to %lld", i, (long long)range.low, (long long)range.high);
		if (!is_wider && (range.low != cases[i].from.low || range.high != cases[i].from.high))
			fail_msg("case %zu is not left alone", i);
	}
}

/* Whatever the range: from any to all that there are, in few steps. */
static void test_few_steps(void **state)
{
	const struct ports_range walls = NO_WALLS;

	(void)state;
	for (int64_t low = 1; low <= PORTS_HIGHEST; low += 97)
		for (int64_t ports = 28; low + ports <= PORTS_HIGHEST; ports = 3 * ports) {
			struct ports_range range = { low, low + ports - 1 }, before = range;
			int steps = 0;

			for (; ports_widen(&range, &walls); steps++, before = range) {
				assert_true(range.low <= before.low && range.high >= before.high);
				assert_true(range.high <= PORTS_HIGHEST &&
					    range.low >= (low < PORTS_LOWEST ? low : PORTS_LOWEST));
			}
			assert_in_range(steps, 0, 6);
			assert_true(range.high > PORTS_HIGHEST - (range.high - range.low) / 7);
		}
}

static void test_time_waits(void **state)
{
	(void)state;
	assert_int_equal(ports_time_waits_needed(1000, 0, SECOND), 1000);
	assert_int_equal(ports_time_waits_needed(1000, 500, SECOND), 31000);
	assert_int_equal(ports_time_waits_needed(1000, 500, 2 * SECOND), 16000);
	assert_int_equal(ports_time_waits_needed(0, 1, 60 * SECOND), 1);
	assert_true(ports_time_waits_needed(0, 1, 0) > 1000000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_waiting),	  cmocka_unit_test(test_walls),	     cmocka_unit_test(test_widen),
		cmocka_unit_test(test_few_steps), cmocka_unit_test(test_time_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
