/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What pmtu's BPF program tells its handlers. */
#ifndef BPFTUNE_TUNERS_PMTU_H
#define BPFTUNE_TUNERS_PMTU_H

#include "ipc/event.h"
#include "tuners/remote.h"

#define PMTU_TIMEOUTS 3	   /* in a row, of one segment: 1.4 s on a short path */
#define PMTU_BASE_MSS 1024 /* include/net/tcp.h: TCP_BASE_MSS, with which the kernel begins to probe */

enum pmtu_scenario {
	PMTU_BLACK_HOLE,
	PMTU_OF_NO_USE, /* no program tells it */
};

/* A connection of which a segment of full size is sent again and again. */
struct pmtu_stuck {
	struct remote remote;
	__u32 mss; /* bytes */
};

_Static_assert(sizeof(struct pmtu_stuck) <= BPFTUNE_EVENT_PAYLOAD_BYTES, "fits an event");

#endif
