/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ring buffer in which BPF programs leave their events. */
#ifndef BPFTUNE_SUPERVISOR_KERNEL_RING_H
#define BPFTUNE_SUPERVISOR_KERNEL_RING_H

#include <stdbool.h>
#include <uv.h>

#include "supervisor/kernel/bpf.h"

struct ring_buffer;

struct ring {
	uv_loop_t *loop;
	const struct bpftune_host *host;
	/* Handles one. False: more of its kind may wait for a few milliseconds. */
	bool (*event)(void *arg, const struct bpftune_event *event);
	void *arg;

	/* Of this file only. */
	struct ring_buffer *buffer;
	uv_poll_t poll;
	uv_timer_t rest; /* until it is looked at again */
	unsigned int taken_at_once;
	bool is_urgent; /* at least one of these events */
};

/* The loop wakes up when there are events. 0 or -errno. */
int ring_start(struct ring *ring);

/* Handles what is in the ring, or so much of it that all else gets its turn: then false. `may_rest`: see `event`. */
bool ring_take(struct ring *ring, bool may_rest);

/* Closes its handles: the loop is to run once more before ring_free(). */
void ring_stop(struct ring *ring);
void ring_free(struct ring *ring);

#endif
