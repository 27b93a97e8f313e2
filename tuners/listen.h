/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What listen's BPF programs tell its handlers. */
#ifndef BPFTUNE_TUNERS_LISTEN_H
#define BPFTUNE_TUNERS_LISTEN_H

#include "ipc/event.h"

enum listen_scenario {
	LISTEN_ACCEPT_QUEUE_FULL,
	LISTEN_SYN_QUEUE_FULL,
	LISTEN_SYN_FLOOD,
};

/* The queues of a listening socket, one of which is full or nearly so. */
struct listen_queue {
	__u32 address[4]; /* as IPv6's, in network byte order; of IPv4 mapped; zeros behind that: any */
	__u32 port;
	__u32 accept_len; /* sk_ack_backlog: connections that wait for accept(2) */
	__u32 max_len;	  /* sk_max_ack_backlog: the bound of either queue, fixed by listen(2) */
	__u32 syn_len;	  /* handshakes under way */
	__u32 somaxconn;  /* as it was then; and the next two */
	__u32 max_syn_backlog;
	__u32 syncookies;
};

_Static_assert(sizeof(struct listen_queue) <= BPFTUNE_EVENT_PAYLOAD_BYTES, "fits an event");

#endif
