/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What tcp_cong's BPF programs tell its handlers, and what these decide for the programs. */
#ifndef BPFTUNE_TUNERS_TCP_CONG_H
#define BPFTUNE_TUNERS_TCP_CONG_H

#include "ipc/event.h"
#include "tuners/remote.h"

#define TCP_CONG_NAME_BYTES 16 /* TCP_CA_NAME_MAX */

/* The kernel's own defaults, and what copes with loss. A namespace with another default is left alone. */
enum tcp_cong_algorithm {
	TCP_CONG_RENO,
	TCP_CONG_CUBIC,
	TCP_CONG_BBR,
	TCP_CONG_N
};

/* Loss without a queue matters from here on; a few segments that got lost are chance. */
#define TCP_CONG_LOSS_PERMILLE 5
#define TCP_CONG_SEGS_MIN 100
#define TCP_CONG_RETRANS_MIN 8
#define TCP_CONG_RTT_MIN_US 2000 /* nearer hosts lose segments to each other's bursts, not to their path */

/* A round trip is as short as the shortest: no queue to speak of. A buffer of a quarter of the path makes it longer. */
#define TCP_CONG_IS_NEAR(rtt_us, min_rtt_us) ((rtt_us) <= (min_rtt_us) + (min_rtt_us) / 8)

enum tcp_cong_scenario {
	TCP_CONG_FLOW,
};

/* What one connection has seen under one algorithm since it was last told of. */
struct tcp_cong_seen {
	struct remote remote;
	char algorithm[TCP_CONG_NAME_BYTES];
	__u64 acked_bytes;
	__u64 busy_us;			 /* with data to send or under way */
	__u32 segs;			 /* with data; retransmissions included */
	__u32 retrans;			 /* without those that the receiver had no need of */
	__u32 clear_segs, clear_retrans; /* of both: while nothing queued on the path */
	__u32 min_rtt_us;
	__u32 srtt_us;
	__u8 app_limited_percent; /* of the round trips */
	__u8 decided;		  /* there is a verdict about this remote */
	/* Of all remotes in its network that had this algorithm, since this was last told; 0: too little, or too few
	 * remotes. */
	__u16 network_segs, network_retrans, network_clear_segs, network_clear_retrans;
};

_Static_assert(sizeof(struct tcp_cong_seen) <= BPFTUNE_EVENT_PAYLOAD_BYTES, "fits an event");

/* A value of `verdicts`. Its key is a struct remote and zeros: of a host, which comes first, or of its network. */
struct tcp_cong_verdict {
	__u64 valid_until_ns; /* CLOCK_MONOTONIC */
	__u64 tried_ns;	      /* the programs': when a connection became the latest trial */
	__u32 trial_kbit;     /* a trial that gives less ends; 0: none does for its rate */
	__u8 is_bbr;	      /* new connections get bbr, and a trial the default; else the other way round */
	__u8 one_in;	      /* so many new connections one is a trial; 1: one a second; 0: none */
	__u8 zero[2];
};

_Static_assert(sizeof(struct tcp_cong_verdict) == sizeof(((struct bpftune_verdict *)0)->value), "fits a verdict");

#endif
