/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Low descriptor numbers, in which the descriptors of workers that start are put. task_fork() leaves a child only what
 * is below a number: so it copies a slot's descriptors, not two for each worker that there is.
 */
#ifndef BPFTUNE_SUPERVISOR_WORKERS_SLOT_H
#define BPFTUNE_SUPERVISOR_WORKERS_SLOT_H

#include <stdbool.h>
#include <stddef.h>

#include "worker/worker.h"

#define SLOTS_MAX 63 /* with 0, 1 and 2: what fits in a table of 256 */

struct slot {
	int fds[N_WORKER_FDS]; /* ascending */
	bool is_taken;
};

struct slots {
	int null_fd; /* what is in the numbers of a slot that is free, so that they are no other descriptor's */
	size_t n, n_taken;
	struct slot slots[SLOTS_MAX];
};

/* Takes the lowest numbers that are free. 0 or -errno, then with fewer slots or none. */
int slots_reserve(struct slots *slots);

/* NULL: all are taken. */
struct slot *slot_find_free(struct slots *slots);

/*
 * Takes a free slot, with copies of these descriptors, of which the last may be -1. The slot is to stay taken until its
 * worker has copied them: until READY, or until it is gone. 0 or -errno.
 */
int slot_take(struct slots *slots, struct slot *slot, const int fds[N_WORKER_FDS]);

/* Closes the copies. NULL: nothing. */
void slot_release(struct slots *slots, struct slot *slot);

void slots_close(struct slots *slots);

#endif
