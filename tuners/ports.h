/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What ports' BPF program tells its handlers. */
#ifndef BPFTUNE_TUNERS_PORTS_H
#define BPFTUNE_TUNERS_PORTS_H

#include "ipc/event.h"

enum ports_scenario {
	PORTS_NONE_LEFT,
	PORTS_TIME_WAITS_FULL,
};

/* A connect(2) that found no local port. */
struct ports_failed {
	__u32 remote[4];  /* as IPv6's, in network byte order; of IPv4 mapped. The port is not known any more */
	__u64 count;	  /* of this namespace, so far */
	__u32 time_waits; /* sockets in TIME-WAIT; 0: the kernel does not tell */
	__u32 has_timestamps;
};

_Static_assert(sizeof(struct ports_failed) <= BPFTUNE_EVENT_PAYLOAD_BYTES, "fits an event");

#endif
