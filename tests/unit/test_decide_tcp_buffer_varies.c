// SPDX-License-Identifier: GPL-2.0-or-later
/* A path whose capacity varies, as a wireless one's does: what luck raises must neither stay nor stand in a queue. */
#include <math.h>
#include <stdlib.h>

#include "tests/unit/fake_path.h"

#define RUNS 200
#define HOUR_US (3600 * 1000 * MS)
#define VARIES_US (5000 * MS) /* the capacity is another then */
#define SIGMA 0.4
#define MEAN_RATE 12500000.0 /* 100 Mbit/s */

static double uniform(struct path *path)
{
	path->random = path->random * 6364136223846793005ULL + 1442695040888963407ULL;
	return ((path->random >> 11) + 0.5) / 9007199254740992.0;
}

/* Log-normal, with that mean. */
static uint64_t capacity(struct path *path)
{
	double normal = sqrt(-2 * log(uniform(path))) * cos(2 * M_PI * uniform(path));

	return MEAN_RATE * exp(SIGMA * normal - SIGMA * SIGMA / 2);
}

struct outcome {
	double end, rtt,
		share; /* the limit at the end per mean product, the mean round trip per shortest, of the capacity */
	int changes;
};

static struct outcome one_hour(int64_t limit_bytes, unsigned int seed, bool receiving)
{
	struct path path = path_new(limit_bytes);
	uint64_t end_us = path.look.time_us + HOUR_US, next_us = 0, begin_us = path.look.time_us;
	double rtt_us = 0, could = 0;
	uint64_t begin_bytes = path.look.bytes, last_us = begin_us;

	path.random = seed * 0x9e3779b97f4a7c15ULL;
	path.receiving = receiving;
	while (path.look.time_us < end_us) {
		if (path.look.time_us >= next_us) {
			path.rate = capacity(&path);
			next_us = path.look.time_us + VARIES_US;
		}
		round_trip(&path);
		rtt_us += (double)path.look.srtt_us * (path.look.time_us - last_us);
		could += (double)path.rate * (path.look.time_us - last_us) / 1e6;
		last_us = path.look.time_us;
	}
	return (struct outcome){
		.end = path.limit_bytes / (MEAN_RATE * path.rtt_us / 1e6 * path.overhead_percent / 100),
		.rtt = rtt_us / HOUR_US / path.rtt_us,
		.share = (path.look.bytes - begin_bytes) / could,
		.changes = path.changes,
	};
}

static int compare(const void *a, const void *b)
{
	return *(const double *)a < *(const double *)b ? -1 : *(const double *)a > *(const double *)b;
}

/* Of so many runs, at most RUNS. */
static void varies(int64_t limit_bytes, bool receiving, int runs)
{
	double ends[RUNS], rtt = 0, share = 0, changes = 0;

	for (int i = 0; i < runs; i++) {
		struct outcome outcome = one_hour(limit_bytes, i + 1, receiving);

		ends[i] = outcome.end;
		rtt += outcome.rtt / runs;
		share += outcome.share / runs;
		changes += (double)outcome.changes / runs;
	}
	qsort(ends, runs, sizeof(*ends), compare);
	print_message("median end %.2f (%.2f to %.2f), mean round trip %.2f, share %.2f, changes %.1f\n",
		      ends[runs / 2], ends[0], ends[runs - 1], rtt, share, changes);
	assert_true(ends[runs / 2] <= 2);
	assert_true(rtt <= 2);
	assert_true(share >= 0.9);
	assert_true(changes <= 40);
}

static void test_sender(void **state)
{
	(void)state;
	varies(64 * KIB, false, RUNS);
}

static void test_receiver(void **state)
{
	(void)state;
	varies(256 * KIB, true, RUNS / 8);
}

/* Looks that are late, though there are data under way; a machine that gives the flow a third of its time for a moment.
 */
static void disturb(struct path *path, uint64_t rate, uint64_t *slow_until_us)
{
	if (uniform(path) < 0.03) {
		uint64_t us = (100 + 800 * uniform(path)) * MS;
		uint32_t ticks = 100 * us / (path->look.srtt_us ? path->look.srtt_us : path->rtt_us);

		path->look.time_us += us;
		path->look.ticks += ticks;
		path->look.busy += ticks;
	}
	if (uniform(path) < 0.02)
		*slow_until_us = path->look.time_us + 500 * MS;
	path->rate = path->look.time_us < *slow_until_us ? rate * 3 / 10 : rate;
}

/* Beginnings on a long and fast path, on a machine that has much else to do: none is lost to a bad look. */
static void test_beginnings(void **state)
{
	int soon = 0, too_large = 0;

	(void)state;
	for (int i = 0; i < RUNS; i++) {
		struct path path = path_new(256 * KIB);
		uint64_t rate = path.rate, slow_until_us = 0, begin_us = path.look.time_us;
		bool has_room = false;

		path.random = (i + 1) * 0x9e3779b97f4a7c15ULL;
		path.noise_percent = 20;
		while (path.look.time_us < begin_us + 20000 * MS) {
			disturb(&path, rate, &slow_until_us);
			round_trip(&path);
			if (has_room ||
			    path.limit_bytes < enough_bytes(&path) * (int64_t)rate / (int64_t)path.rate * 9 / 10)
				continue;
			has_room = true;
			soon += path.look.time_us < begin_us + 4000 * MS;
		}
		path.rate = rate;
		too_large += path.limit_bytes > enough_bytes(&path) * 5 / 2;
	}
	print_message("%d of %d have room for 0.9 of the rate within 4 s, %d end too large\n", soon, RUNS, too_large);
	assert_true(soon >= RUNS * 97 / 100);
	assert_true(too_large <= RUNS / 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sender),
		cmocka_unit_test(test_receiver),
		cmocka_unit_test(test_beginnings),
	};

	return cmocka_run_group_tests_name("decide_tcp_buffer_varies", tests, NULL, NULL);
}
