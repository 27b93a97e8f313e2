// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "tuners/decide_tcp_cong.h"

#define BIT(algorithm) (1U << (algorithm))
#define ALL (BIT(TCP_CONG_RENO) | BIT(TCP_CONG_CUBIC) | BIT(TCP_CONG_BBR))

static const struct tcp_cong_verdict fresh = { 0 };
static const struct cong_offer offer = { .usable = ALL, .standard = TCP_CONG_CUBIC };

/* A second of a connection with a round trip of 20 ms; loss in a thousand of 10,000 segments. */
static struct tcp_cong_seen seen(double mbit, unsigned int loss_permille)
{
	return (struct tcp_cong_seen){
		.acked_bytes = mbit * 1e6 / 8,
		.busy_us = 1000000,
		.segs = 10000,
		.retrans = 10 * loss_permille,
		.min_rtt_us = 20000,
		.srtt_us = 20000,
	};
}

static void learn(struct cong_remote *remote, unsigned int algorithm, double mbit, unsigned int loss_permille,
		  unsigned int times)
{
	struct tcp_cong_seen one = seen(mbit, loss_permille);

	while (times--)
		cong_learn(remote, &one, algorithm, remote->time_s);
}

static struct cong_outcome outcome(double reports, double mbit, double srtt_ms)
{
	return (struct cong_outcome){ reports, mbit * reports * 1e6 / 8, reports * 1e6,
				      srtt_ms * 1000 * reports * 1e6 };
}

static void assert_near(double value, double want)
{
	assert_float_equal(value, want, 1e-6 * (want > 1 ? want : 1));
}

static void test_names(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < TCP_CONG_N; i++) {
		assert_true(cong_name(i)[0]);
		assert_true(strlen(cong_name(i)) < TCP_CONG_NAME_BYTES);
		assert_int_equal(cong_algorithm(cong_name(i)), i);
	}
	assert_string_equal(cong_name(TCP_CONG_N), "");
	assert_int_equal(cong_algorithm(""), TCP_CONG_N);
	assert_int_equal(cong_algorithm("bb"), TCP_CONG_N);
	assert_int_equal(cong_algorithm("bbr2"), TCP_CONG_N);
	assert_int_equal(cong_algorithm("dctcp"), TCP_CONG_N);
}

static void test_set(void **state)
{
	static const struct {
		const char *list;
		uint32_t set;
	} cases[] = {
		{ "", 0 },
		{ " \n", 0 },
		{ "bbr\n", BIT(TCP_CONG_BBR) },
		{ "reno cubic bbr", ALL },
		{ "reno dctcp", BIT(TCP_CONG_RENO) },
		{ "reno2 bb", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(cong_set(cases[i].list), cases[i].set);
}

static void test_learn(void **state)
{
	struct cong_remote remote = { 0 };

	(void)state;
	assert_near(cong_loss_percent(&remote), 0);
	assert_near(cong_rate_mbit(&remote.outcomes[TCP_CONG_BBR]), 0);
	assert_near(cong_srtt_ms(&remote.outcomes[TCP_CONG_BBR]), 0);
	learn(&remote, TCP_CONG_BBR, 48, 21, 1);
	assert_near(cong_loss_percent(&remote), 2.1);
	assert_near(cong_rate_mbit(&remote.outcomes[TCP_CONG_BBR]), 48);
	assert_near(cong_srtt_ms(&remote.outcomes[TCP_CONG_BBR]), 20);
	learn(&remote, TCP_CONG_BBR, 96, 0, 1);
	assert_near(cong_loss_percent(&remote), 1.05);
	assert_near(cong_rate_mbit(&remote.outcomes[TCP_CONG_BBR]), 72);
	assert_false(cong_tried(&remote.outcomes[TCP_CONG_CUBIC]));
}

/* Three half lives an hour: seven eighths of the weight, and none of the rate. */
static void test_fades(void **state)
{
	struct tcp_cong_seen one = seen(80, 10), none = { 0 };
	struct cong_remote remote = { 0 };

	(void)state;
	cong_learn(&remote, &one, TCP_CONG_BBR, 1000);
	cong_learn(&remote, &none, TCP_CONG_N, 4600);
	assert_near(remote.segs, 1250);
	assert_near(remote.outcomes[TCP_CONG_BBR].reports, 0.125);
	assert_near(cong_rate_mbit(&remote.outcomes[TCP_CONG_BBR]), 80);
	assert_near(cong_loss_percent(&remote), 1);
	assert_false(cong_tried(&remote.outcomes[TCP_CONG_BBR]));
	cong_learn(&remote, &none, TCP_CONG_N, 4000); /* a clock that goes back changes nothing */
	assert_near(remote.segs, 1250);
	cong_learn(&remote, &none, TCP_CONG_N, UINT64_MAX);
	assert_near(remote.segs, 0);
}

static void test_min_rtt(void **state)
{
	struct tcp_cong_seen one = { .min_rtt_us = 20000 };
	struct cong_remote remote = { 0 };

	(void)state;
	cong_learn(&remote, &one, TCP_CONG_N, 1);
	one.min_rtt_us = 30000;
	cong_learn(&remote, &one, TCP_CONG_N, 3600);
	assert_int_equal(remote.min_rtt_us, 20000);
	one.min_rtt_us = 0;
	cong_learn(&remote, &one, TCP_CONG_N, 7200);
	assert_int_equal(remote.min_rtt_us, 20000);
	one.min_rtt_us = 30000; /* the path is another by now */
	cong_learn(&remote, &one, TCP_CONG_N, 7200);
	assert_int_equal(remote.min_rtt_us, 30000);
}

/* What teaches nothing about rates, and what cannot be. */
static void test_not_learnt(void **state)
{
	struct tcp_cong_seen one = seen(10, 0);
	struct cong_remote remote = { 0 };

	(void)state;
	one.app_limited_percent = 51;
	cong_learn(&remote, &one, TCP_CONG_BBR, 1);
	one.app_limited_percent = 0;
	cong_learn(&remote, &one, TCP_CONG_N, 1);
	one.srtt_us = 0;
	cong_learn(&remote, &one, TCP_CONG_BBR, 1);
	one.srtt_us = 1;
	one.busy_us = 0;
	cong_learn(&remote, &one, TCP_CONG_BBR, 1);
	assert_near(remote.outcomes[TCP_CONG_BBR].reports, 0);
	assert_near(remote.segs, 40000);
	one.retrans = UINT32_MAX;
	one.segs = 10;
	cong_learn(&remote, &one, TCP_CONG_BBR, 1);
	assert_near(remote.retrans, 10);
}

/* An application that was too slow for the algorithm, and yet faster than any before. */
static void test_lower_bound(void **state)
{
	struct tcp_cong_seen one = seen(100, 0);
	struct cong_remote remote = { 0 };

	(void)state;
	one.app_limited_percent = 100;
	learn(&remote, TCP_CONG_CUBIC, 100, 0, 1);
	cong_learn(&remote, &one, TCP_CONG_BBR, 0);
	assert_false(cong_tried(&remote.outcomes[TCP_CONG_BBR]));
	one.acked_bytes *= 2;
	cong_learn(&remote, &one, TCP_CONG_BBR, 0);
	assert_near(cong_rate_mbit(&remote.outcomes[TCP_CONG_BBR]), 200);
}

/* A connection of a few round trips counts for less than one of many. */
static void test_weight(void **state)
{
	struct tcp_cong_seen one = seen(10, 0);
	struct cong_remote remote = { 0 };

	(void)state;
	one.busy_us = 3 * one.srtt_us;
	cong_learn(&remote, &one, TCP_CONG_BBR, 1);
	assert_near(remote.outcomes[TCP_CONG_BBR].reports, 0.15);
	assert_false(cong_tried(&remote.outcomes[TCP_CONG_BBR]));
	cong_learn(&remote, &one, TCP_CONG_BBR, 1);
	assert_true(cong_tried(&remote.outcomes[TCP_CONG_BBR]));
}

static void test_beats(void **state)
{
	static const struct {
		double reports, mbit, srtt_ms, other_reports, other_mbit, other_srtt_ms;
		bool incumbent, beats;
	} cases[] = {
		{ 1, 160, 20, 1, 100, 20, false, true },
		{ 1, 140, 20, 1, 100, 20, false, false }, /* once each: that may be chance */
		{ 1, 140, 20, 1, 100, 20, true, true },
		{ 64, 120, 20, 64, 100, 20, false, true },
		{ 64, 120, 20, 1, 100, 20, false, false },
		{ 10000, 109, 20, 10000, 100, 20, false, false }, /* too little to matter */
		{ 0.1, 900, 20, 9, 100, 20, false, false },	  /* not tried */
		{ 9, 900, 20, 0.1, 100, 20, false, false },
		{ 0, 0, 0, 0, 0, 0, false, false },
		{ 9, 0, 20, 9, 0, 20, false, false },	    /* nothing arrives either way */
		{ 16, 200, 60, 16, 100, 20, false, false }, /* bought with the queue */
		{ 16, 100, 10, 16, 100, 20, false, true },  /* the same rate in half the time */
		{ 16, 70, 10, 16, 100, 20, false, false },
		{ 16, 100, 18, 16, 100, 20, false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cong_outcome one = outcome(cases[i].reports, cases[i].mbit, cases[i].srtt_ms);
		struct cong_outcome other =
			outcome(cases[i].other_reports, cases[i].other_mbit, cases[i].other_srtt_ms);

		if (cong_beats(&one, &other, cases[i].incumbent) != cases[i].beats)
			fail_msg("case %zu", i);
	}
}

static void assert_default(struct cong_remote *remote, const struct cong_offer *from)
{
	struct cong_decision decision = cong_decide(remote, from);
	struct tcp_cong_verdict verdict = cong_verdict(&decision, &fresh, 1), none = { 0 };

	assert_memory_equal(&verdict, &none, sizeof(none));
}

static void test_rule_of_loss(void **state)
{
	static const struct {
		unsigned int segs, retrans;
		bool bbr;
	} cases[] = {
		{ 99, 99, false }, { 100, 7, false }, { 100, 8, true }, { 10000, 149, false }, { 10000, 150, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tcp_cong_seen one = { .segs = cases[i].segs, .retrans = cases[i].retrans };
		struct cong_remote remote = { 0 };
		struct cong_decision decision;

		cong_learn(&remote, &one, TCP_CONG_CUBIC, 1);
		decision = cong_decide(&remote, &offer);
		assert_int_equal(decision.choice, cases[i].bbr ? 1 + TCP_CONG_BBR : 0);
		assert_int_equal(decision.switches, cases[i].bbr);
		assert_int_equal(decision.one_in, cases[i].bbr ? 20 : 0);
	}
}

/* Once lossy, it stays so down to half of it: no coming and going. */
static void test_loss_stays(void **state)
{
	struct cong_remote remote = { 0 };

	(void)state;
	learn(&remote, TCP_CONG_N, 0, 16, 1);
	assert_int_equal(cong_decide(&remote, &offer).choice, 1 + TCP_CONG_BBR);
	learn(&remote, TCP_CONG_N, 0, 4, 1);
	assert_int_equal(cong_decide(&remote, &offer).choice, 1 + TCP_CONG_BBR);
	learn(&remote, TCP_CONG_N, 0, 0, 1);
	assert_default(&remote, &offer);
	learn(&remote, TCP_CONG_N, 0, 20, 1);
	assert_default(&remote, &offer); /* 1 % */
}

static void test_no_bbr(void **state)
{
	static const struct cong_offer without = { .usable = BIT(TCP_CONG_RENO) | BIT(TCP_CONG_CUBIC),
						   .standard = TCP_CONG_CUBIC };
	struct cong_remote remote = { 0 };

	(void)state;
	learn(&remote, TCP_CONG_CUBIC, 10, 50, 1);
	assert_default(&remote, &without);
	assert_true(remote.lossy);
	learn(&remote, TCP_CONG_RENO, 30, 50, 1);
	assert_int_equal(cong_decide(&remote, &without).choice, 1 + TCP_CONG_RENO);
}

/* With BBR the default there is nothing to change for loss. */
static void test_default_is_bbr(void **state)
{
	static const struct cong_offer bbr = { .usable = ALL, .standard = TCP_CONG_BBR };
	struct cong_remote remote = { 0 };

	(void)state;
	learn(&remote, TCP_CONG_BBR, 100, 50, 1);
	assert_default(&remote, &bbr);
}

/* A default that is not allowed to others is still the default. */
static void test_default_not_usable(void **state)
{
	static const struct cong_offer odd = { .usable = BIT(TCP_CONG_RENO), .standard = TCP_CONG_CUBIC };
	struct cong_remote remote = { 0 };

	(void)state;
	learn(&remote, TCP_CONG_CUBIC, 100, 0, 1);
	assert_default(&remote, &odd);
}

static void test_outcome(void **state)
{
	struct cong_remote remote = { 0 };
	struct cong_decision decision;

	(void)state;
	learn(&remote, TCP_CONG_CUBIC, 50, 1, 4);
	assert_default(&remote, &offer);
	learn(&remote, TCP_CONG_BBR, 52, 1, 4);
	assert_default(&remote, &offer); /* no measurable difference */
	learn(&remote, TCP_CONG_RENO, 100, 1, 4);
	decision = cong_decide(&remote, &offer);
	assert_int_equal(decision.choice, 1 + TCP_CONG_RENO);
	assert_false(decision.switches);
	assert_near(decision.mbit, 100);
	learn(&remote, TCP_CONG_BBR, 500, 1, 8);
	assert_int_equal(cong_decide(&remote, &offer).choice, 1 + TCP_CONG_BBR);
	/* Its path has become as good for all. */
	learn(&remote, TCP_CONG_CUBIC, 500, 1, 100);
	assert_default(&remote, &offer);
}

/* What was measured goes before the rule. */
static void test_outcome_against_the_rule(void **state)
{
	struct cong_remote remote = { 0 };
	struct cong_decision decision;

	(void)state;
	learn(&remote, TCP_CONG_BBR, 50, 50, 4);
	learn(&remote, TCP_CONG_CUBIC, 100, 50, 4);
	decision = cong_decide(&remote, &offer);
	assert_int_equal(decision.choice, 0);
	assert_false(decision.switches);
	learn(&remote, TCP_CONG_RENO, 400, 50, 4);
	assert_int_equal(cong_decide(&remote, &offer).choice, 1 + TCP_CONG_RENO);
}

/* Some loss, and nothing known of BBR: the next connection shows it. */
static void test_first_trial(void **state)
{
	struct cong_remote remote = { 0 };
	struct cong_decision decision;

	(void)state;
	learn(&remote, TCP_CONG_CUBIC, 7, 4, 1);
	assert_default(&remote, &offer);
	learn(&remote, TCP_CONG_CUBIC, 7, 8, 1);
	decision = cong_decide(&remote, &offer);
	assert_int_equal(decision.choice, 0);
	assert_int_equal(decision.one_in, 1);
	assert_int_equal(decision.trials, BIT(TCP_CONG_BBR));
	learn(&remote, TCP_CONG_BBR, 400, 8, 1);
	decision = cong_decide(&remote, &offer);
	assert_int_equal(decision.choice, 1 + TCP_CONG_BBR);
	assert_int_equal(decision.one_in, 20);
	remote = (struct cong_remote){ 0 };
	learn(&remote, TCP_CONG_CUBIC, 7, 8, 1);
	learn(&remote, TCP_CONG_BBR, 7, 8, 1);
	assert_default(&remote, &offer); /* shown, and no better */
}

/* What was measurably worse is tried again only if nothing else is left, and five times as rarely, for an hour or so.
 */
static void test_worse_is_tried_rarely(void **state)
{
	struct tcp_cong_seen none = { 0 };
	struct cong_remote remote = { 0 };
	struct cong_decision decision;

	(void)state;
	learn(&remote, TCP_CONG_BBR, 100, 20, 1);
	decision = cong_decide(&remote, &offer);
	assert_int_equal(decision.one_in, 20);
	assert_int_equal(decision.trials, BIT(TCP_CONG_RENO) | BIT(TCP_CONG_CUBIC));
	learn(&remote, TCP_CONG_CUBIC, 40, 20, 1);
	decision = cong_decide(&remote, &offer);
	assert_int_equal(decision.one_in, 20);
	assert_int_equal(decision.trials, BIT(TCP_CONG_RENO));
	learn(&remote, TCP_CONG_RENO, 40, 20, 1);
	decision = cong_decide(&remote, &offer);
	assert_int_equal(decision.one_in, 100);
	assert_int_equal(decision.trials, BIT(TCP_CONG_RENO) | BIT(TCP_CONG_CUBIC));
	learn(&remote, TCP_CONG_RENO, 180, 20, 1); /* 110 on the average: no longer clearly worse */
	decision = cong_decide(&remote, &offer);
	assert_int_equal(decision.choice, 1 + TCP_CONG_BBR);
	assert_int_equal(decision.one_in, 20);
	assert_int_equal(decision.trials, BIT(TCP_CONG_RENO));
	cong_learn(&remote, &none, TCP_CONG_N, 2400);
	learn(&remote, TCP_CONG_BBR, 100, 20, 1);
	assert_int_equal(cong_decide(&remote, &offer).trials, BIT(TCP_CONG_RENO));
	cong_learn(&remote, &none, TCP_CONG_N, 3600);
	learn(&remote, TCP_CONG_BBR, 100, 20, 1);
	assert_int_equal(cong_decide(&remote, &offer).trials, BIT(TCP_CONG_RENO) | BIT(TCP_CONG_CUBIC));
}

/* It changes only if it has to, as each change is logged. */
static void test_verdict(void **state)
{
	struct cong_decision decision = { .choice = 1 + TCP_CONG_BBR, .one_in = 20, .trials = 3, .mbit = 100 };
	const uint64_t hour_ns = 3600 * 1000000000ULL;
	struct tcp_cong_verdict one = cong_verdict(&decision, &fresh, hour_ns), two;
	static const struct {
		double mbit;
		uint32_t trial_kbit;
	} cases[] = {
		{ 0, 0 },	{ 0.001, 0 },	{ 81, 60000 }, { 100, 60000 },
		{ 119, 60000 }, { 130, 78000 }, { 79, 47400 }, { 1e9, 0.6 * UINT32_MAX },
	};

	(void)state;
	assert_int_equal(one.valid_until_ns, 3 * hour_ns);
	assert_int_equal(one.trial_kbit, 60000);
	two = cong_verdict(&decision, &one, 2 * hour_ns);
	assert_memory_equal(&two, &one, sizeof(one));
	assert_int_equal(cong_verdict(&decision, &one, 2 * hour_ns + 1).valid_until_ns, 4 * hour_ns + 1);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		decision.mbit = cases[i].mbit;
		assert_int_equal(cong_verdict(&decision, &one, 2 * hour_ns).trial_kbit, cases[i].trial_kbit);
	}
	decision.mbit = 100;
	decision.switches = true;
	two = cong_verdict(&decision, &one, 2 * hour_ns);
	assert_int_equal(two.valid_until_ns, 4 * hour_ns);
	assert_true(two.switches);
	decision = (struct cong_decision){ .one_in = 20 };
	two = cong_verdict(&decision, &one, 2 * hour_ns);
	assert_memory_equal(&two, &fresh, sizeof(fresh));
}

static void test_explore(void **state)
{
	static const struct cong_offer only = { .usable = BIT(TCP_CONG_RENO), .standard = TCP_CONG_RENO };
	static const struct cong_offer every = { .usable = BIT(TCP_CONG_N) - 1, .standard = TCP_CONG_BBR };
	struct cong_decision decision = cong_explore(&offer);
	struct tcp_cong_verdict verdict = cong_verdict(&decision, &fresh, 0);

	(void)state;
	assert_int_equal(verdict.choice, 0);
	assert_int_equal(verdict.one_in, 20);
	assert_int_equal(verdict.trial_kbit, 0);
	assert_int_equal(verdict.trials, BIT(TCP_CONG_RENO) | BIT(TCP_CONG_BBR));
	decision = cong_explore(&only);
	verdict = cong_verdict(&decision, &fresh, 0);
	assert_memory_equal(&verdict, &fresh, sizeof(fresh));
	decision = cong_explore(&every);
	verdict = cong_verdict(&decision, &fresh, 0);
	assert_int_equal(verdict.trials, (BIT(TCP_CONG_N) - 1) & ~BIT(TCP_CONG_BBR));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),	       cmocka_unit_test(test_set),
		cmocka_unit_test(test_learn),	       cmocka_unit_test(test_fades),
		cmocka_unit_test(test_min_rtt),	       cmocka_unit_test(test_not_learnt),
		cmocka_unit_test(test_lower_bound),    cmocka_unit_test(test_weight),
		cmocka_unit_test(test_beats),	       cmocka_unit_test(test_rule_of_loss),
		cmocka_unit_test(test_loss_stays),     cmocka_unit_test(test_no_bbr),
		cmocka_unit_test(test_default_is_bbr), cmocka_unit_test(test_default_not_usable),
		cmocka_unit_test(test_outcome),	       cmocka_unit_test(test_outcome_against_the_rule),
		cmocka_unit_test(test_first_trial),    cmocka_unit_test(test_worse_is_tried_rarely),
		cmocka_unit_test(test_verdict),	       cmocka_unit_test(test_explore),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
