/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What backlog's BPF program tells its handlers. */
#ifndef BPFTUNE_TUNERS_BACKLOG_H
#define BPFTUNE_TUNERS_BACKLOG_H

#include "ipc/event.h"

enum backlog_scenario {
	BACKLOG_DROPPED, /* of the namespace whose frames they were */
	BACKLOG_BURST, /* to the host's worker: backlog_burst. A container's worker asks by the first, never by this one
			*/
	BACKLOG_NOT_NEEDED, /* no program tells it */
};

/* By how many frames the queues were too short: the most that were dropped within 20 ms, by a CPU that sends. */
struct backlog_burst {
	__u32 frames;
};

_Static_assert(sizeof(struct backlog_burst) <= BPFTUNE_EVENT_PAYLOAD_BYTES, "fits an event");

#endif
