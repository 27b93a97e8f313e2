/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What observe.bpf.c, the tuners' programs that it calls, and the supervisor share: chains of programs, the record of a
 * socket, and what the supervisor tells all programs.
 */
#ifndef BPFTUNE_BPF_OBSERVE_H
#define BPFTUNE_BPF_OBSERVE_H

#include <linux/types.h>

/*
 * Of a chain; a tuner's number is its slot. The kernel makes 33 tail calls at most, and up to Linux 6.1 an empty slot counts as
 * one: an accepted connection goes through two chains.
 */
#define BPFTUNE_SLOTS_MAX 16
#define BPFTUNE_CGROUP_LEVELS_MAX 16 /* between a socket's cgroup and its container's */
#define BPFTUNE_FAR_US 1000	     /* a round trip; below, only loss is worth knowing */

/* In the order of the loader's table: supervisor/kernel/chain.c. */
enum bpftune_chain {
	BPFTUNE_CHAIN_LOOK,
	BPFTUNE_CHAIN_ACK,
	BPFTUNE_CHAIN_START,
	BPFTUNE_CHAIN_ACCEPT,
	BPFTUNE_CHAIN_END,
	BPFTUNE_CHAIN_LOSS,
	BPFTUNE_CHAIN_LISTEN,
	BPFTUNE_CHAIN_SYN,
	BPFTUNE_CHAIN_RCV_SPACE,
	BPFTUNE_CHAIN_DROP_BACKLOG,
	BPFTUNE_CHAIN_DROP_NETFILTER,
	BPFTUNE_CHAIN_DROP_UNSPECIFIED,
	BPFTUNE_CHAIN_UDP_DROP,
	BPFTUNE_N_CHAINS,
};

/* How often a program of a chain was run; of these, how many were timed, and how long they took. */
struct bpftune_runs {
	__u64 runs, timed;
	__u64 ns;
};

/* Of a CPU: the drops at a UDP socket, of which the chain hears once in a jiffy. */
#define BPFTUNE_UDP_DROPS_BITS 6 /* of the number of sockets that are told apart */
struct bpftune_udp_drops {
	__u64 sk, net;
	__u64 jiffies; /* when the chain was last called */
	__u32 port;
	__u32 untold, told;
	__u32 zero;
};

/* What a cgroup is paired with. */
struct bpftune_pair {
	__u64 sharer; /* instance id of a container that shares the host's namespace; 0: others, found by cookie */
};

/* Written by programs, for all of them. */
struct bpftune_noticed {
	__u32 fixed_receivers; /* an application fixed the receive buffer of a TCP socket */
	__u64 unknown_spent_to; /* as in struct bpftune_gate, of all namespaces that are not known, together */
};

/* Written by the supervisor. */
struct bpftune_control {
	__u64 verdicts; /* bit n: the tuner of number n has decided about something, somewhere */
	__u32 sharers;	/* 0: no container shares the host's namespace; else another number at each change */
	__u32 is_timed;
};

/* A socket that was looked at: filled in by the observer before each look, or by a tuner at the start. */
struct flow {
	__u64 looked_us; /* tcp_sock.tcp_mstamp at the latest look */
	__u64 instance;	 /* as event->instance */
	__u32 sharers;	 /* control.sharers when `instance` was found out */
	__u32 interval_us; /* until the next look is due */
	__u32 jiffies; /* now */
	__u32 busy, rwnd_limited, sndbuf_limited; /* jiffies of the socket's life: tcp_get_info_chrono_stats() */
	__u32 since_us; /* from the look before to this one */
	__u32 cwnd;	/* of the tuner idle: the congestion window at the look before */
	__u8 is_limited; /* set by a tuner: the next look is due after a round trip, not later and later */
	__u8 is_early; /* set by a tuner at the start, with STATE_CB: looks are due from the first byte on */
	__u8 wants_acks; /* set by a tuner, with STATE_CB, for as long as it needs each acknowledgement that is no look */
	__u8 has_idled; /* of the tuner idle: it has a record of this flow */
};

#endif
