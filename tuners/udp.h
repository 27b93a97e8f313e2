/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What udp's BPF programs tell its handlers, and what they are told. */
#ifndef BPFTUNE_TUNERS_UDP_H
#define BPFTUNE_TUNERS_UDP_H

#include "ipc/event.h"

enum udp_scenario {
	UDP_BUFFER_FULL,
	UDP_SOCKET_SIZED,
	UDP_MEMORY_FULL,
	UDP_NOT_NEEDED, /* no program tells it */
};

/* Of UDP_BUFFER_FULL and UDP_SOCKET_SIZED. The port is the event's key. */
struct udp_socket {
	__u32 port;
	__u32 size_bytes;  /* sk_rcvbuf */
	__u64 drops;	   /* of the port's sockets, since the program first saw one */
	__u32 asked_bytes; /* UDP_SOCKET_SIZED: the size that the verdict says */
	__u32 zero;
};

_Static_assert(sizeof(struct udp_socket) <= BPFTUNE_EVENT_PAYLOAD_BYTES, "fits an event");

/* Of UDP_MEMORY_FULL: in pages, of the machine. */
struct udp_memory {
	__u64 allocated;
	__u64 mem[3]; /* udp_mem */
};

_Static_assert(sizeof(struct udp_memory) <= BPFTUNE_EVENT_PAYLOAD_BYTES, "fits an event");

/* The verdict on a port (its key is the port's number, a __u32), for sockets whose application has chosen no size. */
struct udp_verdict {
	__u32 size_bytes; /* as sk_rcvbuf counts: twice what SO_RCVBUF asks for */
	__u32 zero[5];
};

_Static_assert(sizeof(struct udp_verdict) == sizeof(((struct bpftune_verdict *)0)->value), "a verdict's value");

#endif
