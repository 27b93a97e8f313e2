/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What looks at a flow say: internal to decide_tcp_buffer*.c. Numbers in, numbers out. */
#ifndef BPFTUNE_TUNERS_DECIDE_TCP_BUFFER_MEASURE_H
#define BPFTUNE_TUNERS_DECIDE_TCP_BUFFER_MEASURE_H

#include "tuners/decide_tcp_buffer.h"
#include "tuners/scale.h"

#define USEC_PER_SEC 1000000ULL
#define LIMITED_MIN_PERCENT 50 /* of the round trips */
#define FLOW_GONE_US 2000000
#define SOJOURN_MAX 2 /* times the shortest round trip: half of it is waiting in a queue */

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The host's worker gets the events of containers in its namespace late: time may seem to go back. */
static inline uint64_t since(uint64_t then_us, uint64_t now_us)
{
	return now_us > then_us ? now_us - then_us : 0;
}

/* How long a measurement is at least; how long one is that tells small differences; how long a step waits for its gain. */
uint64_t look_shortest_us(const struct tcp_buffer_look *look);
uint64_t look_steady_us(const struct tcp_buffer_look *look);
uint64_t look_patience_us(const struct tcp_buffer_look *look);

/* The time between two looks at a flow in which it had data under way, and its rate in that time (bytes a second). */
uint64_t look_busy_us(const struct tcp_buffer_look *from, const struct tcp_buffer_look *to);
uint64_t look_rate(const struct tcp_buffer_look *from, const struct tcp_buffer_look *to);

bool look_is_same_flow(const struct tcp_buffer_look *look, const struct tcp_buffer_look *from);

/* The same flow, and it was not silent in between. */
bool look_follows(const struct tcp_buffer_look *look, const struct tcp_buffer_look *from);

/* Of the round trips between them: its buffer limited it. Of the time: it waited for room in its send buffer. */
uint32_t look_limited_percent(const struct tcp_buffer_look *from, const struct tcp_buffer_look *to);
uint32_t look_waited_percent(const struct tcp_buffer_look *from, const struct tcp_buffer_look *to);

/* It waits for its peer's window at least half as long as for room. */
bool look_peer_is_in_the_way(const struct tcp_buffer_look *from, const struct tcp_buffer_look *to);

uint32_t look_shortest_rtt_us(const struct tcp_buffer_look *look);

/* The memory that the data of a shortest round trip takes: the bandwidth-delay product, truesize counted. */
uint64_t look_in_path_bytes(const struct tcp_buffer_look *look, uint64_t rate);

/* The machine, or the path, stood still before this look. */
bool side_stood_still(const struct tcp_buffer_side *side, const struct tcp_buffer_look *look);

/* The measurement begins with this look. */
void side_measure_from(struct tcp_buffer_side *side, const struct tcp_buffer_look *look);

#endif
