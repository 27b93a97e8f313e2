// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "tuners/decide_tcp_init.h"

#define SECOND_NS 1000000000ULL

#define SENT(cwnd_, data_segs_out_, srtt_us_, min_rtt_us_) \
	{ .cwnd = cwnd_, .data_segs_out = data_segs_out_, .srtt_us = srtt_us_, \
	  .min_rtt_us = min_rtt_us_, .mss = 1448 }
#define RECEIVED(bytes_, space_, mss_, srtt_us_, min_rtt_us_) \
	{ .cwnd = 10, .data_segs_out = 1, .srtt_us = srtt_us_, .min_rtt_us = min_rtt_us_, \
	  .bytes_received = bytes_, .rcv_space_bytes = space_, .mss = mss_ }

static void test_sample(void **state)
{
	static const struct {
		const char *what;
		struct tcp_init_connection connection;
		uint32_t cwnd, rwnd;
	} cases[] = {
		{ "half of what it reached", SENT(82, 71, 41000, 40000), 41, 0 },
		{ "no more than the most", SENT(1000, 2000, 41000, 40000), 64, 0 },
		{ "just the most", SENT(128, 200, 41000, 40000), 64, 0 },
		{ "the largest number", SENT(UINT32_MAX, 71, 41000, 40000), 64, 0 },
		{ "few segments teach nothing", SENT(82, 20, 41000, 40000), 0, 0 },
		{ "one more", SENT(82, 21, 41000, 40000), 41, 0 },
		{ "a small window teaches nothing", SENT(10, 71, 41000, 40000), 0, 0 },
		{ "nor one that is the kernel's, halved", SENT(21, 71, 41000, 40000), 0, 0 },
		{ "a segment more than the kernel's", SENT(22, 71, 41000, 40000), 11, 0 },
		{ "a short path", SENT(82, 71, 1000, 999), 0, 0 },
		{ "a path of one millisecond", SENT(82, 71, 1000, 1000), 41, 0 },
		{ "no round trip known", SENT(82, 71, 41000, 0), 0, 0 },
		{ "it filled a queue as long as the path", SENT(82, 71, 80002, 40000), 0, 0 },
		{ "not quite", SENT(82, 71, 80000, 40000), 41, 0 },
		{ "a receiver", RECEIVED(1 << 20, 300000, 1448, 41000, 40000), 0, 64 },
		{ "half of a window more", RECEIVED(1 << 20, 70000, 1448, 41000, 40000), 0, 48 },
		{ "what every SYN offers", RECEIVED(1 << 20, 65535, 1448, 41000, 40000), 0, 0 },
		{ "the space is more than it ever took in", RECEIVED(200000, 300000, 1448, 41000, 40000), 0, 0 },
		{ "the space is all that it took in", RECEIVED(300000, 300000, 1448, 41000, 40000), 0, 64 },
		{ "no segment size known", RECEIVED(1 << 20, 300000, 0, 41000, 40000), 0, 0 },
		{ "large segments", RECEIVED(1 << 20, 300000, 8948, 41000, 40000), 0, 33 },
		{ "a receiver on a short path", RECEIVED(1 << 20, 300000, 1448, 41000, 50), 0, 0 },
		{ "a queue at the other side", RECEIVED(1 << 20, 300000, 1448, 200000, 40000), 0, 64 },
		{ "nothing at all", { 0 }, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tcp_init_windows sample = tcp_init_sample(&cases[i].connection);

		if (sample.cwnd != cases[i].cwnd || sample.rwnd != cases[i].rwnd)
			fail_msg("%s: %u, %u", cases[i].what, sample.cwnd, sample.rwnd);
	}
}

static struct tcp_init_known learn(struct tcp_init_known known, uint32_t cwnd, uint32_t rwnd, uint64_t now_ns)
{
	return tcp_init_learn(known, (struct tcp_init_windows){ cwnd, rwnd }, now_ns);
}

static void test_learn(void **state)
{
	struct tcp_init_known known = { 0 };

	(void)state;
	known = learn(known, 40, 0, SECOND_NS);
	assert_int_equal(known.windows.cwnd, 40);
	known = learn(known, 60, 0, 2 * SECOND_NS);
	assert_int_equal(known.windows.cwnd, 50);
	known = learn(known, 51, 0, 3 * SECOND_NS);
	assert_int_equal(known.windows.cwnd, 51);
	assert_int_equal(known.connections, 3);
	/* who needs less does not lower it; who taught nothing does not count */
	known = learn(known, 11, 0, 4 * SECOND_NS);
	assert_int_equal(known.windows.cwnd, 51);
	known = learn(known, 0, 0, 5 * SECOND_NS);
	assert_int_equal(known.connections, 4);
	assert_int_equal(known.taught_ns, 4 * SECOND_NS);
	/* the directions are apart */
	known = learn(known, 0, 30, 6 * SECOND_NS);
	assert_int_equal(known.windows.cwnd, 51);
	assert_int_equal(known.windows.rwnd, 30);
}

static void test_stale(void **state)
{
	struct tcp_init_known known = learn((struct tcp_init_known){ 0 }, 60, 50, SECOND_NS);
	uint64_t end_ns = SECOND_NS + TCP_INIT_TTL_NS;

	(void)state;
	assert_int_equal(tcp_init_decide(&known, end_ns - 1).cwnd, 60);
	assert_int_equal(tcp_init_decide(&known, end_ns).cwnd, 0);
	assert_int_equal(tcp_init_decide(&known, end_ns).rwnd, 0);
	assert_int_equal(learn(known, 20, 0, end_ns - 1).windows.cwnd, 60);
	known = learn(known, 20, 0, end_ns);
	assert_int_equal(known.windows.cwnd, 20);
	assert_int_equal(known.windows.rwnd, 0);
	assert_int_equal(known.connections, 1);
}

/* An event may be older than the one before it: other CPUs, other queues. */
static void test_clock_runs_back(void **state)
{
	struct tcp_init_known known = learn((struct tcp_init_known){ 0 }, 60, 0, 10 * SECOND_NS);

	(void)state;
	assert_int_equal(tcp_init_decide(&known, 9 * SECOND_NS).cwnd, 60);
	known = tcp_init_forget(10 * SECOND_NS);
	assert_true(tcp_init_is_lossy(&known, 9 * SECOND_NS));
}

static void test_loss(void **state)
{
	struct tcp_init_known known = tcp_init_forget(SECOND_NS);
	uint64_t end_ns = SECOND_NS + TCP_INIT_TTL_NS;

	(void)state;
	assert_true(tcp_init_is_lossy(&known, SECOND_NS));
	known = learn(known, 60, 60, end_ns - 1);
	assert_int_equal(known.windows.cwnd, 0);
	assert_int_equal(tcp_init_decide(&known, end_ns - 1).cwnd, 0);
	assert_false(tcp_init_is_lossy(&known, end_ns));
	known = learn(known, 60, 60, end_ns);
	assert_int_equal(tcp_init_decide(&known, end_ns).cwnd, 60);
	known = (struct tcp_init_known){ 0 };
	assert_false(tcp_init_is_lossy(&known, SECOND_NS));
}

static void test_decide(void **state)
{
	static const struct {
		uint32_t known, cwnd, rwnd;
	} cases[] = {
		{ 0, 0, 0 },	{ 3, 0, 0 },	{ 10, 0, 8 },	{ 11, 0, 8 },  { 12, 12, 12 }, { 15, 12, 12 },
		{ 41, 40, 40 }, { 63, 60, 60 }, { 64, 64, 64 }, { 65, 64, 64 }, { UINT32_MAX, 64, 64 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tcp_init_known known = { .windows = { cases[i].known, cases[i].known }, .taught_ns = 1 };
		struct tcp_init_windows decided = tcp_init_decide(&known, 2);

		if (decided.cwnd != cases[i].cwnd || decided.rwnd != cases[i].rwnd)
			fail_msg("%u: %u, %u", cases[i].known, decided.cwnd, decided.rwnd);
	}
}

/* From any window, by any samples: within the bounds, and said anew a few times only. */
static void test_staircase(void **state)
{
	(void)state;
	for (uint32_t first = 11; first <= 64; first++) {
		struct tcp_init_known known = learn((struct tcp_init_known){ 0 }, first, 0, 1);
		uint32_t last = tcp_init_decide(&known, 1).cwnd;
		int changes = 0;

		for (uint64_t now_ns = 2; now_ns < 20; now_ns++) {
			uint32_t next;

			known = learn(known, 64, 0, now_ns);
			next = tcp_init_decide(&known, now_ns).cwnd;
			assert_true(next >= last && next <= TCP_INIT_CWND_MAX);
			changes += next != last;
			last = next;
		}
		assert_int_equal(last, 64);
		assert_true(changes <= 5);
	}
}

static void test_valid_until(void **state)
{
	uint64_t ttl_ns = TCP_INIT_TTL_NS, now_ns = 5 * SECOND_NS;

	(void)state;
	assert_int_equal(tcp_init_valid_until(0, false, now_ns), now_ns + ttl_ns);
	assert_int_equal(tcp_init_valid_until(0, true, now_ns), now_ns + ttl_ns);
	assert_int_equal(tcp_init_valid_until(now_ns + ttl_ns - 1, false, now_ns), now_ns + ttl_ns);
	assert_int_equal(tcp_init_valid_until(now_ns + ttl_ns - 1, true, now_ns), now_ns + ttl_ns - 1);
	assert_int_equal(tcp_init_valid_until(now_ns + ttl_ns / 2 + 1, true, now_ns), now_ns + ttl_ns / 2 + 1);
	assert_int_equal(tcp_init_valid_until(now_ns + ttl_ns / 2, true, now_ns), now_ns + ttl_ns);
	assert_int_equal(tcp_init_valid_until(now_ns - 1, true, now_ns), now_ns + ttl_ns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sample),	   cmocka_unit_test(test_learn),
		cmocka_unit_test(test_stale),	   cmocka_unit_test(test_clock_runs_back),
		cmocka_unit_test(test_loss),	   cmocka_unit_test(test_decide),
		cmocka_unit_test(test_staircase),  cmocka_unit_test(test_valid_until),
	};

	return cmocka_run_group_tests_name("decide_tcp_init", tests, NULL, NULL);
}
