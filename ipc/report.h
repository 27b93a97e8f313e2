/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The report: the one fixed-size record that travels worker -> supervisor.
 * Values are text, byte for byte what the kernel's file shows.
 */
#ifndef BPFTUNE_IPC_REPORT_H
#define BPFTUNE_IPC_REPORT_H

#include <stdint.h>
#include <limits.h>

#include "ipc/event.h"

#define BPFTUNE_VALUE_BYTES 64 /* three ints of ten digits fit; so does an algorithm's name */
#define BPFTUNE_TEXT_BYTES 352

enum bpftune_report_kind {
	BPFTUNE_READY = 1, /* the worker is in its namespace and serves events */
	BPFTUNE_VALUE,     /* a tunable's value as read (`to`) */
	BPFTUNE_INTENT,    /* wants to change `from` -> `to`; waits for a GRANT or REFUSE */
	BPFTUNE_CHANGE,    /* the outcome of a granted intent: `to` as read back, or `error` */
	BPFTUNE_WOULD,     /* an intent that a dry run keeps to itself */
	BPFTUNE_REQUEST,   /* asks the host's worker: `text` holds an event's payload */
	BPFTUNE_LOG,       /* something to tell: `text` */
	BPFTUNE_LEARNT,    /* `text` about `from`; no text: nothing is known of it any more */
	BPFTUNE_VERDICT,   /* the same, and `to` holds a struct bpftune_verdict for the tuner's BPF programs */
	BPFTUNE_MEMORY,	   /* `text` holds a struct bpftune_memory_part */
	BPFTUNE_LIMITS_MET, /* the answer to COUNT: `text` holds a struct limits_met */
};

/* Of a VALUE, in `scenario`. */
enum bpftune_look {
	BPFTUNE_LOOK,
	BPFTUNE_LOOK_AGAIN, /* a while after a READ: what somebody was about to write then is there by now, or never
			       will be */
};

struct bpftune_report {
	uint16_t kind;     /* bpftune_report_kind; unknown ones are counted */
	uint16_t tuner;    /* number, or BPFTUNE_FROM_SUPERVISOR for the worker itself */
	uint16_t tunable;  /* index in the tuner's table */
	uint16_t scenario; /* index in the tuner's table; of a VALUE: enum bpftune_look */
	int32_t error;     /* 0 or -errno */
	int32_t severity;  /* LOG: syslog(3) priority */
	uint64_t event_ns; /* time_ns of the event that caused it, or of the READ that is answered; 0: none */
	uint64_t asker;    /* instance that asked for a host-scoped change; 0: nobody */
	char from[BPFTUNE_VALUE_BYTES];
	char to[BPFTUNE_VALUE_BYTES];
	char text[BPFTUNE_TEXT_BYTES]; /* the reason, or the message; NUL-terminated */
};

_Static_assert(sizeof(struct bpftune_report) == 512, "the pipes carry 512-byte reports");
#define BPFTUNE_MEMORY_BYTES_MAX 65536

/* What the supervisor keeps of a tuner in an instance, past the worker's end and its own. */
enum bpftune_memory_kind {
	BPFTUNE_MEMORY_OF_TUNER,  /* the tuner's own */
	BPFTUNE_MEMORY_OF_TRIALS, /* its remedies' */
	N_BPFTUNE_MEMORY_KINDS
};

struct bpftune_memory {
	uint32_t version; /* of the data's layout: a tuner of another version ignores the data */
	uint32_t size;
	void *data; /* NULL if the size is 0 */
};

/* A part of one, as it is reported: the parts come one after the other, from offset 0 on. */
struct bpftune_memory_part {
	uint32_t kind;		/* enum bpftune_memory_kind */
	uint32_t version, size; /* of the whole; size 0: there is nothing to keep any more */
	uint32_t offset;
	uint8_t data[320];
};

_Static_assert(sizeof(struct bpftune_memory_part) < BPFTUNE_TEXT_BYTES, "a part fits a text and its end");
_Static_assert(sizeof(struct bpftune_verdict) < BPFTUNE_VALUE_BYTES, "a verdict fits a value");
_Static_assert(sizeof(struct bpftune_report) <= PIPE_BUF, "a write must be atomic");

#endif
