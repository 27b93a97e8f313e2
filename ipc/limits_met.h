/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The counters of limits that a namespace has met: `bpftune status CONTAINER` shows them, whether a tuner handles the
 * trouble or none does. A worker reads them when it is asked. They are the kernel's, and count since the namespace was
 * made.
 */
#ifndef BPFTUNE_IPC_LIMITS_MET_H
#define BPFTUNE_IPC_LIMITS_MET_H

#include <stdbool.h>
#include <stdint.h>

#include "ipc/report.h"

#define LIMITS_MET_UNKNOWN UINT64_MAX

enum limit_met {
	LIMIT_LISTEN_OVERFLOWS,
	LIMIT_LISTEN_DROPS,
	LIMIT_REQ_Q_FULL_DROP,
	LIMIT_REQ_Q_FULL_DO_COOKIES,
	LIMIT_FASTOPEN_OVERFLOW,
	LIMIT_TCP_BACKLOG_DROP,
	LIMIT_TCP_RCV_Q_DROP,
	LIMIT_TCP_OFO_DROP,
	LIMIT_RCV_PRUNED,
	LIMIT_OFO_PRUNED,
	LIMIT_TCP_MEMORY_PRESSURES,
	LIMIT_TCP_ABORT_ON_MEMORY,
	LIMIT_TIME_WAIT_OVERFLOW,
	LIMIT_UDP_RCVBUF_ERRORS,
	LIMIT_UDP_SNDBUF_ERRORS,
	LIMIT_UDP_MEM_ERRORS,
	LIMIT_UDP6_RCVBUF_ERRORS,
	LIMIT_UDP6_SNDBUF_ERRORS,
	LIMIT_UDP6_MEM_ERRORS,
	LIMIT_IP_REASM_OVERFLOWS,
	LIMIT_IP6_REASM_OVERFLOWS,
	LIMIT_CONNTRACK_DROP,
	LIMIT_CONNTRACK_EARLY_DROP,
	LIMIT_ARP_TABLE_FULLS, /* it and those that follow: of the host only */
	LIMIT_NDISC_TABLE_FULLS,
	LIMIT_SOFTNET_DROPPED,
	LIMIT_SOFTNET_TIME_SQUEEZE,
	LIMIT_SOFTNET_FLOW_LIMIT,
	LIMIT_ORPHANS, /* how many there are now */
	N_LIMITS_MET
};

/* What is known of each, by number. */
struct limit_met_kind {
	const char *name;  /* as nstat(8) shows it, if it does */
	const char *tuner; /* that handles it; NULL: none */
	bool is_now;	   /* a number of now, not a counter */
};

extern const struct limit_met_kind limit_met_kinds[N_LIMITS_MET];

/* As a worker has read them, in the text of a report BPFTUNE_LIMITS_MET. */
struct limits_met {
	uint64_t read_ns;	       /* CLOCK_MONOTONIC */
	uint64_t counts[N_LIMITS_MET]; /* LIMITS_MET_UNKNOWN: this kernel or this namespace has no such counter */
};

_Static_assert(sizeof(struct limits_met) < BPFTUNE_TEXT_BYTES, "they fit a text");

#endif
