/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What sock_buf's BPF programs tell its handlers. */
#ifndef BPFTUNE_TUNERS_SOCK_BUF_H
#define BPFTUNE_TUNERS_SOCK_BUF_H

#include "ipc/event.h"

enum sock_buf_scenario {
	SOCK_BUF_WISH_CUT,
	SOCK_BUF_SEND_FIXED,
	SOCK_BUF_RECEIVE_FIXED,
	SOCK_BUF_DATAGRAMS_DROPPED,
	SOCK_BUF_NOT_NEEDED, /* no program tells it */
};

/* What an application asked for by setsockopt(2); the kernel gives twice that, for its own bookkeeping. */
struct sock_buf_wish {
	__u32 asked_bytes;
	__u32 receive; /* SO_RCVBUF; 0: SO_SNDBUF */
	__u32 pid;
	char comm[BPFTUNE_COMM_BYTES];
};

/* A TCP socket with a size that the application fixed, and that holds it back. */
struct sock_buf_fixed {
	struct sock_buf_wish wish; /* all zero: it was fixed before we looked on */
	__u32 size_bytes;	   /* sk_sndbuf or sk_rcvbuf */
	__u32 srtt_us;
	__u32 limited_percent; /* share of the time */
	__u32 window_bytes;    /* receiver: what the peer may send when nothing is unread */
	__u32 copied_bytes;    /* receiver: read in a round trip */
	__u32 remote;	       /* `port` is the other end's */
	__u64 rate_bytes;      /* a second, measured with that buffer; 0: not known */
	__u32 port;
	__u32 zero;
};

_Static_assert(sizeof(struct sock_buf_fixed) <= BPFTUNE_EVENT_PAYLOAD_BYTES, "fits an event");

/* A UDP socket that drops what comes, as its receive buffer is full; the host's limit made it smaller than asked for.
 */
struct sock_buf_dropped {
	struct sock_buf_wish wish;
	__u32 size_bytes; /* sk_rcvbuf */
	__u32 dropped;	  /* datagrams, with this size */
	__u32 port;
};

_Static_assert(sizeof(struct sock_buf_dropped) <= BPFTUNE_EVENT_PAYLOAD_BYTES, "fits an event");

#endif
