/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What tcp_cong's BPF programs tell its handlers, and what these decide for the programs. */
#ifndef BPFTUNE_TUNERS_TCP_CONG_H
#define BPFTUNE_TUNERS_TCP_CONG_H

#include "ipc/event.h"
#include "tuners/remote.h"

#define TCP_CONG_NAME_BYTES 16 /* TCP_CA_NAME_MAX */

/*
 * The algorithms that may be chosen: the kernel's own for any path. Not dctcp, which needs its network's help, nor lp,
 * which steps back behind others, nor nv, which is for data centres, nor cdg, which BPF cannot set.
 */
enum tcp_cong_algorithm {
	TCP_CONG_RENO,
	TCP_CONG_CUBIC,
	TCP_CONG_BBR,
	TCP_CONG_BIC,
	TCP_CONG_HIGHSPEED,
	TCP_CONG_HTCP,
	TCP_CONG_HYBLA,
	TCP_CONG_ILLINOIS,
	TCP_CONG_SCALABLE,
	TCP_CONG_VEGAS,
	TCP_CONG_VENO,
	TCP_CONG_WESTWOOD,
	TCP_CONG_YEAH,
	TCP_CONG_N
};

/* Loss matters from here on; a few segments that got lost are chance. */
#define TCP_CONG_LOSS_PERMILLE 15
#define TCP_CONG_SEGS_MIN 100
#define TCP_CONG_RETRANS_MIN 8

enum tcp_cong_scenario {
	TCP_CONG_FLOW,
};

/* What one connection has seen under one algorithm since it was last told of. */
struct tcp_cong_seen {
	struct remote remote;
	char algorithm[TCP_CONG_NAME_BYTES];
	__u64 acked_bytes;
	__u64 busy_us; /* with data to send or under way */
	__u32 segs;    /* with data; retransmissions included */
	__u32 retrans; /* without those that the receiver had no need of */
	__u32 min_rtt_us;
	__u32 srtt_us;
	__u8 app_limited_percent; /* of the round trips */
	__u8 decided;		  /* there is a verdict about this remote */
	/* Of all remotes in its network that had this algorithm, since this was last told; 0: too little, or too few remotes. */
	__u16 network_segs, network_retrans;
};

_Static_assert(sizeof(struct tcp_cong_seen) <= BPFTUNE_EVENT_PAYLOAD_BYTES, "fits an event");

/*
 * A value of `verdicts`. Its key is a struct remote and zeros: of a host, which comes first, or of its network. All zeros:
 * any remote that was told of and has none of its own.
 */
struct tcp_cong_verdict {
	__u64 valid_until_ns; /* CLOCK_MONOTONIC */
	__u32 trials;	      /* bit n: tcp_cong_algorithm n */
	__u32 trial_kbit;     /* a trial that gives less goes on with the choice; 0: none does */
	__u8 choice;	      /* 1 + tcp_cong_algorithm; 0: the namespace's default */
	__u8 switches;	      /* established connections that lose too much follow */
	__u8 one_in;	      /* so many connections one tries another algorithm; 0: none does */
	__u8 zero[5];
};

_Static_assert(sizeof(struct tcp_cong_verdict) == sizeof(((struct bpftune_verdict *)0)->value), "fits a verdict");
_Static_assert(TCP_CONG_N <= 32, "bits for all");

#endif
