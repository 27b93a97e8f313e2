/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The arithmetic of senders that are older than the BPF programs: numbers in, numbers out. */
#ifndef BPFTUNE_TUNERS_DECIDE_TCP_OLDER_H
#define BPFTUNE_TUNERS_DECIDE_TCP_OLDER_H

#include <stdbool.h>
#include <stdint.h>

/* A sender at one moment, as inet_diag shows it. */
struct tcp_older_look {
	uint64_t time_us;
	uint64_t sndbuf_limited_us;	   /* tcpi_sndbuf_limited */
	uint32_t size_bytes, queued_bytes; /* sk_sndbuf, and what of it is taken */
	uint32_t notsent_bytes, mss_bytes;
	uint32_t unacked, cwnd; /* segments */
};

/*
 * Its send buffer limited it between these looks: for a tenth of the time by the kernel's account; or it is filled now,
 * while all that is in it is sent and the congestion window has room. (An application that writes all that fits, and
 * then waits, has no such account: bpf/sender.bpf.h.)
 */
bool tcp_older_is_limited(const struct tcp_older_look *before, const struct tcp_older_look *now);

/* How long to wait for the next walk of the socket table, after so many that led to nothing and the time of the last.
 */
uint64_t tcp_older_pause_ns(unsigned int in_vain, uint64_t walk_ns);

#endif
