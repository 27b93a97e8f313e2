/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What tcp_init's BPF programs tell its handlers, and what these decide. */
#ifndef BPFTUNE_TUNERS_TCP_INIT_H
#define BPFTUNE_TUNERS_TCP_INIT_H

#include "ipc/event.h"
#include "tuners/remote.h"

#define TCP_INIT_CWND 10	  /* the kernel's own: include/net/tcp.h */
#define TCP_INIT_RWND_BYTES 65535 /* what a SYN can offer, and what the kernel starts with */
#define TCP_INIT_MIN_RTT_US 1000  /* on a shorter path a round trip more or less is nothing */

enum tcp_init_scenario {
	TCP_INIT_WINDOW_REACHED,
	TCP_INIT_LOSS,
};

/* A service on a path: a verdict's key. */
struct tcp_init_service {
	struct remote remote;
	__u16 port; /* the listener's of what was accepted, the remote one of what was connected; 0: an ephemeral one */
	__u8 zero[14];
};

_Static_assert(sizeof(struct tcp_init_service) == sizeof(((struct bpftune_verdict *)0)->key), "a verdict's key");

/* What new connections of the service get; 0: the kernel's own. A verdict's value. */
struct tcp_init_verdict {
	__u16 cwnd;	      /* segments */
	__u16 rwnd;	      /* segments; only what is accepted */
	__u32 rwnd_bytes;     /* what these are */
	__u64 valid_until_ns; /* CLOCK_MONOTONIC */
	__u32 rtt_us;	      /* as it was when the window was learnt */
	__u32 zero;
};

_Static_assert(sizeof(struct tcp_init_verdict) == sizeof(((struct bpftune_verdict *)0)->value), "a verdict's value");

/* Of a path, since the programs were loaded: connections that sent a whole first window. */
struct tcp_init_counted {
	__u32 starts;
	__u32 lost;	  /* of these, how many lost a segment of that window */
	__u32 jumps_lost; /* of these, how many had the window from a verdict */
};

/* True if a round trip is of the path that was remembered: at least half, at most ten times as long (RFC 9959). */
static inline _Bool tcp_init_is_same_path(__u32 remembered_us, __u32 rtt_us)
{
	return rtt_us && rtt_us >= remembered_us / 2 && rtt_us <= 10ULL * remembered_us;
}

/* A connection that ended, or that loses a segment of its first window. */
struct tcp_init_outcome {
	struct remote remote; /* it and the port are the event's key */
	__u16 port;
	__u16 mss;  /* the one that it told the other side */
	__u32 cwnd; /* as it is now; 0: it teaches none */
	__u64 bytes_received;
	struct tcp_init_counted counted;
	__u32 given;	     /* the cwnd that a verdict gave it; 0: none */
	__u32 retransmitted; /* segments, less those that had arrived before (RFC 2883) */
	__u32 data_segs_out;
	__u32 srtt_us;
	__u32 min_rtt_us;
	__u32 rcv_space_bytes; /* accepted: the most that the application has read in a round trip */
	__u8 decided;	       /* the service has a verdict, though it may be over */
	__u8 is_offer_cut; /* this kernel offers no more than TCP_INIT_RWND_BYTES at first, whatever it is asked for */
};

_Static_assert(sizeof(struct tcp_init_outcome) <= BPFTUNE_EVENT_PAYLOAD_BYTES, "fits an event");

#endif
