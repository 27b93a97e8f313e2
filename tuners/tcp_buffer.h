/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What tcp_buffer's BPF programs tell its handlers. */
#ifndef BPFTUNE_TUNERS_TCP_BUFFER_H
#define BPFTUNE_TUNERS_TCP_BUFFER_H

#include "ipc/event.h"

enum tcp_buffer_scenario {
	TCP_BUFFER_SEND_LIMITED,
	TCP_BUFFER_RECEIVE_LIMITED,
};

struct tcp_buffer_limited {
	__u64 mem_pressure_pages; /* tcp_mem[1]: a container cannot read it, the kernel can */
	__u32 limit_bytes;        /* tcp_wmem[2] or tcp_rmem[2] as the flow met it */
	__u32 size_bytes;         /* sk_sndbuf or sk_rcvbuf */
	__u32 srtt_us;
	__u32 limited_percent;    /* sender: share of the last round trips spent waiting for buffer space */
	__u32 copied_bytes;       /* receiver: read by the application in the last round trip */
	__u32 window_bytes;       /* receiver: what the peer may send */
};

_Static_assert(sizeof(struct tcp_buffer_limited) <= BPFTUNE_EVENT_PAYLOAD_BYTES, "fits an event");

#endif
