/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The arithmetic of backlog: numbers in, numbers out. */
#ifndef BPFTUNE_TUNERS_DECIDE_BACKLOG_H
#define BPFTUNE_TUNERS_DECIDE_BACKLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tuners/softnet.h"

/* What a window of time shows. */
struct backlog_view {
	bool has_spare;		/* a CPU that drops frames has time to spare */
	uint64_t dropped, came; /* frames: for want of room, of those that came to such CPUs; or, without any, to CPUs
				   that drop */
	size_t worst;		/* the CPU that dropped most, whether it had time to spare or not */
	uint64_t worst_dropped, worst_squeezed; /* 0: none did */
	unsigned int worst_idle_percent;
};

/*
 * Frames that the limit of single flows drops (net.core.flow_limit_cpu_bitmap) count as dropped, too, but a longer
 * queue is not what they miss. They are counted by the CPU that sends, and not by the one that drops: all of them are
 * taken from what is dropped by any, and what is left counts if it is sixteen or more, and more than a sixteenth of
 * them. A CPU has time to spare if it is idle for a fifth of the time: else a longer queue only delays what is in it.
 */
struct backlog_view backlog_look(const struct softnet_cpu *before, const struct softnet_cpu *now, size_t n);

/* How long the queues should be, in frames: longer by such a burst and half of it, and at least half as long again. */
int64_t backlog_needed(int64_t current, uint32_t burst);

/*
 * By how much all who claim may have them longer: together a 64th of the machine's memory, if a frame takes 2 KiB; at
 * most 16,384 frames, as those of others wait behind them.
 */
int64_t backlog_whole(uint64_t memory_pages, uint64_t page_bytes, size_t n_cpus);

#endif
