// SPDX-License-Identifier: GPL-2.0-or-later
/* Hours of connections over paths of all kinds. */
#include "tests/unit/fake_cong.h"

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
		cmocka_unit_test(test_nothing_is_wrong),
		cmocka_unit_test(test_lossy_for_hours),
		cmocka_unit_test(test_own_loss),
		cmocka_unit_test(test_harm_on_any_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
