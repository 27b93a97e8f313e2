/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fixed-size records over pipes. Every write is at most PIPE_BUF, so a record arrives whole or not at
 * all (pipe(7)); every read takes a batch.
 */
#ifndef BPFTUNE_IPC_PIPE_H
#define BPFTUNE_IPC_PIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/event.h"

#define RECORD_BYTES_MAX 512

struct record_reader {
	size_t size; /* of one record, at most RECORD_BYTES_MAX */
	size_t have; /* bytes of an unfinished record in `partial` */
	unsigned char partial[RECORD_BYTES_MAX];
};

/*
 * Reads once, at most `limit` bytes, and hands each whole record to `got`; a rest waits for the next call. `got` must
 * not free the reader. Returns the number of records; -EAGAIN: nothing there now; -EPIPE: end of file;
 * -EBADMSG: end of file inside a record; or another -errno of read(2).
 */
int record_read(struct record_reader *reader, int fd, size_t limit, void (*got)(void *arg, const void *record),
		void *arg);

/* 0 when all of it went; -EAGAIN: the pipe is full; -EPIPE: nobody reads; or another -errno. */
int record_write(int fd, const void *record, size_t size);

/*
 * What a full pipe, or a worker that isn't ready yet, holds up. The newest event of the same instance,
 * tuner, scenario and key (`key_bytes`) replaces the queued one. The supervisor's orders are not lost, nor merged but
 * for READs.
 */
#define EVENT_QUEUE_MAX 64
#define EVENT_QUEUE_KEYED_MAX 32 /* with a key: whoever has many remotes leaves room for other tuners' events */
#define EVENT_QUEUE_ORDERS_MAX 512 /* far more than a worker that reads leaves waiting */

struct event_queue {
	struct bpftune_event *events; /* the queue's own */
	size_t n, capacity;
};

enum event_fate { EVENT_QUEUED, EVENT_COALESCED, EVENT_LOST, EVENT_FLOODED };

/* Never blocks; without memory an event is lost. EVENT_FLOODED: an order that there is no room for. */
enum event_fate event_queue_push(struct event_queue *queue, const struct bpftune_event *event);

/* Writes what the pipe takes, oldest first. 0: empty now; -EAGAIN: some are left; or -errno of write(2). */
int event_queue_flush(struct event_queue *queue, int fd);

/* The worker that the orders were for is gone; events are its successor's. */
void event_queue_drop_orders(struct event_queue *queue);

void event_queue_clear(struct event_queue *queue);

#endif
