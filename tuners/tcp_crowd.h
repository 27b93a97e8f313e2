/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How many flows of a container have large buffers: together they share a part of its memory. */
#ifndef BPFTUNE_TUNERS_TCP_CROWD_H
#define BPFTUNE_TUNERS_TCP_CROWD_H

#include <stdbool.h>

#include "tuners/decide_tcp_buffer_memory.h"
#include "tuners/tcp_buffer.h"

/* What the last walk found. Begins as zeroes. */
struct tcp_crowd {
	struct tcp_buffer_crowd of[TCP_BUFFER_LIMITS];
	uint64_t walked_ns, took_ns; /* CLOCK_MONOTONIC, at its end; and how long it took */
};

/*
 * Counts the large buffers of the caller's own namespace, those included that are stuck and so pass no hook. The kernel
 * walks its tables of sockets for it, 0.3 ms and 2 us a socket, up to four times where a limit has to come down. So
 * nothing is counted in the second after a walk, nor if walks would take more than a hundredth of the worker's time;
 * while buffers are growing, more than a twentieth. Fewer than eight flows each way, or an unknown number, count as
 * eight.
 */
void tcp_crowd_count(struct tcp_crowd *crowd, const struct tcp_buffer_memory *memory,
		     const int64_t limit_bytes[TCP_BUFFER_LIMITS], bool are_growing);

/* What was counted, for a limit's cap. */
void tcp_crowd_add_to(const struct tcp_crowd *crowd, enum tcp_buffer_tunable limit, struct tcp_buffer_memory *memory);

#endif
