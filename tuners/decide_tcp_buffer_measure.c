// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/decide_tcp_buffer_measure.h"

#define RWND_MIN_PERCENT 10  /* of the busy time */
#define WINDOW_ROUND_TRIPS 2 /* the shortest measurement */
#define STEADY_ROUND_TRIPS 4 /* one that small differences can be told from */
#define WINDOW_MIN_US 50000
#define STEADY_MIN_US 200000
#define PATIENCE_ROUND_TRIPS 12 /* a congestion window needs time to use a larger buffer */
#define PATIENCE_MIN_US 1000000
#define CLOSELY_US 5000000 /* events come 40 times a second for so long after a step, and twice a second later: */
#define GAP_CLOSE_US 300000
#define GAP_US 800000
#define GAP_ROUND_TRIPS 4

static uint64_t round_trips_us(const struct tcp_buffer_look *look, unsigned int n, uint64_t min_us)
{
	return max_u64((uint64_t)n * look->srtt_us, min_us);
}

uint64_t look_shortest_us(const struct tcp_buffer_look *look)
{
	return round_trips_us(look, WINDOW_ROUND_TRIPS, WINDOW_MIN_US);
}

uint64_t look_steady_us(const struct tcp_buffer_look *look)
{
	return round_trips_us(look, STEADY_ROUND_TRIPS, STEADY_MIN_US);
}

uint64_t look_patience_us(const struct tcp_buffer_look *look)
{
	return round_trips_us(look, PATIENCE_ROUND_TRIPS, PATIENCE_MIN_US);
}

/* The pauses of an application say nothing about its buffers: a flow's time is that with data under way. */
uint64_t look_busy_us(const struct tcp_buffer_look *from, const struct tcp_buffer_look *to)
{
	uint64_t time_us = since(from->time_us, to->time_us);
	uint32_t ticks = to->ticks - from->ticks;

	return ticks ? scale(time_us, min_u64(to->busy - from->busy, ticks), ticks) : time_us;
}

bool look_is_same_flow(const struct tcp_buffer_look *look, const struct tcp_buffer_look *from)
{
	return look->flow == from->flow && look->turn == from->turn && look->time_us >= from->time_us &&
	       look->bytes >= from->bytes;
}

bool look_follows(const struct tcp_buffer_look *look, const struct tcp_buffer_look *from)
{
	return look_is_same_flow(look, from) &&
	       look_busy_us(from, look) <= max_u64(FLOW_GONE_US, round_trips_us(look, PATIENCE_ROUND_TRIPS, 0));
}

uint64_t look_rate(const struct tcp_buffer_look *from, const struct tcp_buffer_look *to)
{
	return scale(to->bytes - from->bytes, USEC_PER_SEC, look_busy_us(from, to));
}

static uint32_t percent_between(uint32_t part, uint32_t whole)
{
	return whole ? min_u64(100ULL * part / whole, 100) : 0;
}

uint32_t look_limited_percent(const struct tcp_buffer_look *from, const struct tcp_buffer_look *to)
{
	return percent_between(to->limited - from->limited, to->looks - from->looks);
}

uint32_t look_waited_percent(const struct tcp_buffer_look *from, const struct tcp_buffer_look *to)
{
	return percent_between(to->sndbuf_limited - from->sndbuf_limited, to->busy - from->busy);
}

bool look_peer_is_in_the_way(const struct tcp_buffer_look *from, const struct tcp_buffer_look *to)
{
	uint32_t rwnd_percent = percent_between(to->rwnd_limited - from->rwnd_limited, to->busy - from->busy);

	return rwnd_percent >= RWND_MIN_PERCENT && rwnd_percent > look_waited_percent(from, to) / 2;
}

/* A flow with data under way is looked at each round trip. Where it was not, the machine or the path stood still. */
bool side_stood_still(const struct tcp_buffer_side *side, const struct tcp_buffer_look *look)
{
	bool closely = side->judging && since(side->stepped.time_us, side->last.time_us) < CLOSELY_US;

	return look_is_same_flow(look, &side->last) &&
	       look_busy_us(&side->last, look) >
		       round_trips_us(&side->last, GAP_ROUND_TRIPS, 0) + (closely ? GAP_CLOSE_US : GAP_US);
}

void side_measure_from(struct tcp_buffer_side *side, const struct tcp_buffer_look *look)
{
	side->from = *look;
	side->measuring = true;
}

uint32_t look_shortest_rtt_us(const struct tcp_buffer_look *look)
{
	return look->min_rtt_us ? look->min_rtt_us : look->srtt_us;
}

/* The memory that the data of a shortest round trip takes: the bandwidth-delay product, truesize counted. */
uint64_t look_in_path_bytes(const struct tcp_buffer_look *look, uint64_t rate)
{
	uint64_t bdp_bytes = scale(rate, look_shortest_rtt_us(look), USEC_PER_SEC);

	return scale(bdp_bytes, look->overhead_percent ? look->overhead_percent : 100, 100);
}
