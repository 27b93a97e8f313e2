// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "tuners/decide_tcp_cong.h"

#define NSEC_PER_SEC 1000000000ULL

static const struct tcp_cong_verdict fresh = { 0 };
static const struct cong_offer offer = { .has_bbr = true, .standard = TCP_CONG_CUBIC };

/* A second of a connection with a round trip of 20 ms, and of its 1,000 segments so many lost, all without a queue. */
static struct tcp_cong_seen seen(unsigned int algorithm, double mbit, unsigned int lost)
{
	struct tcp_cong_seen one = {
		.acked_bytes = mbit * 1e6 / 8,
		.busy_us = 1000000,
		.segs = 1000,
		.retrans = lost,
		.clear_segs = 1000,
		.clear_retrans = lost,
		.min_rtt_us = 20000,
		.srtt_us = 20000,
	};

	snprintf(one.algorithm, sizeof(one.algorithm), "%s", cong_name(algorithm));
	return one;
}

static void learn(struct cong_remote *remote, unsigned int algorithm, double mbit, unsigned int lost,
		  unsigned int times)
{
	struct tcp_cong_seen one = seen(algorithm, mbit, lost);

	while (times--)
		cong_learn(remote, &offer, &one, remote->time_s);
}

static void assert_near(double value, double want)
{
	assert_float_equal(value, want, 1e-6 * (want > 1 ? want : 1));
}

/* The state after a decision. */
static enum cong_state decide(struct cong_remote *remote, uint64_t now_s)
{
	cong_decide(remote, &offer, now_s);
	return remote->state;
}

static void test_names(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < TCP_CONG_N; i++) {
		assert_true(cong_name(i)[0]);
		assert_int_equal(cong_algorithm(cong_name(i)), i);
	}
	assert_string_equal(cong_name(TCP_CONG_BBR), "bbr");
	assert_string_equal(cong_name(TCP_CONG_N), "");
	assert_int_equal(cong_algorithm(""), TCP_CONG_N);
	assert_int_equal(cong_algorithm("bb"), TCP_CONG_N);
	assert_int_equal(cong_algorithm("bbr2"), TCP_CONG_N);
}

static void test_is_in(void **state)
{
	static const struct {
		const char *list;
		bool is_in;
	} cases[] = {
		{ "", false },
		{ " \n", false },
		{ "bbr\n", true },
		{ "reno bbr", true },
		{ "reno\tbbr\tcubic", true },
		{ "reno bbr2 bb", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(cong_is_in(cases[i].list, "bbr"), cases[i].is_in);
}

/* --- memory -------------------------------------------------------------------------------------- */

static void test_learn(void **state)
{
	struct tcp_cong_seen one = seen(TCP_CONG_CUBIC, 48, 20);
	struct cong_remote remote = { 0 };

	(void)state;
	assert_near(cong_loss_percent(&remote.standard), 0);
	assert_near(cong_clear_percent(&remote.standard), 0);
	assert_near(cong_rate_mbit(&remote.standard), 0);
	assert_near(cong_srtt_ms(&remote.standard), 0);
	one.clear_segs = 500;
	one.clear_retrans = 15;
	cong_learn(&remote, &offer, &one, 0);
	assert_near(cong_loss_percent(&remote.standard), 2);
	assert_near(cong_clear_percent(&remote.standard), 2); /* 3, which is chance */
	one.retrans = 40;
	cong_learn(&remote, &offer, &one, 0);
	assert_near(cong_loss_percent(&remote.standard), 3);
	assert_near(cong_clear_percent(&remote.standard), 3);
	remote = (struct cong_remote){ 0 };
	one.retrans = 20;
	cong_learn(&remote, &offer, &one, 0);
	assert_near(cong_rate_mbit(&remote.standard), 48);
	assert_near(cong_srtt_ms(&remote.standard), 20);
	assert_near(remote.standard.reports, 1);
	learn(&remote, TCP_CONG_CUBIC, 96, 0, 1);
	assert_near(cong_loss_percent(&remote.standard), 1);
	assert_near(cong_rate_mbit(&remote.standard), 72);
	assert_near(remote.bbr.segs, 0);
	learn(&remote, TCP_CONG_BBR, 200, 10, 1);
	assert_near(cong_rate_mbit(&remote.bbr), 200);
	assert_near(cong_loss_percent(&remote.bbr), 1);
	learn(&remote, TCP_CONG_RENO, 5, 100, 9); /* an application's own choice */
	assert_near(cong_rate_mbit(&remote.standard), 72);
	assert_near(cong_loss_percent(&remote.standard), 1);
}

/* Three half lives an hour: seven eighths of the weight, and none of the rate. */
static void test_fades(void **state)
{
	struct tcp_cong_seen one = seen(TCP_CONG_CUBIC, 80, 10), bbr = seen(TCP_CONG_BBR, 160, 20), none = { 0 };
	struct cong_remote remote = { 0 };

	(void)state;
	cong_learn(&remote, &offer, &one, 1000);
	cong_learn(&remote, &offer, &bbr, 1000);
	cong_learn(&remote, &offer, &none, 4600);
	assert_near(remote.standard.segs, 125);
	assert_near(remote.standard.retrans, 1.25);
	assert_near(remote.standard.clear_segs, 125);
	assert_near(remote.standard.clear_retrans, 1.25);
	assert_near(remote.standard.reports, 0.125);
	assert_near(remote.bbr.segs, 125);
	assert_near(remote.bbr.reports, 0.125);
	assert_near(cong_rate_mbit(&remote.standard), 80);
	assert_near(cong_srtt_ms(&remote.bbr), 20);
	cong_learn(&remote, &offer, &none, 4000); /* a clock that goes back changes nothing */
	assert_near(remote.standard.segs, 125);
	assert_int_equal(remote.time_s, 4600);
	cong_learn(&remote, &offer, &none, UINT64_MAX);
	assert_near(remote.standard.segs, 0);
}

/* What is new counts, also where there is much of it. */
static void test_weight(void **state)
{
	struct tcp_cong_seen one = seen(TCP_CONG_CUBIC, 10, 0);
	struct cong_remote remote = { 0 };

	(void)state;
	learn(&remote, TCP_CONG_CUBIC, 10, 20, 4);
	assert_near(remote.standard.segs, 4000);
	learn(&remote, TCP_CONG_CUBIC, 10, 0, 1);
	assert_near(remote.standard.segs, 4000);
	assert_near(remote.standard.retrans, 64);
	assert_near(remote.standard.clear_segs, 4000);
	assert_near(remote.standard.clear_retrans, 64);
	learn(&remote, TCP_CONG_CUBIC, 10, 0, 11);
	assert_near(remote.standard.reports, 16);
	learn(&remote, TCP_CONG_CUBIC, 180, 0, 1);
	assert_near(remote.standard.reports, 16);
	assert_near(cong_rate_mbit(&remote.standard), 20);
	assert_near(cong_srtt_ms(&remote.standard), 20);

	remote = (struct cong_remote){ 0 };
	one.busy_us = 3 * one.srtt_us; /* of a few round trips */
	cong_learn(&remote, &offer, &one, 0);
	assert_near(remote.standard.reports, 0.15);
	assert_false(cong_is_known(&remote.standard));
	cong_learn(&remote, &offer, &one, 0);
	assert_true(cong_is_known(&remote.standard));
	remote.standard.reports = 0.2;
	assert_true(cong_is_known(&remote.standard));
}

static void test_min_rtt(void **state)
{
	struct tcp_cong_seen one = { .min_rtt_us = 20000 };
	struct cong_remote remote = { 0 };

	(void)state;
	cong_learn(&remote, &offer, &one, 1);
	one.min_rtt_us = 30000;
	cong_learn(&remote, &offer, &one, 3601);
	assert_int_equal(remote.min_rtt_us, 20000);
	one.min_rtt_us = 0;
	cong_learn(&remote, &offer, &one, 7200);
	assert_int_equal(remote.min_rtt_us, 20000);
	one.min_rtt_us = 30000; /* the path is another by now */
	cong_learn(&remote, &offer, &one, 7200);
	assert_int_equal(remote.min_rtt_us, 30000);
	assert_int_equal(remote.min_rtt_s, 7200);
	one.min_rtt_us = 29000;
	cong_learn(&remote, &offer, &one, 7201);
	assert_int_equal(remote.min_rtt_us, 29000);
	one.min_rtt_us = 29000; /* seen again: it holds on */
	cong_learn(&remote, &offer, &one, 9000);
	assert_int_equal(remote.min_rtt_s, 9000);
}

/* Who has known nothing but a long round trip may have known nothing but a queue. */
static void test_clear_of_a_queue(void **state)
{
	struct tcp_cong_seen one = seen(TCP_CONG_CUBIC, 10, 20);
	struct cong_remote remote = { 0 };

	(void)state;
	cong_learn(&remote, &offer, &one, 0);
	one.min_rtt_us = 22501;
	cong_learn(&remote, &offer, &one, 0);
	assert_near(remote.standard.retrans, 40);
	assert_near(remote.standard.clear_segs, 1000);
	assert_near(remote.standard.clear_retrans, 20);
	one.min_rtt_us = 22500;
	cong_learn(&remote, &offer, &one, 0);
	assert_near(remote.standard.clear_segs, 2000);
	assert_near(remote.standard.clear_retrans, 40);
}

/* What teaches nothing about rates, and what cannot be. */
static void test_not_learnt(void **state)
{
	struct tcp_cong_seen one = seen(TCP_CONG_CUBIC, 10, 0);
	struct cong_remote remote = { 0 };

	(void)state;
	one.app_limited_percent = 51;
	cong_learn(&remote, &offer, &one, 1);
	one.app_limited_percent = 0;
	one.srtt_us = 0;
	cong_learn(&remote, &offer, &one, 1);
	one.srtt_us = 1;
	one.busy_us = 0;
	cong_learn(&remote, &offer, &one, 1);
	assert_near(remote.standard.reports, 0);
	assert_near(remote.standard.segs, 3000);
	one = seen(TCP_CONG_CUBIC, 10, 0);
	one.app_limited_percent = 50;
	cong_learn(&remote, &offer, &one, 1);
	assert_near(remote.standard.reports, 1);

	remote = (struct cong_remote){ 0 };
	one.retrans = one.clear_segs = one.clear_retrans = UINT32_MAX;
	one.segs = 10;
	cong_learn(&remote, &offer, &one, 1);
	assert_near(remote.standard.retrans, 10);
	assert_near(remote.standard.clear_segs, 10);
	assert_near(remote.standard.clear_retrans, 10);
}

/* The namespace has another default by now: what the former one gave is no matter. */
static void test_other_default(void **state)
{
	static const struct cong_offer reno = { .has_bbr = true, .standard = TCP_CONG_RENO };
	struct cong_remote remote = { 0 };

	(void)state;
	cong_learn(&remote, &offer, &(struct tcp_cong_seen){ .min_rtt_us = 20000 }, 5);
	learn(&remote, TCP_CONG_CUBIC, 10, 20, 1);
	learn(&remote, TCP_CONG_BBR, 100, 20, 1);
	assert_int_equal(decide(&remote, 5), CONG_TRIAL);
	cong_decide(&remote, &reno, 5);
	assert_int_equal(remote.state, CONG_DEFAULT);
	assert_int_equal(remote.algorithm, TCP_CONG_RENO);
	assert_near(remote.standard.segs, 0);
	assert_near(remote.bbr.segs, 0);
	assert_int_equal(remote.min_rtt_us, 20000);
	assert_int_equal(remote.min_rtt_s, 5);
	assert_int_equal(remote.time_s, 5);
}

/* --- decisions ----------------------------------------------------------------------------------- */

static void test_lossy(void **state)
{
	static const struct {
		double segs, retrans, clear;
		uint32_t min_rtt_us;
		enum cong_state state;
		bool lossy;
	} cases[] = {
		{ 99, 9, 9, 20000, CONG_DEFAULT, false },
		{ 100, 8, 8, 20000, CONG_DEFAULT, true },
		{ 100, 7, 7, 20000, CONG_DEFAULT, false }, /* that may be chance */
		{ 2000, 10, 10, 20000, CONG_DEFAULT, true },
		{ 2001, 10, 10, 20000, CONG_DEFAULT, false },
		{ 2001, 10, 10, 20000, CONG_TRIAL, true }, /* half is enough to go on */
		{ 2000, 80, 10, 20000, CONG_DEFAULT, true },
		{ 2000, 81, 10, 20000, CONG_DEFAULT, false }, /* most is lost to a queue */
		{ 1000, 50, 50, 2000, CONG_DEFAULT, true },
		{ 1000, 50, 50, 1999, CONG_DEFAULT, false }, /* an incast is no lossy path */
		{ 4000, 10, 10, 20000, CONG_BBR, true },     /* half is enough to stay */
		{ 4001, 10, 10, 20000, CONG_BBR, false },
		{ 50, 4, 4, 20000, CONG_BBR, true },
		{ 49, 4, 4, 20000, CONG_BBR, false },
		{ 60, 3, 3, 20000, CONG_BBR, false },
		{ 2000, 160, 10, 20000, CONG_BBR, true },
		{ 2000, 161, 10, 20000, CONG_BBR, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cong_remote remote = {
			.standard = { .segs = 9000,
				      .retrans = cases[i].retrans,
				      .clear_segs = cases[i].segs,
				      .clear_retrans = cases[i].clear },
			.min_rtt_us = cases[i].min_rtt_us,
			.state = cases[i].state,
		};

		if (cong_is_lossy(&remote) != cases[i].lossy)
			fail_msg("case %zu", i);
	}
}

static struct cong_remote in_trial(uint64_t now_s)
{
	struct cong_remote remote = { 0 };

	cong_learn(&remote, &offer, &(struct tcp_cong_seen){ .min_rtt_us = 20000 }, now_s);
	learn(&remote, TCP_CONG_CUBIC, 10, 20, 1);
	assert_int_equal(decide(&remote, now_s), CONG_TRIAL);
	assert_int_equal(remote.trial_until_s, now_s + 60);
	return remote;
}

static void test_default(void **state)
{
	static const struct cong_offer without = { .standard = TCP_CONG_CUBIC };
	struct cong_remote remote = in_trial(100);

	(void)state;
	cong_decide(&remote, &without, 100);
	assert_int_equal(remote.state, CONG_DEFAULT);
	assert_true(cong_is_lossy(&remote));
	remote = (struct cong_remote){ 0 };
	learn(&remote, TCP_CONG_CUBIC, 10, 4, 4);
	assert_int_equal(decide(&remote, 0), CONG_DEFAULT);
	learn(&remote, TCP_CONG_BBR, 100, 0, 4); /* however much better: nothing is wrong */
	assert_int_equal(decide(&remote, 0), CONG_DEFAULT);
	assert_int_equal(remote.hold_s, 0);
}

static void test_trial(void **state)
{
	static const struct {
		double mbit;
		unsigned int lost, times;
		enum cong_state state;
	} cases[] = {
		{ 10, 20, 1, CONG_TRIAL }, /* goes on */
		{ 12.9, 20, 1, CONG_TRIAL },  { 13, 20, 1, CONG_BBR },
		{ 10, 20, 3, CONG_DEFAULT }, /* no better */
		{ 12.9, 20, 2, CONG_TRIAL },  { 900, 52, 1, CONG_BBR },
		{ 900, 53, 1, CONG_DEFAULT }, /* of 1,000: 40 are twice what there were, and 13 chance */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cong_remote remote = in_trial(100);

		learn(&remote, TCP_CONG_BBR, cases[i].mbit, cases[i].lost, cases[i].times);
		if (decide(&remote, 100) != cases[i].state)
			fail_msg("case %zu", i);
		assert_int_equal(remote.hold_s, cases[i].state == CONG_DEFAULT ? 600 : 0);
	}
}

/* What loses much in its first segments is not judged by them. */
static void test_hurts_takes_segments(void **state)
{
	struct tcp_cong_seen one = seen(TCP_CONG_BBR, 10, 50);
	struct cong_remote remote = in_trial(100);

	(void)state;
	one.segs = 99;
	cong_learn(&remote, &offer, &one, 100);
	assert_int_equal(decide(&remote, 100), CONG_TRIAL);
	remote.bbr.segs = 100;
	assert_int_equal(decide(&remote, 100), CONG_DEFAULT);
}

static void test_trial_ends(void **state)
{
	struct cong_remote remote = in_trial(100);
	struct tcp_cong_seen one = seen(TCP_CONG_BBR, 10, 0);

	(void)state;
	assert_int_equal(decide(&remote, 159), CONG_TRIAL);
	assert_int_equal(remote.trial_until_s, 160);
	assert_int_equal(decide(&remote, 160), CONG_TRIAL); /* nobody has tried it: anew */
	assert_int_equal(remote.trial_until_s, 220);
	one.app_limited_percent = 100;
	cong_learn(&remote, &offer, &one, 161);
	assert_int_equal(decide(&remote, 219), CONG_TRIAL);
	assert_int_equal(decide(&remote, 220), CONG_DEFAULT);
	assert_int_equal(remote.held_until_s, 820);
	learn(&remote, TCP_CONG_CUBIC, 10, 0, 12); /* the loss is over before the trial is */
	remote.state = CONG_TRIAL;
	assert_int_equal(decide(&remote, 221), CONG_DEFAULT);
	assert_int_equal(remote.held_until_s, 820);
}

static void fail_trial(struct cong_remote *remote, uint64_t now_s)
{
	learn(remote, TCP_CONG_CUBIC, 10, 20, 4); /* it has faded */
	assert_int_equal(decide(remote, now_s), CONG_TRIAL);
	assert_near(remote->bbr.segs, 0);
	learn(remote, TCP_CONG_BBR, 10, 20, 3);
	assert_int_equal(decide(remote, now_s), CONG_DEFAULT);
}

/* Later and later, up to six hours; a hold that ended long ago does not count. */
static void test_hold(void **state)
{
	static const uint32_t holds_s[] = { 600, 1200, 2400, 4800, 9600, 19200, 21600, 21600 };
	struct cong_remote remote = { 0 };
	uint64_t now_s = 1000000;

	(void)state;
	cong_learn(&remote, &offer, &(struct tcp_cong_seen){ .min_rtt_us = 20000 }, now_s);
	for (size_t i = 0; i < ARRAY_SIZE(holds_s); i++) {
		fail_trial(&remote, now_s);
		assert_int_equal(remote.hold_s, holds_s[i]);
		assert_int_equal(remote.held_until_s, now_s + holds_s[i]);
		learn(&remote, TCP_CONG_CUBIC, 10, 20, 4);
		assert_int_equal(decide(&remote, remote.held_until_s - 1), CONG_DEFAULT);
		now_s = remote.held_until_s;
	}
	fail_trial(&remote, now_s += 2 * 21600 - 1);
	assert_int_equal(remote.hold_s, 21600);
	now_s = remote.held_until_s;
	fail_trial(&remote, now_s + 2 * 21600);
	assert_int_equal(remote.hold_s, 600);
}

static struct cong_remote with_bbr(void)
{
	struct cong_remote remote = in_trial(100);

	learn(&remote, TCP_CONG_BBR, 100, 20, 1);
	assert_int_equal(decide(&remote, 100), CONG_BBR);
	return remote;
}

/* It stays as long as it is better; for that, half of what it took is enough. */
static void test_bbr_stays(void **state)
{
	static const struct {
		double mbit, srtt_ms;
		enum cong_state state;
	} cases[] = {
		{ 11.5, 20, CONG_BBR },	     { 11.4, 20, CONG_DEFAULT }, { 100, 45, CONG_BBR },
		{ 100, 46.1, CONG_DEFAULT }, { 9, 10, CONG_DEFAULT },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cong_remote remote = with_bbr();

		remote.bbr.bytes = cases[i].mbit * 1e6 / 8;
		remote.bbr.srtt_us = cases[i].srtt_ms * 1e9;
		if (decide(&remote, 100) != cases[i].state)
			fail_msg("case %zu", i);
		assert_int_equal(remote.hold_s, cases[i].state == CONG_DEFAULT ? 600 : 0);
	}
}

static void test_bbr_ends(void **state)
{
	struct cong_remote remote = with_bbr();

	(void)state;
	learn(&remote, TCP_CONG_BBR, 100, 200, 1); /* it overflows a queue: half of it would be the path's */
	assert_int_equal(decide(&remote, 100), CONG_DEFAULT);
	assert_int_equal(remote.hold_s, 600);

	remote = with_bbr();
	learn(&remote, TCP_CONG_CUBIC, 10, 0, 4); /* the path has got better */
	learn(&remote, TCP_CONG_CUBIC, 10, 0, 4);
	assert_int_equal(decide(&remote, 100), CONG_DEFAULT);
	assert_int_equal(remote.hold_s, 0);

	remote = with_bbr();
	remote.standard.reports = 0.19; /* so long ago */
	assert_int_equal(decide(&remote, 100), CONG_DEFAULT);
	assert_int_equal(remote.hold_s, 0);

	remote = with_bbr();
	remote.bbr.reports = 0.19;
	assert_int_equal(decide(&remote, 100), CONG_DEFAULT);
	assert_int_equal(remote.hold_s, 0);
}

static void test_needs_nothing(void **state)
{
	static const struct {
		double segs, bbr_segs, bbr_retrans;
		enum cong_state state;
		bool needs_nothing;
	} cases[] = {
		{ 100, 0, 0, CONG_DEFAULT, true },   { 99, 99, 0, CONG_DEFAULT, false },
		{ 100, 100, 0, CONG_TRIAL, false },  { 100, 100, 0, CONG_BBR, false },
		{ 0, 100, 0, CONG_DEFAULT, true },   { 0, 1000, 4, CONG_DEFAULT, true },
		{ 0, 1000, 5, CONG_DEFAULT, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cong_remote remote = {
			.standard.segs = cases[i].segs,
			.bbr = { .segs = cases[i].bbr_segs, .retrans = cases[i].bbr_retrans },
			.state = cases[i].state,
		};

		if (cong_needs_nothing(&remote) != cases[i].needs_nothing)
			fail_msg("case %zu", i);
	}
}

/* --- verdicts ------------------------------------------------------------------------------------ */

/* It changes only if it has to, as each change is logged. */
static void test_verdict(void **state)
{
	const uint64_t hour_ns = 3600 * NSEC_PER_SEC;
	struct cong_remote remote = with_bbr();
	struct tcp_cong_verdict one = cong_verdict(&remote, &fresh, hour_ns), two;
	static const struct {
		double mbit;
		uint32_t trial_kbit;
	} cases[] = {
		{ 0, 0 },	{ 0.001, 0 },	{ 81, 60000 },	{ 80, 60000 }, { 100, 60000 },
		{ 119, 60000 }, { 120, 60000 }, { 130, 78000 }, { 79, 47400 }, { 1e9, 0.6 * UINT32_MAX },
	};

	(void)state;
	assert_true(one.is_bbr);
	assert_int_equal(one.one_in, 32);
	assert_int_equal(one.valid_until_ns, 3 * hour_ns);
	assert_int_equal(one.trial_kbit, 60000);
	two = cong_verdict(&remote, &one, 2 * hour_ns);
	assert_memory_equal(&two, &one, sizeof(one));
	assert_int_equal(cong_verdict(&remote, &one, 2 * hour_ns + 1).valid_until_ns, 4 * hour_ns + 1);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		remote.bbr.bytes = cases[i].mbit * 1e6 / 8;
		assert_int_equal(cong_verdict(&remote, &one, 2 * hour_ns).trial_kbit, cases[i].trial_kbit);
	}
	assert_int_equal(cong_verdict(&remote, &one, 2 * hour_ns).valid_until_ns, 4 * hour_ns);
	remote.state = CONG_DEFAULT;
	two = cong_verdict(&remote, &one, 2 * hour_ns);
	assert_memory_equal(&two, &fresh, sizeof(fresh));
}

static void test_verdict_of_trial(void **state)
{
	struct cong_remote remote = in_trial(100);
	struct tcp_cong_verdict one = cong_verdict(&remote, &fresh, 100 * NSEC_PER_SEC), two;

	(void)state;
	assert_false(one.is_bbr);
	assert_int_equal(one.one_in, 1);
	assert_int_equal(one.valid_until_ns, 160 * NSEC_PER_SEC);
	assert_int_equal(one.trial_kbit, 6000); /* of the default's 10 Mbit/s */
	two = cong_verdict(&remote, &one, 159 * NSEC_PER_SEC);
	assert_memory_equal(&two, &one, sizeof(one));
}

/* --- hours of it ---------------------------------------------------------------------------------- */

/* A path that loses segments by itself, and what bbr makes there of a queue that it overflows. */
struct path {
	double lost, lost_to_bbr; /* parts */
	double cubic_mbit, bbr_mbit;
	bool is_full; /* cubic fills it: then all that it loses is lost to the queue */
};

struct hours {
	struct cong_remote remote;
	struct tcp_cong_verdict verdict;
	uint64_t now_s;
	unsigned int random, connections, with_bbr;
};

static double at_random(struct hours *hours)
{
	hours->random = hours->random * 1664525 + 1013904223;
	return (hours->random >> 8) / (double)(1 << 24);
}

/* As the BPF programs do. */
static bool gets_bbr(struct hours *hours)
{
	const struct tcp_cong_verdict *verdict = &hours->verdict;

	if (hours->now_s * NSEC_PER_SEC >= verdict->valid_until_ns)
		return false;
	return verdict->is_bbr != (at_random(hours) * verdict->one_in < 1);
}

/* One connection every few seconds, of some seconds, with some noise in all that is measured. */
static void simulate(struct hours *hours, const struct path *path, unsigned int seconds)
{
	uint64_t end_s = hours->now_s + seconds;

	hours->connections = hours->with_bbr = 0;
	for (; hours->now_s < end_s; hours->now_s += 5) {
		bool is_bbr = gets_bbr(hours);
		double noise = 0.8 + 0.4 * at_random(hours);
		double lost = 1000 * noise * (path->lost + (is_bbr ? path->lost_to_bbr : path->is_full ? 0.01 : 0));
		struct tcp_cong_seen one =
			seen(is_bbr ? TCP_CONG_BBR : TCP_CONG_CUBIC,
			     (0.8 + 0.4 * at_random(hours)) * (is_bbr ? path->bbr_mbit : path->cubic_mbit), lost);

		if (!is_bbr && path->is_full)
			one.clear_segs = one.clear_retrans = 0;
		cong_learn(&hours->remote, &offer, &one, hours->now_s);
		cong_decide(&hours->remote, &offer, hours->now_s);
		hours->verdict = cong_verdict(&hours->remote, &hours->verdict, hours->now_s * NSEC_PER_SEC);
		hours->connections++;
		hours->with_bbr += is_bbr;
	}
}

static void test_nothing_is_wrong(void **state)
{
	static const struct path paths[] = {
		{ 0, 0, 95, 95, false },     /* clear */
		{ 0, 0.05, 45, 48, true },   /* a shallow buffer, in which bbr loses much */
		{ 0.002, 0, 20, 95, false }, /* some loss, and bbr would give more */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		struct hours hours = { .random = 1 };

		simulate(&hours, &paths[i], 10 * 3600);
		assert_int_equal(hours.with_bbr, 0);
	}
}

/* One, five and ten percent lost: bbr from the first minute on, for all but the few that show what the default gives.
 */
static void test_lossy_for_hours(void **state)
{
	static const struct path paths[] = { { 0.01, 0, 9, 95, false },
					     { 0.05, 0, 4, 90, false },
					     { 0.1, 0, 2, 80, false } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		for (unsigned int seed = 1; seed <= 20; seed++) {
			struct hours hours = { .random = seed };

			simulate(&hours, &paths[i], 60);
			simulate(&hours, &paths[i], 8 * 3600);
			if (hours.with_bbr < 0.95 * hours.connections)
				fail_msg("path %zu, seed %u: %u of %u", i, seed, hours.with_bbr, hours.connections);
		}
}

/* The path's own loss is over, and what bbr loses is bbr's doing: within an hour it is over, and stays so. */
static void test_own_loss(void **state)
{
	static const struct path lossy = { 0.016, 0, 8, 50, false }, after = { 0, 0.05, 47.5, 50, true },
				 not_full = { 0, 0.05, 47.5, 50, false };
	static const struct path *const then[] = { &after, &not_full };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(then); i++)
		for (unsigned int seed = 1; seed <= 20; seed++) {
			struct hours hours = { .random = seed };

			simulate(&hours, &lossy, 600);
			assert_int_equal(hours.remote.state, CONG_BBR);
			simulate(&hours, then[i], 3600);
			assert_int_equal(hours.remote.state, CONG_DEFAULT);
			simulate(&hours, then[i], 8 * 3600);
			assert_int_equal(hours.with_bbr, 0);
		}
}

/* Any path: bbr at most now and then where it more than doubles the loss, or gives no more. */
static void test_harm_on_any_path(void **state)
{
	(void)state;
	for (unsigned int seed = 1; seed <= 200; seed++) {
		struct hours hours = { .random = seed };
		struct path path = { .lost = 0.005 + 0.1 * at_random(&hours),
				     .cubic_mbit = 1 + 50 * at_random(&hours) };

		path.bbr_mbit = path.cubic_mbit * (seed % 2 ? 10 : at_random(&hours));
		path.lost_to_bbr = seed % 2 ? 2.5 * path.lost + 0.02 : 0;
		simulate(&hours, &path, 24 * 3600);
		if (hours.with_bbr > 0.01 * hours.connections)
			fail_msg("seed %u: %u of %u", seed, hours.with_bbr, hours.connections);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_is_in),
		cmocka_unit_test(test_learn),
		cmocka_unit_test(test_fades),
		cmocka_unit_test(test_weight),
		cmocka_unit_test(test_min_rtt),
		cmocka_unit_test(test_clear_of_a_queue),
		cmocka_unit_test(test_not_learnt),
		cmocka_unit_test(test_other_default),
		cmocka_unit_test(test_lossy),
		cmocka_unit_test(test_default),
		cmocka_unit_test(test_trial),
		cmocka_unit_test(test_hurts_takes_segments),
		cmocka_unit_test(test_trial_ends),
		cmocka_unit_test(test_hold),
		cmocka_unit_test(test_bbr_stays),
		cmocka_unit_test(test_bbr_ends),
		cmocka_unit_test(test_needs_nothing),
		cmocka_unit_test(test_verdict),
		cmocka_unit_test(test_verdict_of_trial),
		cmocka_unit_test(test_nothing_is_wrong),
		cmocka_unit_test(test_lossy_for_hours),
		cmocka_unit_test(test_own_loss),
		cmocka_unit_test(test_harm_on_any_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
