// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "tuners/decide_tcp_init.h"

#define SECOND_NS 1000000000ULL

#define SENT(cwnd_, data_segs_out_, srtt_us_, min_rtt_us_, ...) \
	{ .cwnd = cwnd_, .data_segs_out = data_segs_out_, .srtt_us = srtt_us_, \
	  .min_rtt_us = min_rtt_us_, .mss = 1448, __VA_ARGS__ }
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
		{ "a sixteenth was sent again", SENT(82, 160, 41000, 40000, .retransmitted = 10), 41, 0 },
		{ "a segment more", SENT(82, 160, 41000, 40000, .retransmitted = 11), 0, 0 },
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
		struct tcp_init_sample sample = tcp_init_sample_of(&cases[i].connection);

		if (sample.cwnd != cases[i].cwnd || sample.rwnd != cases[i].rwnd)
			fail_msg("%s: %u, %u", cases[i].what, sample.cwnd, sample.rwnd);
		assert_int_equal(sample.mss, cases[i].connection.mss);
		assert_int_equal(sample.rtt_us, cases[i].connection.min_rtt_us);
	}
}

static void test_same_path(void **state)
{
	static const struct {
		uint32_t remembered_us, rtt_us;
		bool same;
	} cases[] = {
		{ 40000, 40000, true },		  { 40000, 20000, true },   { 40000, 19999, false },
		{ 40000, 400000, true },	  { 40000, 400001, false }, { 40000, 0, false },
		{ UINT32_MAX, UINT32_MAX, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(tcp_init_is_same_path(cases[i].remembered_us, cases[i].rtt_us), cases[i].same);
}

static struct tcp_init_known learn_at(struct tcp_init_known known, uint32_t cwnd, uint32_t rwnd, uint32_t rtt_us,
				      uint64_t now_ns)
{
	struct tcp_init_sample sample = { .cwnd = cwnd, .rwnd = rwnd, .mss = 1448, .rtt_us = rtt_us };

	return tcp_init_learn(known, sample, now_ns);
}

static struct tcp_init_known learn(struct tcp_init_known known, uint32_t cwnd, uint32_t rwnd, uint64_t now_ns)
{
	return learn_at(known, cwnd, rwnd, 40000, now_ns);
}

/* So many connections showed it, the last of them then. */
static struct tcp_init_known learn_often(unsigned int n, uint32_t cwnd, uint32_t rwnd, uint64_t now_ns)
{
	struct tcp_init_known known = { 0 };

	for (unsigned int i = 0; i < n; i++)
		known = learn(known, cwnd, rwnd, now_ns);
	return known;
}

static void test_learn(void **state)
{
	struct tcp_init_known known = { 0 };

	(void)state;
	known = learn(known, 40, 0, SECOND_NS);
	assert_int_equal(known.cwnd, 40);
	known = learn(known, 60, 0, 2 * SECOND_NS);
	assert_int_equal(known.cwnd, 50);
	known = learn(known, 51, 0, 3 * SECOND_NS);
	assert_int_equal(known.cwnd, 51);
	assert_int_equal(known.senders, 3);
	/* who needs less does not lower it; who taught nothing does not count */
	known = learn(known, 11, 0, 4 * SECOND_NS);
	assert_int_equal(known.cwnd, 51);
	known = learn(known, 0, 0, 5 * SECOND_NS);
	assert_int_equal(known.senders, 4);
	assert_int_equal(known.taught_ns, 4 * SECOND_NS);
	/* the directions are apart */
	assert_int_equal(known.receivers, 0);
	known = learn(known, 0, 30, 6 * SECOND_NS);
	assert_int_equal(known.cwnd, 51);
	assert_int_equal(known.rwnd, 30);
	assert_int_equal(known.mss, 1448);
	assert_int_equal(known.senders, 4);
	assert_int_equal(known.receivers, 1);
}

/* A round trip of another path: what was known is of no use for it. */
static void test_another_path(void **state)
{
	struct tcp_init_known known = learn_often(3, 60, 0, SECOND_NS);

	(void)state;
	known = learn_at(known, 64, 0, 20000, SECOND_NS);
	assert_int_equal(known.senders, 4);
	assert_int_equal(known.rtt_us, 40000);
	known = learn_at(known, 30, 0, 19999, SECOND_NS);
	assert_int_equal(known.senders, 1);
	assert_int_equal(known.cwnd, 30);
	assert_int_equal(known.rtt_us, 19999);
	known = learn_at(known, 20, 0, 199991, SECOND_NS);
	assert_int_equal(known.cwnd, 20);
	assert_int_equal(known.rtt_us, 199991);
}

static void test_stale(void **state)
{
	struct tcp_init_known known = learn_often(3, 60, 50, SECOND_NS);
	uint64_t end_ns = SECOND_NS + TCP_INIT_TTL_NS;

	(void)state;
	assert_int_equal(tcp_init_decide(&known, end_ns - 1).cwnd, 60);
	assert_int_equal(tcp_init_decide(&known, end_ns).cwnd, 0);
	assert_int_equal(tcp_init_decide(&known, end_ns).rwnd, 0);
	assert_true(tcp_init_is_recent(&known, end_ns - 1));
	assert_false(tcp_init_is_recent(&known, end_ns));
	assert_int_equal(learn(known, 20, 0, end_ns - 1).cwnd, 60);
	known = learn(known, 20, 0, end_ns);
	assert_int_equal(known.cwnd, 20);
	assert_int_equal(known.rwnd, 0);
	assert_int_equal(known.senders, 1);
	known = (struct tcp_init_known){ 0 };
	assert_false(tcp_init_is_recent(&known, SECOND_NS));
}

/* An event may be older than the one before it: other CPUs, other queues. */
static void test_clock_runs_back(void **state)
{
	struct tcp_init_known known = learn_often(3, 60, 0, 10 * SECOND_NS);

	(void)state;
	assert_int_equal(tcp_init_decide(&known, 9 * SECOND_NS).cwnd, 60);
	assert_int_equal(tcp_init_decide(&known, 10 * SECOND_NS).cwnd, 60);
}

/* RFC 9959: what a single connection saw is no reason to jump. */
static void test_past_connections(void **state)
{
	(void)state;
	for (unsigned int n = 1; n < 6; n++) {
		struct tcp_init_known known = learn_often(n, 60, 0, 1), receivers = learn_often(n, 0, 60, 1);

		assert_int_equal(tcp_init_decide(&known, 2).cwnd, n < 3 ? 0 : 60);
		assert_int_equal(tcp_init_decide(&receivers, 2).cwnd, 0);
		assert_int_equal(tcp_init_decide(&receivers, 2).rwnd, n < 3 ? 0 : 60);
		assert_int_equal(tcp_init_decide(&receivers, 2).rwnd_bytes, n < 3 ? 0 : 60 * 1448);
	}
}

static void test_unlearn(void **state)
{
	struct tcp_init_known known = tcp_init_unlearn(learn_often(3, 60, 60, 1));

	(void)state;
	assert_int_equal(tcp_init_decide(&known, 2).cwnd, 0);
	assert_int_equal(tcp_init_decide(&known, 2).rwnd, 60);
	for (int i = 0; i < 2; i++) {
		known = learn(known, 40, 0, 2);
		assert_int_equal(tcp_init_decide(&known, 2).cwnd, 0);
	}
	known = learn(known, 40, 0, 2);
	assert_int_equal(tcp_init_decide(&known, 2).cwnd, 40);
}

static struct tcp_init_path count(struct tcp_init_path path, uint32_t starts, uint32_t lost)
{
	struct tcp_init_counted now = { path.last.starts + starts, path.last.lost + lost, 0 };
	uint32_t jumps_lost;

	return tcp_init_count(path, &now, SECOND_NS, &jumps_lost);
}

static void test_held(void **state)
{
	uint64_t end_ns = SECOND_NS + TCP_INIT_TTL_NS;
	struct tcp_init_path path = { 0 };

	(void)state;
	assert_false(tcp_init_is_held(&path, 0));
	path = count(path, 1, 1); /* one lost segment is no lossy path */
	assert_false(tcp_init_is_held(&path, SECOND_NS));
	path = count(path, 30, 0);
	path = count(path, 1, 1); /* two of 32 */
	assert_false(tcp_init_is_held(&path, SECOND_NS));
	path = count(path, 15, 1); /* three of 47 */
	assert_true(tcp_init_is_held(&path, end_ns - 1));
	assert_false(tcp_init_is_held(&path, end_ns));
	/* The count begins anew. */
	path.held_until_ns = 0;
	path = count(path, 1, 1);
	assert_false(tcp_init_is_held(&path, SECOND_NS));
	path = count(path, 1, 1);
	assert_true(tcp_init_is_held(&path, SECOND_NS));
}

/* Old losses are forgotten as starts go well, and many good starts do not excuse many losses now. */
static void test_recent_starts_count(void **state)
{
	struct tcp_init_path path = count((struct tcp_init_path){ 0 }, 64, 4);

	(void)state;
	assert_false(tcp_init_is_held(&path, SECOND_NS));
	assert_int_equal(path.starts, 64);
	assert_int_equal(path.lost, 4);
	path = count(path, 1, 0);
	assert_int_equal(path.starts, 32);
	assert_int_equal(path.lost, 2);
	path = count(path, 1000000, 0);
	assert_true(path.starts > 32 && path.starts <= 64);
	assert_int_equal(path.lost, 0);
	for (int i = 0; i < 4; i++)
		path = count(path, 1, 1);
	assert_false(tcp_init_is_held(&path, SECOND_NS));
	for (int i = 0; i < 4; i++)
		path = count(path, 1, 1);
	assert_true(tcp_init_is_held(&path, SECOND_NS));
}

/* What the programs counted: since they were loaded, told of by events that are late or were merged. */
static void test_counted(void **state)
{
	static const struct {
		const char *what;
		struct tcp_init_counted last, now;
		uint32_t starts, lost, jumps_lost;
	} cases[] = {
		{ "the first", { 0 }, { 9, 1, 1 }, 9, 1, 1 },
		{ "more", { 20, 1, 0 }, { 25, 1, 0 }, 5, 0, 0 },
		{ "more of all", { 40, 1, 1 }, { 45, 2, 2 }, 5, 1, 1 },
		{ "the same", { 20, 1, 1 }, { 20, 1, 1 }, 0, 0, 0 },
		{ "an older event", { 20, 1, 1 }, { 19, 0, 0 }, 0, 0, 0 },
		{ "an older event, at half", { 20, 1, 1 }, { 10, 1, 1 }, 0, 0, 0 },
		{ "counted anew", { 20, 1, 1 }, { 9, 1, 1 }, 9, 1, 1 },
		{ "counted anew, without loss", { 20, 1, 1 }, { 1, 0, 0 }, 1, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tcp_init_path path = { .last = cases[i].last };
		uint32_t jumps_lost = 77;

		path = tcp_init_count(path, &cases[i].now, SECOND_NS, &jumps_lost);
		if (path.starts != cases[i].starts || path.lost != cases[i].lost || jumps_lost != cases[i].jumps_lost)
			fail_msg("%s: %u, %u, %u", cases[i].what, path.starts, path.lost, jumps_lost);
		assert_int_equal(path.last.starts, cases[i].starts ? cases[i].now.starts : cases[i].last.starts);
	}
}

static void test_decide(void **state)
{
	static const struct {
		uint32_t known, cwnd, rwnd;
	} cases[] = {
		{ 0, 0, 0 },	{ 3, 0, 0 },	{ 10, 0, 0 },		{ 11, 0, 0 },	{ 12, 12, 0 },
		{ 15, 12, 0 },	{ 41, 40, 0 },	{ 47, 44, 0 },		{ 48, 48, 48 }, { 63, 60, 60 },
		{ 64, 64, 64 }, { 65, 64, 64 }, { UINT32_MAX, 64, 64 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tcp_init_known known = { .cwnd = cases[i].known,
						.rwnd = cases[i].known,
						.mss = 1448,
						.senders = 3,
						.receivers = 3,
						.taught_ns = 1 };
		struct tcp_init_windows decided = tcp_init_decide(&known, 2);

		if (decided.cwnd != cases[i].cwnd || decided.rwnd != cases[i].rwnd)
			fail_msg("%u: %u, %u", cases[i].known, decided.cwnd, decided.rwnd);
		assert_int_equal(decided.rwnd_bytes, decided.rwnd * 1448);
	}
}

/* A window that a SYN can offer anyway is none. */
static void test_small_segments(void **state)
{
	struct tcp_init_known known = { .rwnd = 60, .mss = 1092, .receivers = 3, .taught_ns = 1 };

	(void)state;
	assert_int_equal(tcp_init_decide(&known, 2).rwnd, 0);
	known.mss = 1093;
	assert_int_equal(tcp_init_decide(&known, 2).rwnd, 60);
}

/* From any window, by any samples: within the bounds, and said anew a few times only. */
static void test_staircase(void **state)
{
	(void)state;
	for (uint32_t first = 11; first <= 64; first++) {
		struct tcp_init_known known = learn_often(3, first, 0, 1);
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
		cmocka_unit_test(test_sample),
		cmocka_unit_test(test_same_path),
		cmocka_unit_test(test_learn),
		cmocka_unit_test(test_another_path),
		cmocka_unit_test(test_stale),
		cmocka_unit_test(test_clock_runs_back),
		cmocka_unit_test(test_past_connections),
		cmocka_unit_test(test_unlearn),
		cmocka_unit_test(test_held),
		cmocka_unit_test(test_recent_starts_count),
		cmocka_unit_test(test_counted),
		cmocka_unit_test(test_decide),
		cmocka_unit_test(test_small_segments),
		cmocka_unit_test(test_staircase),
		cmocka_unit_test(test_valid_until),
	};

	return cmocka_run_group_tests_name("decide_tcp_init", tests, NULL, NULL);
}
