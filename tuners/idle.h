/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What idle's BPF program tells its handlers. */
#ifndef BPFTUNE_TUNERS_IDLE_H
#define BPFTUNE_TUNERS_IDLE_H

#include "ipc/event.h"
#include "tuners/remote.h"

enum idle_scenario {
	IDLE_RESTARTED,
	IDLE_KEPT,
	IDLE_LOST, /* no program tells it, nor the next one */
	IDLE_NOT_NEEDED,
};

/* A connection that has gone on after an idle time. */
struct idle_seen {
	struct remote remote;
	__u32 before, after; /* the window, in segments: before the idle time and after it */
	__u32 idle_ms;
	__u32 rtt_us;
	__u32 segs, lost; /* if the window was kept: its segments, and those of them that were lost */
};

_Static_assert(sizeof(struct idle_seen) <= BPFTUNE_EVENT_PAYLOAD_BYTES, "fits an event");

#endif
