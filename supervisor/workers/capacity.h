/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How many workers there may be, in all and of one owner, and who gets the place that one leaves. */
#ifndef BPFTUNE_SUPERVISOR_WORKERS_CAPACITY_H
#define BPFTUNE_SUPERVISOR_WORKERS_CAPACITY_H

#include "supervisor/workers/child.h"

#define CAPACITY_FORKS (2 * WORKERS_PER_OWNER_MAX) /* that one owner may cause at once: all workers, and once more; */
#define CAPACITY_FORK_MS 100			     /* and one more every so often */
#define CAPACITY_RETRY_MS 5000 /* whether the machine has enough again of what it was short of */

/* Whether one more worker may be, for that instance. */
bool capacity_is_left(struct workers *workers, struct child *child);

/* There are too many (-EUSERS), or no more descriptors, processes or memory: later there may be. */
bool capacity_is_lacking(int err);

/* That, or as many as may start together are starting (-EBUSY). */
bool capacity_must_wait(int err);

/* What came of its fork (0 or -errno): it is counted, or waits: for a place, which is logged, or for a slot. */
void capacity_note(struct workers *workers, struct child *child, int err);

/* A worker is ready, or has gone: those that wait for a slot have their turn, as soon as half of them are free. */
void capacity_slot_left(struct workers *workers);

/* Its process has ended. */
void capacity_ended(struct workers *workers, struct child *child);

/*
 * Its instance has ended: the child is not counted and does not wait any more. An instance that waits gets the place of
 * its worker, also of a worker that was to be forked again.
 */
void capacity_gone(struct workers *workers, struct child *child);

/* `try_start` forks a worker for one that waits; true: it starts. */
void capacity_start(struct workers *workers, bool (*try_start)(struct child *child));

#endif
