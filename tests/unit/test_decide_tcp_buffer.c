// SPDX-License-Identifier: GPL-2.0-or-later
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "tuners/decide_tcp_buffer.h"

#define KIB 1024LL
#define MIB (1024 * KIB)
#define MS 1000ULL
#define ANY_CAP INT_MAX

/* --- memory ------------------------------------------------------------------------------------- */

static void test_cap(void **state)
{
	static const struct {
		uint64_t pressure_pages, container_pages, page_bytes;
		int64_t cap_bytes;
	} cases[] = {
		{ 0, UINT64_MAX, 4096, 0 },
		{ 7, UINT64_MAX, 4096, 0 },
		{ 8, UINT64_MAX, 4096, 4096 },
		{ 15, UINT64_MAX, 4096, 4096 },
		{ 91542, UINT64_MAX, 4096, 46866432 }, /* a machine of 6 GiB */
		{ 91542, UINT64_MAX, 65536, 749862912 },
		{ 8 * 524286ULL, UINT64_MAX, 4096, 524286 * 4096LL }, /* the last but one below an int */
		{ 8 * 524288ULL, UINT64_MAX, 4096, INT_MAX },
		{ UINT32_MAX, UINT64_MAX, 65536, INT_MAX },
		{ UINT64_MAX, UINT64_MAX, 1, INT_MAX },
		{ UINT64_MAX, UINT64_MAX, UINT64_MAX, INT_MAX },
		{ 1ULL << 55, UINT64_MAX, 4096, INT_MAX }, /* an eighth, in bytes, is 2^64 */
		{ 91542, 16384, 4096, 16 * MIB },	   /* a container of 64 MiB */
		{ 91542, 0, 4096, 0 },
		{ 91542, 3, 4096, 0 },
		{ UINT64_MAX, 4, 4096, 4096 },
		{ UINT64_MAX, 1ULL << 60, 65536, INT_MAX },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct tcp_buffer_memory memory = {
			.pressure_pages = cases[i].pressure_pages,
			.container_pages = cases[i].container_pages,
			.page_bytes = cases[i].page_bytes,
		};
		int64_t cap_bytes = tcp_buffer_cap_bytes(&memory);

		if (cap_bytes != cases[i].cap_bytes)
			fail_msg("row %zu: %lld", i, (long long)cap_bytes);
	}
}

static void test_give_back(void **state)
{
	static const struct {
		const char *what;
		uint64_t allocated_pages, pressure_pages, held_pages;
		int64_t default_bytes, current_bytes, back_bytes;
	} cases[] = {
		{ "memory in plenty", 790, 1000, 790, MIB, 64 * MIB, 0 },
		{ "who holds most is first", 800, 1000, 200, MIB, 64 * MIB, 32 * MIB },
		{ "who holds less is not yet", 800, 1000, 199, MIB, 64 * MIB, 0 },
		{ "an eighth", 850, 1000, 107, MIB, 64 * MIB, 32 * MIB },
		{ "a sixteenth", 900, 1000, 57, MIB, 64 * MIB, 32 * MIB },
		{ "one part in 32", 950, 1000, 30, MIB, 64 * MIB, 32 * MIB },
		{ "one part in 64", 1000, 1000, 16, MIB, 64 * MIB, 32 * MIB },
		{ "hardly any, and it is exhausted", 5000, 1000, 70, MIB, 64 * MIB, 0 },
		{ "holds nothing", 5000, 1000, 0, MIB, 64 * MIB, 0 },
		{ "holds nothing, nor does anybody", 0, 1000, 0, MIB, 64 * MIB, 0 },
		{ "it was large from the beginning", 800, 1000, 800, 16384, INT_MAX, INT_MAX / 2 },
		{ "not below what sockets begin with", 800, 1000, 800, MIB, MIB + 10, MIB },
		{ "no more than that", 800, 1000, 800, MIB, MIB, 0 },
		{ "less than that", 800, 1000, 800, 2 * MIB, MIB, 0 },
		{ "tcp_mem unknown", 800, 0, 800, MIB, 64 * MIB, 0 },
		{ "more pages than 32 bits", 8LL << 32, 10LL << 32, 2LL << 32, MIB, 64 * MIB, 32 * MIB },
		{ "the same, a page short", 8LL << 32, 10LL << 32, (2LL << 32) - 1, MIB, 64 * MIB, 0 },
		{ "huge", UINT64_MAX, 1, UINT64_MAX, 1, INT_MAX, INT_MAX / 2 },
		{ "huge, all", UINT64_MAX, UINT64_MAX, UINT64_MAX / 64, 1, INT64_MAX, INT64_MAX / 2 },
		{ "zeroes", 0, 0, 0, 0, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct tcp_buffer_memory memory = {
			.allocated_pages = cases[i].allocated_pages,
			.pressure_pages = cases[i].pressure_pages,
		};
		int64_t back = tcp_buffer_give_back_bytes(&memory, cases[i].held_pages, cases[i].default_bytes,
							  cases[i].current_bytes);

		if (back != cases[i].back_bytes)
			fail_msg("%s: %lld", cases[i].what, (long long)back);
	}
}

static void test_spell(void **state)
{
	struct tcp_buffer_period period = { 0 };

	(void)state;
	assert_int_equal(tcp_buffer_period_us(&period, 5000000), 0);
	assert_int_equal(tcp_buffer_period_us(&period, 8000000), 3000000);
	assert_int_equal(tcp_buffer_period_us(&period, 7999999), 2999999); /* two CPUs' clocks */
	assert_int_equal(tcp_buffer_period_us(&period, 11000000), 0);	 /* there was a gap */
	assert_int_equal(tcp_buffer_period_us(&period, 10999999), 0);
	assert_int_equal(tcp_buffer_period_us(&period, 12000000), 1000001);
	assert_int_equal(tcp_buffer_period_us(&period, UINT64_MAX), 0);
}

/* Whose flow it is changes nothing. */
static void test_smallest_container(void **state)
{
	struct tcp_buffer_smallest smallest = { 0 };
	const uint64_t minute_us = 60 * 1000 * MS;
	uint64_t now_us = 1;

	(void)state;
	assert_int_equal(tcp_buffer_smallest_pages(&smallest, UINT64_MAX, now_us), UINT64_MAX);
	assert_int_equal(tcp_buffer_smallest_pages(&smallest, 1000, ++now_us), 1000);
	for (int i = 0; i < 60; i++) {
		now_us += minute_us / 2;
		assert_int_equal(tcp_buffer_smallest_pages(&smallest, 9000, now_us), i < 20 ? 1000 : 9000);
	}
	for (int i = 0; i < 60; i++) { /* a sidecar that is heard of now and then */
		now_us += minute_us;
		assert_int_equal(tcp_buffer_smallest_pages(&smallest, i % 5 ? 9000 : 1000, now_us), 1000);
	}
}

/* --- the size of a step ------------------------------------------------------------------------- */

static void test_next(void **state)
{
	/* 100 kB in 40 ms is 2.5 MB/s */
	static const struct {
		const char *what;
		uint64_t rate;
		uint32_t min_rtt_us, srtt_us, overhead_percent, idle_percent;
		int64_t current_bytes, cap_bytes, next_bytes;
	} cases[] = {
		{ "a full limit doubles", 2500000, 40000, 40000, 100, 10, 100000, ANY_CAP, 200000 },
		{ "idle for two thirds of the time", 2500000, 40000, 40000, 100, 66, 100000, ANY_CAP, 294117 },
		{ "four times at most", 2500000, 40000, 40000, 100, 99, 100000, ANY_CAP, 400000 },
		{ "idle all of the time", 2500000, 40000, 40000, 100, 100, 100000, ANY_CAP, 400000 },
		{ "a percentage past 100", 2500000, 40000, 40000, 100, UINT32_MAX, 100000, ANY_CAP, 400000 },
		{ "overhead counts", 1250000, 40000, 40000, 200, 66, 100000, ANY_CAP, 294117 },
		{ "half of it waits in a queue", 1250000, 40000, 80000, 100, 10, 100000, ANY_CAP, 0 },
		{ "up to the cap", 2500000, 40000, 40000, 100, 99, 100000, 150000, 150000 },
		{ "a byte of room", 2500000, 40000, 40000, 100, 99, 100000, 100001, 100001 },
		{ "at the cap", 2500000, 40000, 40000, 100, 99, 100000, 100000, 0 },
		{ "past the cap", 2500000, 40000, 40000, 100, 99, 100000, 1000, 0 },
		{ "no cap's room", 2500000, 40000, 40000, 100, 99, 100000, 0, 0 },
		{ "a cap below nothing", 2500000, 40000, 40000, 100, 99, 100000, -1, 0 },
		{ "no shortest round trip: the smoothed one", 2500000, 0, 40000, 100, 10, 100000, ANY_CAP, 200000 },
		{ "no round trip at all", 2500000, 0, 0, 100, 99, 100000, ANY_CAP, 0 },
		{ "overhead not known", 2500000, 40000, 40000, 0, 10, 100000, ANY_CAP, 200000 },
		{ "nothing delivered", 0, 40000, 40000, 100, 99, 100000, ANY_CAP, 0 },
		{ "no limit", 2500000, 40000, 40000, 100, 99, 0, ANY_CAP, 0 },
		{ "a limit below nothing", 2500000, 40000, 40000, 100, 99, -4096, ANY_CAP, 0 },
		{ "huge rate", UINT64_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, 99, 100000, ANY_CAP, 400000 },
		{ "huge limit", UINT64_MAX, UINT32_MAX, UINT32_MAX, 100, 99, INT_MAX - 1, ANY_CAP, INT_MAX },
		{ "at the int's end", UINT64_MAX, UINT32_MAX, UINT32_MAX, 100, 99, INT_MAX, ANY_CAP, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct tcp_buffer_look look = {
			.min_rtt_us = cases[i].min_rtt_us,
			.srtt_us = cases[i].srtt_us,
			.overhead_percent = cases[i].overhead_percent,
			.limit_bytes = cases[i].current_bytes,
			.held_bytes = cases[i].current_bytes,
		};
		int64_t next = tcp_buffer_next_bytes(&look, cases[i].rate, cases[i].idle_percent, cases[i].current_bytes,
						     cases[i].cap_bytes);

		if (next != cases[i].next_bytes)
			fail_msg("%s: %lld", cases[i].what, (long long)next);
	}
}

/* What is held and not in the path waits in a queue; what a limit of 100 kB leaves free is no queue. */
static void test_held(void **state)
{
	static const struct {
		const char *what;
		uint32_t held_bytes, in_path_bytes;
		int64_t next_bytes;
	} cases[] = {
		{ "all, of which a quarter waits", 100000, 75000, 200000 },
		{ "all, of which more than a quarter waits", 100000, 74999, 0 },
		{ "two thirds, by a writer that polls", 66667, 62000, 200000 },
		{ "four fifths, by one that adds to that", 80000, 62000, 200000 },
		{ "four fifths, of which more than a quarter waits", 80000, 59999, 0 },
		{ "little, by an application that meets the limit now and then", 40000, 40000, 0 },
		{ "half, by another", 54000, 54000, 0 },
		{ "nothing", 0, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct tcp_buffer_look look = {
			.min_rtt_us = 40000,
			.srtt_us = 40000,
			.limit_bytes = 100000,
			.held_bytes = cases[i].held_bytes,
		};

		if (tcp_buffer_next_bytes(&look, cases[i].in_path_bytes * 25ULL, 0, 100000, ANY_CAP) != cases[i].next_bytes)
			fail_msg("%s", cases[i].what);
	}
}

static void test_the_limit_has_moved_since(void **state)
{
	const struct tcp_buffer_look look = { .min_rtt_us = 40000, .srtt_us = 40000, .limit_bytes = 99999 };

	(void)state;
	assert_int_equal(tcp_buffer_next_bytes(&look, 2500000, 50, 100000, ANY_CAP), 0);
}

/* --- a path, as much of it as matters ----------------------------------------------------------- */

/*
 * One flow, looked at once a round trip. What is in flight is bounded by the limit, the congestion window, which
 * doubles while it is used, the peer's window, and what the application gives; above what the path holds it queues.
 */
struct path {
	uint64_t rate;	      /* bytes a second that the bottleneck takes */
	uint64_t burst_rate;  /* at which the sender fills its buffer; 0: the bottleneck's */
	uint64_t rwnd_bytes, app_rate; /* 0: unlimited */
	uint32_t rtt_us, overhead_percent, noise_percent;
	bool receiving, stuck; /* the receiver's buffer cannot use a raised limit */
	bool blind; /* the kernel does not account the sender's waiting */
	bool polls; /* the sender's application writes when poll(2) says so, with a third of the buffer free */
	uint32_t peer_percent; /* of the time: it waits for the peer's window as well as for room */
	uint64_t burst_bytes; /* the application writes so much at once, pauses, and begins anew */
	uint32_t pause_us;
	uint32_t pauses_of_5; /* so many of five round trips end before the buffer is full, as the application pauses */

	int64_t limit_bytes, size_bytes;
	uint64_t window_bytes;
	uint64_t random, burst_end;
	struct tcp_buffer_look look;
	struct tcp_buffer_side side;
	int64_t cap_bytes;
	int changes, undone;
	uint32_t round_trips;
	uint64_t rate_now;
};

static struct path path_new(int64_t limit_bytes)
{
	return (struct path){
		.rate = 200000000, /* 1.6 Gbit/s: 8 MB in 40 ms */
		.rtt_us = 40000,
		.overhead_percent = 110,
		.limit_bytes = limit_bytes,
		.size_bytes = limit_bytes,
		.window_bytes = 15000,
		.random = 1,
		.cap_bytes = ANY_CAP,
		.look = { .flow = 7, .time_us = 1000000, .looks = UINT32_MAX - 20, .limited = UINT32_MAX - 10,
			  .ticks = UINT32_MAX - 30, .busy = UINT32_MAX - 20, .sndbuf_limited = UINT32_MAX - 15,
			  .rwnd_limited = UINT32_MAX - 5 },
	};
}

/* 100 plus or minus noise_percent, evenly. */
static uint64_t noise(struct path *path)
{
	path->random = path->random * 6364136223846793005ULL + 1442695040888963407ULL;
	return 100 - path->noise_percent + (path->random >> 33) % (2 * path->noise_percent + 1);
}

/* A congestion window begins anew after it: net.ipv4.tcp_slow_start_after_idle. */
static void pause_if_it_is_written(struct path *path)
{
	if (path->look.bytes < path->burst_end)
		return;
	path->burst_end = path->look.bytes + path->burst_bytes;
	path->look.time_us += path->pause_us;
	path->look.ticks += 100ULL * path->pause_us / (path->look.srtt_us ? path->look.srtt_us : path->rtt_us);
	path->window_bytes = 15000;
}

static struct tcp_buffer_decision round_trip(struct path *path)
{
	uint64_t buffer_bytes = path->size_bytes * 100 / path->overhead_percent;
	uint64_t flight = buffer_bytes < path->window_bytes ? buffer_bytes : path->window_bytes, pipe, srtt_us, busy;
	bool peer = path->rwnd_bytes && path->rwnd_bytes < flight;
	struct tcp_buffer_look *look = &path->look;
	struct tcp_buffer_decision decision;
	bool full, by_app = false;

	if (path->burst_bytes)
		pause_if_it_is_written(path);
	if (path->polls) {
		buffer_bytes = buffer_bytes * 2 / 3;
		flight = buffer_bytes < flight ? buffer_bytes : flight;
	}
	if (peer)
		flight = path->rwnd_bytes;
	if (path->app_rate && path->app_rate * path->rtt_us / 1000000 < flight) {
		flight = path->app_rate * path->rtt_us / 1000000;
		by_app = true;
	}
	full = flight == buffer_bytes && !peer && !by_app && path->size_bytes >= path->limit_bytes &&
	       path->round_trips++ % 5 >= path->pauses_of_5;
	if (flight == path->window_bytes)
		path->window_bytes *= 2;
	pipe = path->rate * path->rtt_us / 1000000;
	srtt_us = flight > pipe ? path->rtt_us * flight / pipe : path->rtt_us;
	busy = 100 * flight / ((path->burst_rate ? path->burst_rate : path->rate) * path->rtt_us / 1000000 + 1);
	look->bytes += flight * noise(path) / 100;
	look->time_us += srtt_us;
	look->looks++;
	look->ticks += 100;
	look->busy += 100;
	look->srtt_us = srtt_us;
	look->min_rtt_us = path->rtt_us;
	look->size_bytes = path->size_bytes;
	look->limit_bytes = path->limit_bytes;
	look->overhead_percent = path->overhead_percent;
	look->held_bytes = path->receiving ? (uint64_t)path->size_bytes : flight * path->overhead_percent / 100;
	look->receiving = path->receiving;
	look->is_limited = full;
	look->limited += full;
	if (full && !path->receiving && !path->blind)
		look->sndbuf_limited += busy >= 95 ? 5 : 100 - busy;
	if (peer)
		look->rwnd_limited += busy >= 100 ? 0 : 100 - busy;
	look->rwnd_limited += path->peer_percent;
	path->rate_now = flight * 1000000 / srtt_us;

	decision = tcp_buffer_decide(&path->side, look, path->limit_bytes, path->cap_bytes);
	if (decision.bytes && decision.action != TCP_BUFFER_GAINED) {
		path->limit_bytes = decision.bytes;
		path->size_bytes = path->stuck ? path->size_bytes : decision.bytes;
		path->changes++;
		path->undone += decision.action != TCP_BUFFER_STEP;
	}
	return decision;
}

static void run(struct path *path, int round_trips)
{
	while (round_trips--)
		round_trip(path);
}

/* The smallest limit that carries 0.95 of what the path takes. */
static int64_t enough_bytes(const struct path *path)
{
	return path->rate * 95 / 100 * path->rtt_us / 1000000 * path->overhead_percent / 100 * (path->polls ? 3 : 2) / 2;
}

static void assert_fits(const struct path *path, const char *what)
{
	int64_t enough = enough_bytes(path);

	if (path->limit_bytes < enough || path->limit_bytes > enough * 5 / 2 || path->changes > 8)
		fail_msg("%s: %lld bytes after %d changes, %lld are enough", what, (long long)path->limit_bytes,
			 path->changes, (long long)enough);
}

static void test_long_path(void **state)
{
	static const char *const kinds[] = { "sending", "receiving", "sending, not accounted", "sending, polling" };
	static const int64_t starts[] = { 16 * KIB, 64 * KIB, 256 * KIB, 1 * MIB, 4 * MIB, 6 * MIB };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(starts); i++)
		for (int kind = 0; kind < 4; kind++)
			for (uint32_t rtt_us = 10000; rtt_us <= 160000; rtt_us *= 2) {
				struct path path = path_new(starts[i]);

				path.rtt_us = rtt_us;
				path.receiving = kind == 1;
				path.blind = kind >= 2;
				path.polls = kind == 3;
				if (enough_bytes(&path) < starts[i] || (kind && starts[i] < 64 * KIB))
					continue;
				if (path.polls && enough_bytes(&path) > starts[i] * 512)
					continue; /* nine doublings */
				run(&path, 100);
				assert_fits(&path, kinds[kind]);
			}
}

static void test_bdp_is_reached_soon(void **state)
{
	struct path path = path_new(256 * KIB);
	uint64_t begin_us = path.look.time_us;

	(void)state;
	while (path.rate_now < path.rate / 10 * 9)
		round_trip(&path);
	assert_in_range(path.look.time_us - begin_us, 0, 1500 * MS);
}

/* Nothing is limited by what it does not use. */
static void test_nothing_to_do(void **state)
{
	struct path path;

	(void)state;
	path = path_new(4 * MIB); /* its application gives a tenth of what the limit lets through */
	path.app_rate = 10000000;
	run(&path, 1000);
	assert_int_equal(path.changes, 0);

	path = path_new(4 * MIB); /* the peer's window is smaller */
	path.rwnd_bytes = 1 * MIB;
	run(&path, 1000);
	assert_int_equal(path.changes, 0);

	path = path_new(64 * KIB); /* over before a measurement is: 200 kB */
	run(&path, 4);
	assert_int_equal(path.changes, 0);

	path = path_new(64 * MIB); /* a bottleneck behind a long queue: the limit holds eight times what it carries */
	run(&path, 1000);
	assert_int_equal(path.changes, 0);
}

/* An application that pauses between large messages: its pauses are not for the buffer, and no buffer ends them. */
static void test_bursts(void **state)
{
	static const struct {
		uint64_t bytes;
		uint32_t pause_us;
		int64_t least_bytes;
	} bursts[] = {
		{ 1 * MIB, 500 * MS, 512 * KIB },
		{ 1 * MIB, 1900 * MS, 512 * KIB },
		{ 4 * MIB, 1000 * MS, 2 * MIB },
		{ 20 * MIB, 10000 * MS, 4 * MIB }, /* half of what the path holds: most of such a burst is slow start */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bursts); i++)
		for (int receiving = 0; receiving < 2; receiving++) {
			struct path path = path_new(64 * KIB);

			path.burst_bytes = bursts[i].bytes;
			path.pause_us = bursts[i].pause_us;
			path.receiving = receiving;
			run(&path, 500);
			if (path.limit_bytes < bursts[i].least_bytes || path.limit_bytes > (int64_t)bursts[i].bytes * 2)
				fail_msg("%llu bytes and %u us, receiving %d: %lld after %d changes",
					 (unsigned long long)bursts[i].bytes, bursts[i].pause_us, receiving,
					 (long long)path.limit_bytes, path.changes);
		}
}

/* It was not followed for a while, and what was counted of it began anew. */
static void test_another_turn(void **state)
{
	struct path path = path_new(256 * KIB);

	(void)state;
	while (!path.changes)
		round_trip(&path);
	run(&path, 3); /* the measurement for the verdict has begun */
	path.look.turn++;
	path.look.time_us += 30000 * MS;
	path.look.looks = path.look.limited = path.look.ticks = path.look.busy = 0;
	assert_int_equal(round_trip(&path).action, TCP_BUFFER_WAIT);
	assert_true(path.side.judging);
	run(&path, 100);
	assert_fits(&path, "after another turn");
}

static int changes_of(uint32_t peer_percent, uint32_t pauses_of_5)
{
	struct path path = path_new(256 * KIB);

	path.burst_rate = path.rate / 25; /* 8 MB/s: waits for room in a quarter of the time */
	path.peer_percent = peer_percent;
	path.pauses_of_5 = pauses_of_5;
	run(&path, 1000);
	return path.changes;
}

/* The buffer is in the way now and then, but what is in the way most of the time is something else. */
static void test_more_in_the_way_than_the_buffer(void **state)
{
	(void)state;
	assert_int_not_equal(changes_of(0, 0), 0);
	assert_int_not_equal(changes_of(9, 0), 0); /* the peer's window, for a moment */
	assert_int_equal(changes_of(40, 0), 0);
	assert_int_not_equal(changes_of(0, 1), 0);
	assert_int_not_equal(changes_of(0, 2), 0); /* the application, in two round trips of five */
	assert_int_equal(changes_of(0, 3), 0);
}

/* Another tenth and a bit is a gain, less is not. */
static void test_gain(void **state)
{
	(void)state;
	for (unsigned int more = 0; more <= 60; more++) {
		struct path path = path_new(256 * KIB);
		struct tcp_buffer_decision decision = { 0 };
		uint64_t flight = path.limit_bytes * 100 / path.overhead_percent;

		path.rate = flight * (100 + more) / 100 * 1000000 / path.rtt_us;
		path.burst_rate = 2 * path.rate;
		for (int i = 0; i < 30 && (decision.action == TCP_BUFFER_WAIT || decision.action == TCP_BUFFER_STEP); i++)
			decision = round_trip(&path);
		assert_true(path.changes > 0);
		if (more > 5 && more < 10) {
			assert_true(path.limit_bytes > 256 * KIB && path.limit_bytes < 400 * KIB);
			assert_true(decision.hold_s > 0);
		} else if (more < 4) {
			assert_true(decision.action == TCP_BUFFER_UNDO_NO_GAIN ||
				    decision.action == TCP_BUFFER_UNDO_QUEUE_FILLED);
			assert_int_equal(path.limit_bytes, 256 * KIB);
		} else if (more > 10) {
			assert_int_equal(decision.action, TCP_BUFFER_GAINED);
			assert_true(path.limit_bytes >= 512 * KIB);
		}
	}
}

/* Undone, and tried again later and later. */
static void test_no_gain(void **state)
{
	struct path path = path_new(256 * KIB);
	uint64_t last_us = 0, hold_us = 0;

	(void)state;
	path.app_rate = 0;
	path.rate = 256 * KIB * 100 / path.overhead_percent * 1000000 / path.rtt_us;
	path.burst_rate = 4 * path.rate; /* waits for three quarters of the time, for nothing */
	for (int tries = 0; tries < 10; tries++) {
		struct tcp_buffer_decision decision;

		do
			decision = round_trip(&path);
		while (decision.action == TCP_BUFFER_WAIT);
		assert_int_equal(decision.action, TCP_BUFFER_STEP);
		if (tries)
			assert_true(path.look.time_us - last_us >= hold_us);
		do
			decision = round_trip(&path);
		while (decision.action == TCP_BUFFER_WAIT);
		assert_int_equal(decision.action, TCP_BUFFER_UNDO_QUEUE_FILLED);
		assert_int_equal(path.limit_bytes, 256 * KIB);
		assert_true(decision.hold_s * 1000000ULL >= 2 * hold_us || decision.hold_s == 3600);
		assert_in_range(decision.hold_s, 20, 3600);
		hold_us = decision.hold_s * 1000000ULL;
		last_us = path.look.time_us;
	}
}

/* A flow that is no faster although nothing queues: who knows what holds it back. */
static void test_no_gain_without_a_queue(void **state)
{
	struct path path = path_new(256 * KIB);
	struct tcp_buffer_decision decision;

	(void)state;
	do
		decision = round_trip(&path);
	while (decision.action == TCP_BUFFER_WAIT);
	assert_int_equal(decision.action, TCP_BUFFER_STEP);
	path.app_rate = path.rate_now;
	do
		decision = round_trip(&path);
	while (decision.action == TCP_BUFFER_WAIT);
	assert_int_equal(decision.action, TCP_BUFFER_UNDO_NO_GAIN);
	assert_int_equal(path.limit_bytes, 256 * KIB);
}

/* Ten per cent up and down: hardly ever is that taken for a gain that another step may follow. */
static void test_noise(void **state)
{
	int grown = 0, bad = 0;

	(void)state;
	for (unsigned int seed = 1; seed <= 1000; seed++) {
		struct path path = path_new(256 * KIB);

		path.random = seed * 0x9e3779b97f4a7c15ULL;
		path.noise_percent = 10;
		path.rate = 256 * KIB * 100 / path.overhead_percent * 1000000 / path.rtt_us;
		path.burst_rate = 4 * path.rate;
		run(&path, 200);
		grown += path.limit_bytes > 400 * KIB;
		assert_true(path.limit_bytes <= 1 * MIB);

		path = path_new(256 * KIB);
		path.random = seed * 0x9e3779b97f4a7c15ULL;
		path.noise_percent = 10;
		run(&path, 200);
		bad += path.limit_bytes < enough_bytes(&path) || path.limit_bytes > enough_bytes(&path) * 5 / 2 ||
		       path.changes > 8;
	}
	if (grown > 50 || bad > 50)
		fail_msg("of 1000: %d grew for nothing, %d missed their path", grown, bad);
}

static void test_cap_is_kept(void **state)
{
	struct path path = path_new(256 * KIB);

	(void)state;
	path.cap_bytes = 3 * MIB;
	run(&path, 1000);
	assert_int_equal(path.limit_bytes, 3 * MIB);
	assert_in_range(path.changes, 1, 4);
}

/* A receive buffer that the kernel does not grow proves nothing: the step stands, and no other follows. */
static void test_receiver_that_cannot_use_it(void **state)
{
	struct path path = path_new(256 * KIB);

	(void)state;
	path.receiving = path.stuck = true;
	run(&path, 100);
	assert_int_equal(path.changes, 1);
	assert_true(path.side.judging);

	path.look.flow = 8; /* the next one is given all of it */
	path.look.bytes = 0;
	path.size_bytes = path.limit_bytes;
	path.stuck = false;
	run(&path, 10);
	assert_true(path.changes > 1 && !path.undone);
}

/* --- more than one flow ------------------------------------------------------------------------- */

/* A flow of its own on the path, so many seconds after the last. */
static void next_flow(struct path *path, int round_trips, uint64_t after_us)
{
	path->look.flow++;
	path->look.time_us += after_us;
	path->look.bytes = 0;
	path->window_bytes = 15000;
	path->size_bytes = path->limit_bytes;
	run(path, round_trips);
}

static struct path path_that_is_full(void)
{
	struct path path = path_new(256 * KIB);

	path.rate = 256 * KIB * 100 / path.overhead_percent * 1000000 / path.rtt_us;
	path.burst_rate = 4 * path.rate; /* waits for three quarters of the time, for nothing */
	return path;
}

/* Another flow's look is no verdict on this one's step, as long as this one is there. */
static void test_other_flows(void **state)
{
	struct path path = path_new(256 * KIB), other = path_new(256 * KIB);

	(void)state;
	while (!path.changes)
		round_trip(&path);
	other.side = path.side;
	other.look = path.look;
	other.look.flow = 8;
	other.look.bytes = 0;
	other.limit_bytes = other.size_bytes = path.limit_bytes;
	run(&other, 20);
	assert_true(other.side.judging);
	assert_int_equal(other.side.flow, 7);
	run(&other, 60);
	assert_int_not_equal(other.side.flow, 7);
	assert_true(other.limit_bytes > path.limit_bytes);
}

/* An event that took a longer way than those before it is no sign that time has passed. */
static void test_late_event(void **state)
{
	struct path path = path_new(256 * KIB);
	struct tcp_buffer_look late;

	(void)state;
	while (!path.changes)
		round_trip(&path);
	late = path.look;
	late.time_us -= 10000;
	late.is_limited = true;
	for (int i = 0; i < 4; i++) { /* before it is written, and since; of the judged flow, and of another */
		late.flow = 7 + i % 2;
		assert_int_equal(tcp_buffer_decide(&path.side, &late, i < 2 ? 256 * KIB : path.limit_bytes, ANY_CAP).action,
				 TCP_BUFFER_WAIT);
		assert_true(path.side.judging);
		assert_int_equal(path.side.flow, 7);
	}
}

/* Flows that end before a verdict do not add step to step. */
static void test_short_flows_gain_nothing(void **state)
{
	(void)state;
	for (int round_trips = 10; round_trips <= 20; round_trips++)
		for (uint64_t after_us = 500 * MS; after_us <= 8000 * MS; after_us *= 2) {
			struct path path = path_that_is_full();
			uint64_t end_us = path.look.time_us + 600 * 1000 * MS;

			while (path.look.time_us < end_us) {
				next_flow(&path, round_trips, after_us);
				assert_true(path.limit_bytes <= 1 * MIB); /* one step */
			}
			assert_int_equal(path.limit_bytes, 256 * KIB);
			assert_in_range(path.undone, 1, 5); /* 20 s, 40, 80, ... */
		}
}

/* Where a step is right, the next flows use it, and show what more would bring. */
static void test_short_flows_gain(void **state)
{
	(void)state;
	for (int round_trips = 11; round_trips <= 20; round_trips++) {
		struct path path = path_new(256 * KIB);

		for (int flows = 0; flows < 20; flows++)
			next_flow(&path, round_trips, 3000 * MS);
		assert_true(path.limit_bytes >= 2 * MIB);
		assert_in_range(path.changes, 1, 8);
	}
}

/* One that meets the new limit once, and then gives little by itself, is no judge of it. */
static void test_heir_that_has_little_to_send(void **state)
{
	struct path path = path_new(256 * KIB);

	(void)state;
	while (!path.changes)
		round_trip(&path);
	path.burst_rate = path.rate;
	next_flow(&path, 8, 3000 * MS);
	assert_int_equal(path.side.successors, 1);
	path.side.prev_rate = path.rate; /* no gain in sight */
	path.app_rate = 5000000;
	run(&path, 100);
	assert_int_equal(path.undone, 0);
	path.app_rate = 0;
	run(&path, 10);
	assert_int_equal(path.undone, 1);
}

/* It ended, and those that meet its limit now are on another path: they prove nothing about it. */
static void test_step_that_nobody_judges(void **state)
{
	struct path path = path_that_is_full();

	(void)state;
	while (!path.changes)
		round_trip(&path);
	path.rtt_us *= 4;
	path.rate *= 8;
	next_flow(&path, 20, 3000 * MS);
	assert_int_equal(path.changes, 1);
	next_flow(&path, 10, 20000 * MS);
	assert_int_equal(path.limit_bytes, 256 * KIB);
	assert_int_equal(path.undone, 1);
	next_flow(&path, 100, 0); /* for a path of its length nothing is held */
	assert_fits(&path, "the other path");
}

/* A full queue on one path does not hold a longer one back, and the other way round. */
static void test_hold_is_the_paths_own(void **state)
{
	struct path near = path_that_is_full(), far = path_new(256 * KIB);

	(void)state;
	for (int i = 0; i < 20; i++)
		next_flow(&near, 2000, 0);
	assert_int_equal(near.limit_bytes, 256 * KIB);
	assert_true(near.undone > 4);
	far.rtt_us = 3 * near.rtt_us;
	far.look.time_us = near.look.time_us;
	far.side = near.side;
	next_flow(&far, 100, 0);
	assert_fits(&far, "the longer path");

	near.side = far.side;
	near.look.time_us = far.look.time_us;
	near.side.after_bytes = near.limit_bytes; /* as if it were the far one's, too */
	near.changes = 0;
	run(&near, 1000); /* 40 s of an hour */
	assert_int_equal(near.changes, 0);
}

/* A refused step, a dry run: not undone, and not said again and again. */
static void test_step_that_was_not_made(void **state)
{
	struct path path = path_new(256 * KIB);
	int steps = 0;

	(void)state;
	for (int i = 0; i < 250; i++) { /* 10 s */
		steps += round_trip(&path).action != TCP_BUFFER_WAIT;
		path.limit_bytes = path.size_bytes = 256 * KIB;
	}
	assert_int_equal(steps, 1);
	run(&path, 1000); /* another 40 */
	assert_fits(&path, "written at last");
}

static void test_second_step_that_was_not_made(void **state)
{
	struct path path = path_new(256 * KIB);
	int64_t first_bytes;
	int steps = 0;

	(void)state;
	while (!path.changes)
		round_trip(&path);
	first_bytes = path.limit_bytes;
	for (int i = 0; i < 250; i++) { /* 10 s */
		steps += round_trip(&path).action == TCP_BUFFER_STEP;
		path.limit_bytes = path.size_bytes = first_bytes;
	}
	assert_int_equal(steps, 1);
}

/* Then nothing holds the tuner up, once it is resumed. */
static void test_somebody_elses_value(void **state)
{
	struct path path = path_new(256 * KIB);

	(void)state;
	while (!path.changes)
		round_trip(&path);
	path.limit_bytes = path.size_bytes = 384 * KIB;
	path.changes = 0;
	run(&path, 25); /* one second */
	assert_true(path.changes > 0);
}

static void test_somebody_elses_value_ends_a_hold(void **state)
{
	struct path path = path_that_is_full();

	(void)state;
	while (!path.undone)
		round_trip(&path);
	path.changes = 0;
	run(&path, 25);
	assert_int_equal(path.changes, 0);
	path.limit_bytes = path.size_bytes = 128 * KIB;
	run(&path, 25);
	assert_true(path.changes > 0);
}

/* The value before the step, too, is somebody else's once the step has been seen. */
static void test_step_that_somebody_undoes(void **state)
{
	struct path path = path_new(256 * KIB);

	(void)state;
	while (!path.changes)
		round_trip(&path);
	round_trip(&path);
	path.limit_bytes = path.size_bytes = 256 * KIB;
	path.changes = 0;
	next_flow(&path, 25, 2000 * MS);
	assert_true(path.changes > 0);
}

static void test_step_that_is_made_late(void **state)
{
	struct path path = path_new(256 * KIB);
	int64_t stepped_bytes;

	(void)state;
	while (!path.changes)
		round_trip(&path);
	stepped_bytes = path.limit_bytes;
	path.limit_bytes = path.size_bytes = 256 * KIB;
	run(&path, 10); /* 400 ms */
	assert_int_equal(path.changes, 1);
	path.limit_bytes = path.size_bytes = stepped_bytes;
	run(&path, 100);
	assert_fits(&path, "written late");
}

/* Nothing that an event can hold makes trouble. */
static void test_nonsense(void **state)
{
	static const uint64_t values[] = { 0, 1, INT_MAX, UINT32_MAX, (uint64_t)UINT32_MAX + 1, INT64_MAX, UINT64_MAX };
	uint64_t random = 1;

	(void)state;
	for (int run_number = 0; run_number < 2000; run_number++) {
		struct tcp_buffer_side side = { 0 };
		int64_t current = 256 * KIB;

		for (int i = 0; i < 50; i++) {
			uint64_t pick[10];
			struct tcp_buffer_decision decision;

			for (size_t j = 0; j < ARRAY_SIZE(pick); j++) {
				random = random * 6364136223846793005ULL + 1442695040888963407ULL;
				pick[j] = values[(random >> 33) % ARRAY_SIZE(values)];
			}
			const struct tcp_buffer_look look = {
				.flow = pick[0] & 1, .time_us = pick[1], .bytes = pick[2], .srtt_us = pick[3],
				.min_rtt_us = pick[4], .size_bytes = pick[5], .limit_bytes = pick[6],
				.held_bytes = pick[8], .overhead_percent = pick[7], .looks = pick[8], .limited = pick[9],
				.ticks = pick[9], .busy = pick[6], .sndbuf_limited = pick[8], .rwnd_limited = pick[7], .receiving = i & 1,
			};
			decision = tcp_buffer_decide(&side, &look, current, INT_MAX);
			if (decision.action == TCP_BUFFER_STEP)
				assert_true(decision.bytes > current && decision.bytes <= INT_MAX);
			else if (decision.bytes)
				assert_true(decision.bytes < current);
			if (decision.bytes)
				current = decision.bytes;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cap),
		cmocka_unit_test(test_give_back),
		cmocka_unit_test(test_spell),
		cmocka_unit_test(test_smallest_container),
		cmocka_unit_test(test_next),
		cmocka_unit_test(test_held),
		cmocka_unit_test(test_the_limit_has_moved_since),
		cmocka_unit_test(test_long_path),
		cmocka_unit_test(test_bdp_is_reached_soon),
		cmocka_unit_test(test_nothing_to_do),
		cmocka_unit_test(test_bursts),
		cmocka_unit_test(test_another_turn),
		cmocka_unit_test(test_more_in_the_way_than_the_buffer),
		cmocka_unit_test(test_gain),
		cmocka_unit_test(test_no_gain),
		cmocka_unit_test(test_no_gain_without_a_queue),
		cmocka_unit_test(test_noise),
		cmocka_unit_test(test_cap_is_kept),
		cmocka_unit_test(test_receiver_that_cannot_use_it),
		cmocka_unit_test(test_other_flows),
		cmocka_unit_test(test_late_event),
		cmocka_unit_test(test_short_flows_gain_nothing),
		cmocka_unit_test(test_short_flows_gain),
		cmocka_unit_test(test_heir_that_has_little_to_send),
		cmocka_unit_test(test_step_that_nobody_judges),
		cmocka_unit_test(test_hold_is_the_paths_own),
		cmocka_unit_test(test_step_that_was_not_made),
		cmocka_unit_test(test_second_step_that_was_not_made),
		cmocka_unit_test(test_somebody_elses_value),
		cmocka_unit_test(test_somebody_elses_value_ends_a_hold),
		cmocka_unit_test(test_step_that_somebody_undoes),
		cmocka_unit_test(test_step_that_is_made_late),
		cmocka_unit_test(test_nonsense),
	};

	return cmocka_run_group_tests_name("decide_tcp_buffer", tests, NULL, NULL);
}
