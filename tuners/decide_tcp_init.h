/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The arithmetic of tcp_init: numbers in, numbers out. Windows are in segments, 0: nothing known, the kernel's own. */
#ifndef BPFTUNE_TUNERS_DECIDE_TCP_INIT_H
#define BPFTUNE_TUNERS_DECIDE_TCP_INIT_H

#include <stdbool.h>
#include <stdint.h>

#include "tuners/tcp_init.h"

#define TCP_INIT_CWND_MAX 64		/* the most that is ever given */
#define TCP_INIT_TTL_NS 600000000000ULL /* ten minutes: so long is what was learnt, good or bad, believed */

struct tcp_init_windows {
	uint32_t cwnd, rwnd;
};

/* What is known of a service on a path. Times are of CLOCK_MONOTONIC, 0: never. */
struct tcp_init_known {
	struct tcp_init_windows windows;
	uint64_t taught_ns, lost_ns;
	uint32_t connections; /* that taught it */
	uint32_t zero;
};

_Static_assert(sizeof(struct tcp_init_known) == 32, "no padding: it is kept as bytes");

/* A connection that ended without loss. */
struct tcp_init_connection {
	uint32_t cwnd, data_segs_out;
	uint32_t srtt_us, min_rtt_us;
	uint64_t bytes_received;
	uint32_t rcv_space_bytes; /* the most that the application has read in a round trip */
	uint32_t mss;
};

/*
 * What this connection shows the path to carry at once: half of the congestion window that it reached, because in slow
 * start the kernel raises the window to at most twice of what is in flight (net/ipv4/tcp.h: tcp_is_cwnd_limited()).
 * Not more than TCP_INIT_CWND_MAX. Nothing, if it was short, or the path is, or if it queued for as long as the path
 * takes.
 */
struct tcp_init_windows tcp_init_sample(const struct tcp_init_connection *connection);

/* True while a loss keeps the path at the kernel's own windows. */
bool tcp_init_is_lossy(const struct tcp_init_known *known, uint64_t now_ns);

/* True while any of it is believed, good or bad. */
bool tcp_init_is_recent(const struct tcp_init_known *known, uint64_t now_ns);

/*
 * What is known with this sample: halfway up to it, or all of it if nothing (or nothing recent) was. Never down: a
 * connection that needed less says nothing about the path. No change for TCP_INIT_TTL_NS after a loss.
 */
struct tcp_init_known tcp_init_learn(struct tcp_init_known known, struct tcp_init_windows sample, uint64_t now_ns);

/* What is known after a loss: nothing. */
struct tcp_init_known tcp_init_forget(uint64_t now_ns);

/* What new connections get, in steps of four segments, so that it does not change with each. */
struct tcp_init_windows tcp_init_decide(const struct tcp_init_known *known, uint64_t now_ns);

/*
 * Until when that holds, if the last decision was the same (`same`) and holds until `last_ns`: it is prolonged only
 * when half of its time is over.
 */
uint64_t tcp_init_valid_until(uint64_t last_ns, bool same, uint64_t now_ns);

#endif
