/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A path with a flow on it, for tcp_buffer's measure and its trial: as much of it as matters. */
#ifndef BPFTUNE_TESTS_UNIT_FAKE_PATH_H
#define BPFTUNE_TESTS_UNIT_FAKE_PATH_H

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "tuners/decide_tcp_buffer.h"
#include "worker/trial.h"

#define KIB 1024LL
#define MIB (1024 * KIB)
#define MS 1000ULL
#define ANY_CAP INT_MAX

/*
 * One flow, looked at once a round trip. What is in flight is bounded by the limit, the congestion window, which
 * doubles while it is used, the peer's window, and what the application gives; above what the path holds it queues.
 */
struct path {
	uint64_t rate;		       /* bytes a second that the bottleneck takes */
	uint64_t burst_rate;	       /* at which the sender fills its buffer; 0: the bottleneck's */
	uint64_t rwnd_bytes, app_rate; /* 0: unlimited */
	uint32_t rtt_us, overhead_percent, noise_percent;
	bool receiving, stuck; /* the receiver's buffer cannot use a raised limit */
	bool blind;	       /* the kernel does not account the sender's waiting */
	bool polls; /* the sender's application writes when poll(2) says so, with a third of the buffer free */
	uint32_t peer_percent; /* of the time: it waits for the peer's window as well as for room */
	uint64_t burst_bytes;  /* the application writes so much at once, pauses, and begins anew */
	uint32_t pause_us;
	uint32_t pauses_of_5; /* so many of five round trips end before the buffer is full, as the application pauses */

	int64_t limit_bytes, size_bytes;
	uint64_t window_bytes;
	uint64_t random, burst_end;
	struct tcp_buffer_look look;
	struct tcp_buffer_side side;
	struct trial trial;
	bool is_pending; /* a change of the limit has been proposed, and is not answered yet */
	int64_t cap_bytes;
	int changes, undone;
	uint32_t round_trips;
	uint64_t rate_now;
};

static inline struct path path_new(int64_t limit_bytes)
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
		.look = { .flow = 7,
			  .time_us = 1000000,
			  .looks = UINT32_MAX - 20,
			  .limited = UINT32_MAX - 10,
			  .ticks = UINT32_MAX - 30,
			  .busy = UINT32_MAX - 20,
			  .sndbuf_limited = UINT32_MAX - 15,
			  .rwnd_limited = UINT32_MAX - 5 },
	};
}

/* 100 plus or minus noise_percent, evenly. */
static inline uint64_t noise(struct path *path)
{
	path->random = path->random * 6364136223846793005ULL + 1442695040888963407ULL;
	return 100 - path->noise_percent + (path->random >> 33) % (2 * path->noise_percent + 1);
}

/* A congestion window begins anew after it: net.ipv4.tcp_slow_start_after_idle. */
static inline void pause_if_it_is_written(struct path *path)
{
	if (path->look.bytes < path->burst_end)
		return;
	path->burst_end = path->look.bytes + path->burst_bytes;
	path->look.time_us += path->pause_us;
	path->look.ticks += 100ULL * path->pause_us / (path->look.srtt_us ? path->look.srtt_us : path->rtt_us);
	path->window_bytes = 15000;
}

/* What the frame and the tuner do with a look; what is proposed is written. */
static inline struct tcp_buffer_decision look_at(struct path *path, const struct tcp_buffer_look *look)
{
	static const struct trial_rule rule = { .n_ints = 3, .value = 2, .is_measured = true };
	const struct trial_look at = { .now_ns = look->time_us * 1000, .value = { 4096, 16384, path->limit_bytes } };
	struct tcp_buffer_limit limit = { .bytes = path->limit_bytes, .cap_bytes = path->cap_bytes };
	struct tcp_buffer_decision decision = { .action = TCP_BUFFER_WAIT };
	int64_t to[TRIAL_INTS_MAX];
	enum trial_move move;

	if (path->is_pending)
		return decision;
	trial_settle(&path->trial, &rule, at.now_ns, at.value);
	limit.before_bytes = trial_before(&path->trial) ? trial_before(&path->trial)[2] : 0;
	limit.first_bytes = trial_first(&path->trial) ? trial_first(&path->trial)[2] : 0;
	limit.is_foreign = !path->trial.is_known;
	decision = tcp_buffer_decide(&path->side, look, &limit);
	if (decision.bytes) {
		move = trial_go_to(&path->trial, &rule, &at, decision.bytes, to);
		assert_int_equal(move, decision.action == TCP_BUFFER_STEP ? TRIAL_STEP : TRIAL_TAKE_BACK);
		trial_propose(&path->trial, &rule, move, &at, to);
		path->limit_bytes = decision.bytes;
	} else if (decision.action != TCP_BUFFER_WAIT) {
		trial_keep(&path->trial);
	}
	return decision;
}

static inline struct tcp_buffer_decision round_trip(struct path *path)
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

	decision = look_at(path, look);
	if (decision.bytes) {
		path->size_bytes = path->stuck ? path->size_bytes : decision.bytes;
		path->changes++;
		path->undone += decision.action != TCP_BUFFER_STEP;
	}
	return decision;
}

static inline void run(struct path *path, int round_trips)
{
	while (round_trips--)
		round_trip(path);
}

/* The smallest limit that carries 0.95 of what the path takes. */
static inline int64_t enough_bytes(const struct path *path)
{
	return path->rate * 95 / 100 * path->rtt_us / 1000000 * path->overhead_percent / 100 * (path->polls ? 3 : 2) /
	       2;
}

static inline void assert_fits(const struct path *path, const char *what)
{
	int64_t enough = enough_bytes(path);
	int most = path->polls ? 10 : 8; /* a limit that is two thirds full calls for little more than twice as much */

	if (path->limit_bytes < enough || path->limit_bytes > enough * 5 / 2 || path->changes > most)
		fail_msg("%s: %lld bytes after %d changes, %lld are enough", what, (long long)path->limit_bytes,
			 path->changes, (long long)enough);
}

#endif
