// SPDX-License-Identifier: GPL-2.0-or-later
/* What is remembered of a remote's connections, with which algorithm they went how well. */
#include "tests/unit/fake_cong.h"

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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
