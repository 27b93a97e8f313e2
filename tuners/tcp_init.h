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
	__u16 port; /* the local one of what was accepted, the remote one of what was connected; 0: an ephemeral one */
	__u8 zero[14];
};

_Static_assert(sizeof(struct tcp_init_service) == sizeof(((struct bpftune_verdict *)0)->key), "a verdict's key");

/* What new connections of the service get; 0: the kernel's own. A verdict's value. */
struct tcp_init_verdict {
	__u32 cwnd;	      /* segments */
	__u32 rwnd;	      /* segments; only what is accepted */
	__u64 valid_until_ns; /* CLOCK_MONOTONIC */
	__u64 zero;
};

_Static_assert(sizeof(struct tcp_init_verdict) == sizeof(((struct bpftune_verdict *)0)->value), "a verdict's value");

/* A connection that ended, or that loses for the first time. */
struct tcp_init_outcome {
	struct remote remote; /* it and the port are the event's key */
	__u16 port;
	__u16 mss; /* the one that it told the other side */
	__u32 cwnd; /* as it is now */
	__u64 bytes_received;
	__u32 given;	     /* the cwnd that a verdict gave it; 0: none */
	__u32 retransmitted; /* segments, less those that had arrived before (RFC 2883) */
	__u32 out_of_order;  /* segments received, so something was lost before them */
	__u32 data_segs_out;
	__u32 srtt_us;
	__u32 min_rtt_us;
	__u32 rcv_space_bytes; /* accepted: the most that the application has read in a round trip */
	__u8 decided; /* the service has a verdict, though it may be over */
};

_Static_assert(sizeof(struct tcp_init_outcome) <= BPFTUNE_EVENT_PAYLOAD_BYTES, "fits an event");

#endif
