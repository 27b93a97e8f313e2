// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/decide_tcp_older.h"

#define LIMITED_MIN_PERCENT 10
#define PAUSE_MIN_NS 5000000000ULL
#define PAUSE_MAX_NS 640000000000ULL
#define WALK_SHARE 200 /* of its time at most a worker walks: giving back may take a hundredth beside it */

static bool is_filled(const struct tcp_older_look *look)
{
	/* poll(2) wakes a writer when a third is free: net/core/stream.c: sk_stream_write_space() */
	return look->queued_bytes >= look->size_bytes / 8 * 5 && look->notsent_bytes < look->mss_bytes &&
	       look->unacked < look->cwnd;
}

bool tcp_older_is_limited(const struct tcp_older_look *before, const struct tcp_older_look *now)
{
	uint64_t limited_us = now->sndbuf_limited_us - before->sndbuf_limited_us;

	return is_filled(now) ||
	       (limited_us && 100 * limited_us >= LIMITED_MIN_PERCENT * (now->time_us - before->time_us));
}

uint64_t tcp_older_pause_ns(unsigned int in_vain, uint64_t walk_ns)
{
	uint64_t pause_ns = PAUSE_MIN_NS;

	while (in_vain-- && pause_ns < PAUSE_MAX_NS)
		pause_ns *= 2;
	return pause_ns > WALK_SHARE * walk_ns ? pause_ns : WALK_SHARE * walk_ns;
}
