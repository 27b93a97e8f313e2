/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One log record type, several sinks. */
#ifndef BPFTUNE_IPC_LOG_H
#define BPFTUNE_IPC_LOG_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/heap.h"

/* NULL strings are fields that the record does not have. */
struct log_record {
	uint64_t seq;      /* counts up over all streams; 0 until a stream takes it */
	uint64_t time_us;  /* CLOCK_REALTIME */
	uint64_t instance; /* id */
	uint64_t caused_by; /* id of the instance whose owner's budget it uses up; 0: its own */
	int severity;      /* syslog(3) priority */
	bool is_copy;	   /* of one in another instance's stream: not for the sink, nor for who reads all streams */
	const char *container, *container_id, *tuner, *scenario, *text;
	const char *tunable, *from, *to; /* of a change */
};

enum log_sink {
	LOG_SINK_AUTO,    /* the journal if it is there, else syslog, else standard error */
	LOG_SINK_STDERR,
	LOG_SINK_SYSLOG,  /* datagrams to /dev/log */
	LOG_SINK_JOURNAL, /* systemd's native protocol, with BPFTUNE_* fields */
};

/* CLOCK_REALTIME in microseconds. */
uint64_t log_realtime_us(void);

/* A copy in one allocation of the heap, to be put back there; its strings are escaped. NULL: no memory. */
struct log_record *log_record_new(struct heap *heap, const struct log_record *fields);

/* "2026-11-22T20:15:01.123+00:00 c1 tcp_buffer: net.ipv4.tcp_wmem ... -> ... (scenario): text", no newline. */
void log_human(const struct log_record *record, char *ret_line, size_t size);

/* A new reference, or NULL without memory. */
json_t *log_json(const struct log_record *record);

/* Chooses the process's sink. Standard error stands in for one that is not there. */
void log_open(enum log_sink wanted);

/*
 * Writes to the first sink of the chosen ones that takes the record, and never blocks. A sink whose daemon was
 * restarted is connected again. Records that a sink has not taken are counted: the count is the first that is written
 * there later.
 */
void log_write(const struct log_record *record);

/*
 * Copies text with each byte that isn't UTF-8 as \xNN, and each byte of a character that controls a terminal, or hides
 * or reorders others (Unicode's categories Cc, Cf, Zl and Zp, and what is ignorable by default). Cut at the end of a
 * character when `size` is short. Log lines and terminals are then safe from names.
 */
void log_escape(const char *text, char *ret_text, size_t size);

#endif
