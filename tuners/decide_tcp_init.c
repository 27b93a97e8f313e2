// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/decide_tcp_init.h"

#define STEP 4

static uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static uint32_t sample_cwnd(const struct tcp_init_connection *connection)
{
	uint32_t reached = connection->cwnd / 2;

	if (connection->data_segs_out <= 2 * TCP_INIT_CWND || reached <= TCP_INIT_CWND)
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

struct tcp_init_windows tcp_init_sample(const struct tcp_init_connection *connection)
{
	struct tcp_init_windows sample = { 0 };

	if (connection->min_rtt_us < TCP_INIT_MIN_RTT_US)
		return sample;
	sample.rwnd = sample_rwnd(connection);
	if (connection->srtt_us / 2 <= connection->min_rtt_us)
		sample.cwnd = sample_cwnd(connection);
	return sample;
}

static bool is_recent(uint64_t then_ns, uint64_t now_ns)
{
	return then_ns && (now_ns <= then_ns || now_ns - then_ns < TCP_INIT_TTL_NS);
}

bool tcp_init_is_lossy(const struct tcp_init_known *known, uint64_t now_ns)
{
	return is_recent(known->lost_ns, now_ns);
}

bool tcp_init_is_recent(const struct tcp_init_known *known, uint64_t now_ns)
{
	return is_recent(known->taught_ns, now_ns) || is_recent(known->lost_ns, now_ns);
}

static uint32_t halfway_up(uint32_t known, uint32_t sample)
{
	if (sample <= known)
		return known;
	return known ? known + (sample - known + 1) / 2 : sample;
}

struct tcp_init_known tcp_init_learn(struct tcp_init_known known, struct tcp_init_windows sample, uint64_t now_ns)
{
	if (tcp_init_is_lossy(&known, now_ns) || (!sample.cwnd && !sample.rwnd))
		return known;
	if (!is_recent(known.taught_ns, now_ns))
		known = (struct tcp_init_known){ 0 };
	known.windows.cwnd = halfway_up(known.windows.cwnd, sample.cwnd);
	known.windows.rwnd = halfway_up(known.windows.rwnd, sample.rwnd);
	known.taught_ns = now_ns;
	known.connections++;
	return known;
}

struct tcp_init_known tcp_init_forget(uint64_t now_ns)
{
	return (struct tcp_init_known){ .lost_ns = now_ns };
}

struct tcp_init_windows tcp_init_decide(const struct tcp_init_known *known, uint64_t now_ns)
{
	struct tcp_init_windows decided = { 0 };

	if (tcp_init_is_lossy(known, now_ns) || !is_recent(known->taught_ns, now_ns))
		return decided;
	if (known->windows.cwnd > TCP_INIT_CWND)
		decided.cwnd = min_u32(known->windows.cwnd, TCP_INIT_CWND_MAX) / STEP * STEP;
	if (decided.cwnd <= TCP_INIT_CWND)
		decided.cwnd = 0;
	decided.rwnd = min_u32(known->windows.rwnd, TCP_INIT_CWND_MAX) / STEP * STEP;
	return decided;
}

uint64_t tcp_init_valid_until(uint64_t last_ns, bool same, uint64_t now_ns)
{
	if (same && last_ns > now_ns && last_ns - now_ns > TCP_INIT_TTL_NS / 2)
		return last_ns;
	return now_ns + TCP_INIT_TTL_NS;
}
