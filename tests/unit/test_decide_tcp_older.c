// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "tuners/decide_tcp_older.h"

#define S 1000000000ULL

static void test_limited(void **state)
{
	/* time_us, sndbuf_limited_us, size, queued, notsent, mss, unacked, cwnd */
	const struct tcp_older_look before = { 1000000, 5000, 8000, 1000, 0, 1000, 1, 10 };
	const struct {
		const char *what;
		struct tcp_older_look now;
		bool limited;
	} looks[] = {
		{ "nothing", { 2000000, 5000, 8000, 1000, 0, 1000, 1, 10 }, false },
		{ "at once", { 1000000, 5000, 8000, 1000, 0, 1000, 1, 10 }, false },
		{ "a tenth of the time", { 2000000, 105000, 8000, 1000, 0, 1000, 1, 10 }, true },
		{ "a little less", { 2000000, 104990, 8000, 1000, 0, 1000, 1, 10 }, false },
		{ "all the time", { 2000000, 1005000, 8000, 1000, 0, 1000, 1, 10 }, true },
		{ "filled", { 2000000, 5000, 8000, 5000, 0, 1000, 5, 10 }, true },
		{ "nearly filled", { 2000000, 5000, 8000, 4999, 0, 1000, 5, 10 }, false },
		{ "filled but for less than a segment", { 2000000, 5000, 8000, 5000, 999, 1000, 4, 10 }, true },
		{ "a segment waits to be sent", { 2000000, 5000, 8000, 5000, 1000, 1000, 4, 10 }, false },
		{ "one more may be sent", { 2000000, 5000, 8000, 5000, 0, 1000, 9, 10 }, true },
		{ "the congestion window is full", { 2000000, 5000, 8000, 5000, 0, 1000, 10, 10 }, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(looks); i++)
		if (tcp_older_is_limited(&before, &looks[i].now) != looks[i].limited)
			fail_msg("%s", looks[i].what);
}

static void test_pause(void **state)
{
	(void)state;
	assert_int_equal(tcp_older_pause_ns(0, 0), 5 * S);
	assert_int_equal(tcp_older_pause_ns(1, 0), 10 * S);
	assert_int_equal(tcp_older_pause_ns(3, 0), 40 * S);
	assert_int_equal(tcp_older_pause_ns(7, 0), 640 * S);
	assert_int_equal(tcp_older_pause_ns(8, 0), 640 * S);
	assert_int_equal(tcp_older_pause_ns(UINT32_MAX, 0), 640 * S);
	assert_int_equal(tcp_older_pause_ns(0, S / 40), 5 * S);
	assert_int_equal(tcp_older_pause_ns(0, S / 10), 20 * S);
	assert_int_equal(tcp_older_pause_ns(9, 7 * S), 1400 * S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limited),
		cmocka_unit_test(test_pause),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
