/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What conntrack's BPF program tells its handlers, and what a container's worker tells the host's. */
#ifndef BPFTUNE_TUNERS_CONNTRACK_H
#define BPFTUNE_TUNERS_CONNTRACK_H

#include "ipc/event.h"

enum conntrack_scenario {
	CONNTRACK_TABLE_FULL, /* of a program: without a payload */
	CONNTRACK_IN_USE,     /* of a worker only */
	CONNTRACK_NOT_NEEDED, /* nobody tells it */
};

/* Of a namespace's connections; a worker fills it in. */
struct conntrack_use {
	__u64 entries, max, buckets;
	__u64 dropped; /* packets of new connections, as the table was full */
	__u64 evicted; /* entries without traffic both ways, to make room for new ones */
};

_Static_assert(sizeof(struct conntrack_use) <= BPFTUNE_EVENT_PAYLOAD_BYTES, "fits an event");

#endif
