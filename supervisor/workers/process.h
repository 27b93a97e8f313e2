/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A worker as a process: its fork, its two pipes, and how it ended. */
#ifndef BPFTUNE_SUPERVISOR_WORKERS_PROCESS_H
#define BPFTUNE_SUPERVISOR_WORKERS_PROCESS_H

#include "supervisor/workers/child.h"

/* Forks it, to enter the namespace of that descriptor (-1: ours). 0; -EBUSY: no slot is free; or another -errno. */
int process_start(struct child *child, int netns_fd);

/* Sends the event to the worker, or queues it until it can be. Never blocks. */
void process_send(struct child *child, const struct bpftune_event *event);

/* Sends what is queued as soon as the worker reads. */
void process_flush(struct child *child);

/* Reads reports once, at most `limit` bytes: the number of reports, or an error of record_read(). */
int process_read(struct child *child, size_t limit, void (*got)(void *arg, const void *report));

/* Its end of file tells it to end; its reports are still read. */
void process_hang_up(struct child *child);

/* The worker is ready: it has its own descriptors, and another may start in its slot. */
void process_leave_slot(struct child *child);

/* Closes both pipes, and leaves the slot: the worker has none, or it has gone. */
void process_close(struct child *child);

/* Whether its process is there and has not ended, reaped or not. */
bool process_is_alive(const struct child *child);

/* Reaps one child process of ours that has ended; 0: there is none. */
pid_t process_next_exit(struct workers *workers, int *ret_status);

#endif
