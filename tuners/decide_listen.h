/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What listen makes of the counters of a namespace: numbers in, a decision out. */
#ifndef BPFTUNE_TUNERS_DECIDE_LISTEN_H
#define BPFTUNE_TUNERS_DECIDE_LISTEN_H

#include <stdbool.h>
#include <stdint.h>

#include "tuners/listen.h"

#define LISTEN_MAX 65535 /* no queue is made longer than this */

/* Counters of /proc/net, or how much they have grown. */
struct listen_counts {
	uint64_t handshakes;		     /* Tcp PassiveOpens */
	uint64_t overflows;		     /* TcpExt ListenOverflows: the accept queue was full */
	uint64_t drops;			     /* TcpExt ListenDrops: these and others */
	uint64_t cookies_sent, cookies_recv; /* TcpExt SyncookiesSent, SyncookiesRecv */
};

enum listen_decision {
	LISTEN_HOLD,
	LISTEN_RAISE_SOMAXCONN,
	LISTEN_RAISE_SYN_BACKLOG,
	LISTEN_SUSPECT, /* it looks like a flood: another look, a second later */
	LISTEN_RESIST,	/* a flood: back to the initial values, cookies on */
};

/* What came since; a counter that went back (it never should) has not grown. */
struct listen_counts listen_grown(const struct listen_counts *before, const struct listen_counts *now);

/*
 * What a full queue calls for. `grown` is since the last decision, which may be long ago; `lately` since the queue was
 * seen full, a second ago, or two if a flood is suspected. Only completed handshakes overflow an accept queue, so those
 * may be old; SYNs must be told from a flood by what completes at the same time. Over a long path that takes its time,
 * hence the second look.
 */
enum listen_decision listen_decide(const struct listen_counts *grown, const struct listen_counts *lately,
				   const struct listen_queue *queue, bool suspected);

/*
 * The troubles that the remedies are judged by: SYNs that were dropped though the accept queue had room; these,
 * connections that found it full, and clients that got a cookie only.
 */
uint64_t listen_refused(const struct listen_counts *lately);
uint64_t listen_turned_away(const struct listen_counts *lately);

/*
 * How long this queue would have to be for those who came since the last decision: what is in it and what overflowed, rounded
 * up to a power of two. A client that tries again counts each time.
 */
uint32_t listen_needed(const struct listen_queue *queue, const struct listen_counts *grown);

#endif
