/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The arithmetic of tcp_init, after RFC 9959 (Careful Resume): numbers in, numbers out. Windows are in segments, 0:
 * nothing known, the kernel's own. Times are of CLOCK_MONOTONIC, 0: never.
 */
#ifndef BPFTUNE_TUNERS_DECIDE_TCP_INIT_H
#define BPFTUNE_TUNERS_DECIDE_TCP_INIT_H

#include <stdbool.h>
#include <stdint.h>

#include "tuners/tcp_init.h"

#define TCP_INIT_CWND_MAX 64	/* the most that is ever given */
#define TCP_INIT_PAST 3		/* so many connections must have shown what the path carries */
#define TCP_INIT_LOSSY_SHARE 16 /* a path is lossy if more than one start in so many loses of its first window */
#define TCP_INIT_TTL_NS 600000000000ULL /* ten minutes: so long is what was learnt, good or bad, believed */

struct tcp_init_windows {
	uint32_t cwnd, rwnd;
	uint32_t rwnd_bytes; /* what `rwnd` segments are */
};

/* What one connection shows. */
struct tcp_init_sample {
	uint32_t cwnd, rwnd;
	uint32_t mss;	 /* of `rwnd` */
	uint32_t rtt_us; /* its shortest round trip */
};

/* What is known of a service on a path. */
struct tcp_init_known {
	uint64_t taught_ns;
	uint32_t cwnd, rwnd, mss, rtt_us;
	uint32_t senders, receivers; /* connections that taught `cwnd` and `rwnd` */
};

_Static_assert(sizeof(struct tcp_init_known) == 32, "no padding: it is kept as bytes");

/* What is known of a path, whatever the service: how many of its connections lost segments of their first window. */
struct tcp_init_path {
	uint64_t held_until_ns;	      /* until then its connections start as the kernel has it */
	uint32_t starts, lost;	      /* the more recent ones */
	struct tcp_init_counted last; /* what was counted when the last event came */
	uint32_t zero;
};

_Static_assert(sizeof(struct tcp_init_path) == 32, "no padding: it is kept as bytes");

/* A connection that ended. */
struct tcp_init_connection {
	uint32_t cwnd, data_segs_out, retransmitted;
	uint32_t srtt_us, min_rtt_us;
	uint64_t bytes_received;
	uint32_t rcv_space_bytes; /* the most that the application has read in a round trip */
	uint32_t mss;
};

/*
 * What this connection shows the path to carry at once: half of the congestion window that it reached, because in slow
 * start the kernel raises the window to at most twice of what is in flight (net/ipv4/tcp.h: tcp_is_cwnd_limited()).
 * Not more than TCP_INIT_CWND_MAX. Nothing, if it was short, or the path is, or if it queued for as long as the path
 * takes, or sent more than one segment in TCP_INIT_LOSSY_SHARE again.
 */
struct tcp_init_sample tcp_init_sample_of(const struct tcp_init_connection *connection);

/*
 * What is known with this sample: halfway up to it, or all of it if nothing (nothing recent, nothing of this path) was.
 * Never down: a connection that needed less says nothing about the path.
 */
struct tcp_init_known tcp_init_learn(struct tcp_init_known known, struct tcp_init_sample sample, uint64_t now_ns);

/* After a connection lost segments of the window that it was given: TCP_INIT_PAST others must show a window again. */
struct tcp_init_known tcp_init_unlearn(struct tcp_init_known known);

/* True while any of it is believed. */
bool tcp_init_is_recent(const struct tcp_init_known *known, uint64_t now_ns);

/*
 * What is known of the path now that so many starts and losses were counted since the programs were loaded. If more
 * than one and more than one in TCP_INIT_LOSSY_SHARE lost, the path is held off for TCP_INIT_TTL_NS, and the count
 * begins anew. `ret_jumps_lost`: of the starts since the last event, so many lost segments of a window that they had
 * been given.
 */
struct tcp_init_path tcp_init_count(struct tcp_init_path path, const struct tcp_init_counted *now, uint64_t now_ns,
				    uint32_t *ret_jumps_lost);

bool tcp_init_is_held(const struct tcp_init_path *path, uint64_t now_ns);

/* What new connections get, in steps of four segments, so that it does not change with each. */
struct tcp_init_windows tcp_init_decide(const struct tcp_init_known *known, uint64_t now_ns);

/*
 * Until when that holds, if the last decision was the same (`same`) and holds until `last_ns`: it is prolonged only
 * when half of its time is over.
 */
uint64_t tcp_init_valid_until(uint64_t last_ns, bool same, uint64_t now_ns);

#endif
