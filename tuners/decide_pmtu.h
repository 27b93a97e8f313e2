/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What pmtu makes of the connections of a namespace: numbers in, a decision out. */
#ifndef BPFTUNE_TUNERS_DECIDE_PMTU_H
#define BPFTUNE_TUNERS_DECIDE_PMTU_H

#include <stdbool.h>
#include <stdint.h>

/* The connections at the moment at which one to a remote is stuck with a segment of full size. */
struct pmtu_counts {
	unsigned int stuck;	/* to this remote */
	unsigned int answering; /* to this remote: an acknowledgement has just come, though maybe of something small */
	unsigned int moving;	/* to others: one has just come */
};

/*
 * A remote or a network that is down looks the same but for what is small. So the remote must have answered meanwhile;
 * or two connections are stuck, and others move.
 */
bool pmtu_is_black_hole(const struct pmtu_counts *counts);

/* What has become of the connections that were stuck when probing began. */
struct pmtu_outcome {
	unsigned int stuck;   /* as before */
	unsigned int rescued; /* moved on, with smaller segments */
	uint64_t since_ns;    /* how long it has been */
};

enum pmtu_verdict {
	PMTU_WAIT,
	PMTU_HELPED,
	PMTU_USELESS, /* those that moved on did so with segments as large as before; or they have ended, or are still
			 stuck */
};

enum pmtu_verdict pmtu_judge(const struct pmtu_outcome *outcome);

/* For how long probing is not to be turned on, after it was useless so often before: 10 min, 20 min ... 21 h. */
uint64_t pmtu_hold_ns(unsigned int n_before);

#endif
