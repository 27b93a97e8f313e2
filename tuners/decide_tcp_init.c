// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/decide_tcp_init.h"

#define STEP 4
#define STARTS_MAX 64 /* what is counted of older starts is halved beyond it */

static uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static uint32_t sample_cwnd(const struct tcp_init_connection *connection)
{
	uint32_t reached = connection->cwnd / 2;

	if (connection->data_segs_out <= 2 * TCP_INIT_CWND || reached <= TCP_INIT_CWND)
		return 0;
	if (connection->retransmitted > connection->data_segs_out / TCP_INIT_LOSSY_SHARE)
		return 0;
	return min_u32(reached, TCP_INIT_CWND_MAX);
}

static uint32_t sample_rwnd(const struct tcp_init_connection *connection)
{
	uint32_t space = connection->rcv_space_bytes;

	if (!connection->mss || space <= TCP_INIT_RWND_BYTES || connection->bytes_received < space)
		return 0;
	return min_u32(space / connection->mss, TCP_INIT_CWND_MAX);
}

struct tcp_init_sample tcp_init_sample_of(const struct tcp_init_connection *connection)
{
	struct tcp_init_sample sample = { .mss = connection->mss, .rtt_us = connection->min_rtt_us };

	if (connection->min_rtt_us < TCP_INIT_MIN_RTT_US)
		return sample;
	sample.rwnd = sample_rwnd(connection);
	if (connection->srtt_us / 2 <= connection->min_rtt_us)
		sample.cwnd = sample_cwnd(connection);
	return sample;
}

bool tcp_init_is_recent(const struct tcp_init_known *known, uint64_t now_ns)
{
	return known->taught_ns && (now_ns <= known->taught_ns || now_ns - known->taught_ns < TCP_INIT_TTL_NS);
}

static uint32_t halfway_up(uint32_t known, uint32_t sample)
{
	if (sample <= known)
		return known;
	return known ? known + (sample - known + 1) / 2 : sample;
}

struct tcp_init_known tcp_init_learn(struct tcp_init_known known, struct tcp_init_sample sample, uint64_t now_ns)
{
	if (!sample.cwnd && !sample.rwnd)
		return known;
	if (!tcp_init_is_recent(&known, now_ns) || !tcp_init_is_same_path(known.rtt_us, sample.rtt_us))
		known = (struct tcp_init_known){ .rtt_us = sample.rtt_us };
	if (sample.cwnd)
		known.senders++;
	if (sample.rwnd) {
		known.receivers++;
		known.mss = sample.mss;
	}
	known.cwnd = halfway_up(known.cwnd, sample.cwnd);
	known.rwnd = halfway_up(known.rwnd, sample.rwnd);
	known.taught_ns = now_ns;
	return known;
}

struct tcp_init_known tcp_init_unlearn(struct tcp_init_known known)
{
	known.cwnd = known.senders = 0;
	return known;
}

/* What was counted since. Less than half of before: the programs count anew. A little less: an older event came late.
 */
static struct tcp_init_counted counted_since(const struct tcp_init_counted *last, const struct tcp_init_counted *now)
{
	if (now->starts < last->starts / 2)
		return *now;
	return (struct tcp_init_counted){
		.starts = now->starts > last->starts ? now->starts - last->starts : 0,
		.lost = now->lost > last->lost ? now->lost - last->lost : 0,
		.jumps_lost = now->jumps_lost > last->jumps_lost ? now->jumps_lost - last->jumps_lost : 0,
	};
}

static bool is_lossy(const struct tcp_init_path *path)
{
	return path->lost > 1 && path->lost > path->starts / TCP_INIT_LOSSY_SHARE;
}

struct tcp_init_path tcp_init_count(struct tcp_init_path path, const struct tcp_init_counted *now, uint64_t now_ns,
				    uint32_t *ret_jumps_lost)
{
	struct tcp_init_counted since = counted_since(&path.last, now);

	*ret_jumps_lost = since.jumps_lost;
	if (since.starts)
		path.last = *now;
	path.starts += since.starts;
	path.lost += since.lost;
	if (is_lossy(&path)) {
		path.held_until_ns = now_ns + TCP_INIT_TTL_NS;
		path.starts = path.lost = 0;
	}
	for (; path.starts > STARTS_MAX; path.starts /= 2)
		path.lost /= 2;
	return path;
}

bool tcp_init_is_held(const struct tcp_init_path *path, uint64_t now_ns)
{
	return now_ns < path->held_until_ns;
}

/* Not what a SYN can offer anyway. */
static void decide_rwnd(const struct tcp_init_known *known, struct tcp_init_windows *decided)
{
	uint32_t rwnd = min_u32(known->rwnd, TCP_INIT_CWND_MAX) / STEP * STEP;

	if (known->receivers < TCP_INIT_PAST || rwnd * known->mss <= TCP_INIT_RWND_BYTES)
		return;
	decided->rwnd = rwnd;
	decided->rwnd_bytes = rwnd * known->mss;
}

struct tcp_init_windows tcp_init_decide(const struct tcp_init_known *known, uint64_t now_ns)
{
	uint32_t cwnd = min_u32(known->cwnd, TCP_INIT_CWND_MAX) / STEP * STEP;
	struct tcp_init_windows decided = { 0 };

	if (!tcp_init_is_recent(known, now_ns))
		return decided;
	if (known->senders >= TCP_INIT_PAST && cwnd > TCP_INIT_CWND)
		decided.cwnd = cwnd;
	decide_rwnd(known, &decided);
	return decided;
}

uint64_t tcp_init_valid_until(uint64_t last_ns, bool same, uint64_t now_ns)
{
	if (same && last_ns > now_ns && last_ns - now_ns > TCP_INIT_TTL_NS / 2)
		return last_ns;
	return now_ns + TCP_INIT_TTL_NS;
}
