// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/unit/fake_cong.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
