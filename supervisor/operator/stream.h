/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The log streams: one ring of records an instance, kept for a while after it has ended. */
#ifndef BPFTUNE_SUPERVISOR_OPERATOR_STREAM_H
#define BPFTUNE_SUPERVISOR_OPERATOR_STREAM_H

#include <stdint.h>
#include <uthash.h>

#include "ipc/log.h"

#define STREAM_RECORDS 256
#define STREAM_ENDED_MAX 64
#define STREAM_ENDED_PER_OWNER 8 /* who makes and ends many pushes out few of others' */
#define STREAM_FOLD_US 10000000ULL

struct stream {
	uint64_t instance;
	char *name; /* for an operator who asks after it has ended */
	char *owner;		     /* who made it, once it has ended; NULL: root of the host, or not known */
	struct log_record **records; /* a ring of `capacity`, which doubles up to STREAM_RECORDS */
	size_t capacity;
	uint64_t n; /* ever taken; the newest is at (n - 1) % capacity */
	uint64_t ended; /* order of ending; 0: alive */
	unsigned int repeated; /* times that the newest record came again and was not kept */
	UT_hash_handle hh;
};

struct streams {
	struct heap heap; /* what the records say of one container is nothing to another's worker */
	struct stream *by_instance;
	uint64_t seq, endings;
	uint64_t told; /* records of tuners, of LOG_NOTICE and worse: changes, and what an administrator may want to see */
	void (*on_record)(void *arg, const struct log_record *record); /* each new record */
	void *arg;
};

/*
 * Stamps time and number on the record, keeps it in its instance's stream, writes it to the sink if it is no copy. One that
 * says what the newest said less than STREAM_FOLD_US ago is only counted; the next other one is preceded by
 * "repeated N times".
 */
void streams_log(struct streams *streams, const struct log_record *fields);

/*
 * The instance is gone: its stream is kept until STREAM_ENDED_MAX others have ended, or STREAM_ENDED_PER_OWNER others
 * of its owner (NULL: root of the host, who may fill all the room).
 */
void streams_end(struct streams *streams, uint64_t instance, const char *owner);

/* The instance of the last ended stream of that name or container id; 0: none. */
uint64_t streams_find_ended(const struct streams *streams, const char *name);

/* The last n records of one instance, or of all without copies (0), oldest first. -ENOMEM. */
int streams_read(const struct streams *streams, uint64_t instance, size_t n,
		 void (*got)(void *arg, const struct log_record *record), void *arg);

void streams_free(struct streams *streams);

#endif
