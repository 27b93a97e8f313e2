/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What tcp_buffer's BPF programs tell its handlers. */
#ifndef BPFTUNE_TUNERS_TCP_BUFFER_H
#define BPFTUNE_TUNERS_TCP_BUFFER_H

#include "ipc/event.h"

enum tcp_buffer_scenario {
	TCP_BUFFER_SEND_LIMITED,    /* event: a look at a sender, limited now or a moment ago */
	TCP_BUFFER_RECEIVE_LIMITED, /* event: at a receiver */
	TCP_BUFFER_NO_GAIN,
	TCP_BUFFER_QUEUE_FILLED,
	TCP_BUFFER_MEMORY_SHORT, /* event: TCP as a whole has used most of its memory */
	TCP_BUFFER_CONTAINER_MEMORY,
	TCP_BUFFER_MEMORY_EASED, /* event: it uses less than half, since limits were lowered for that */
	TCP_BUFFER_GROWN,	 /* event: a buffer is as large as watched_bytes */
};

enum tcp_buffer_tunable {
	TCP_WMEM,
	TCP_RMEM,
	TCP_MODERATE_RCVBUF,
	TCP_BUFFER_LIMITS = TCP_MODERATE_RCVBUF
};

#define TCP_BUFFER_UNLIMITED_PAGES 0xffffffffU

enum {
	TCP_BUFFER_LIMITED_NOW = 1,  /* in the last round trip */
	TCP_BUFFER_MODERATE_OFF = 2, /* tcp_moderate_rcvbuf */
	TCP_BUFFER_MEMORY_UNKNOWN = 4, /* container_pages says nothing: no BPF program saw the socket */
};

struct tcp_buffer_seen {
	__u64 flow;        /* the same for one connection's events */
	__u64 bytes;       /* acknowledged or received since it began */
	__u32 limit_bytes; /* tcp_wmem[2] or tcp_rmem[2] */
	__u32 size_bytes;  /* sk_sndbuf or sk_rcvbuf */
	__u32 srtt_us, min_rtt_us;
	__u32 held_bytes;   /* memory, and the */
	__u32 data_bytes;   /* data in it */
	__u32 turn;         /* another: the counters began anew */
	__u32 looks;        /* round trips in which it was looked at */
	__u32 limited;      /* of those, limited by the buffer */
	__u32 ticks, busy;  /* the time, in jiffies, a receiver's in us; of it, that with data under way, */
	__u32 sndbuf_limited, rwnd_limited; /* and a sender's waiting for its buffer and its peer's window */
	__u32 mem_allocated_pages, mem_pressure_pages; /* all of TCP, tcp_mem[1]: a container cannot read them */
	__u32 container_pages; /* memory.max of its cgroup and those above; TCP_BUFFER_UNLIMITED_PAGES: none */
	__u32 flags;
};

_Static_assert(sizeof(struct tcp_buffer_seen) <= BPFTUNE_EVENT_PAYLOAD_BYTES, "fits an event");

/*
 * The verdict on key 0: limits were lowered here, tell when memory has eased; or a raised limit lets buffers grow so large
 * that their number counts. Of tcp_wmem[2] and tcp_rmem[2]:
 */
struct tcp_buffer_lowered {
	__u32 from_bytes[2];
	__u32 to_bytes[2]; /* 0: it was not lowered */
	__u32 watched_bytes; /* tell of a buffer as large as that; 0: of none */
	__u32 zero;
};

_Static_assert(sizeof(struct tcp_buffer_lowered) == sizeof(((struct bpftune_verdict *)0)->value), "a verdict's value");

/* With TCP_BUFFER_MEMORY_SHORT and _EASED. */
struct tcp_buffer_use {
	__u64 allocated_pages, pressure_pages; /* all of TCP, and tcp_mem[1] */
};

/* With TCP_BUFFER_GROWN. */
struct tcp_buffer_grown {
	__u32 container_pages; /* struct tcp_buffer_seen */
};

#endif
