/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What neigh's BPF programs tell its handlers. */
#ifndef BPFTUNE_TUNERS_NEIGH_H
#define BPFTUNE_TUNERS_NEIGH_H

#include "ipc/event.h"

enum neigh_scenario {
	NEIGH_FULL,
	NEIGH_NEARLY_FULL,
	NEIGH_CHURN,
	NEIGH_IN_USE,
	NEIGH_UNANSWERED, /* no program tells it, nor those below */
	NEIGH_IN_PROPORTION,
	NEIGH_NOT_NEEDED,
};

/* Of one namespace, in one table. */
struct neigh_counts {
	__u32 created, answered; /* neighbours that are new, and those whose link-layer address was learnt */
	__u32 refused;		 /* neighbours that were not created: the table is full */
	__u32 remade;		 /* new neighbours that garbage collection had removed while they were of use */
};

struct neigh_use {
	__u32 is_ipv6; /* the table: what the event is about */
	__s32 entries; /* gc_entries: those that count against gc_thresh3, of all namespaces */
	__s32 thresh[3];
	__u32 now_ms; /* how long `now` has been counted */
	/*
	 * What is counted since a period of 5 s began; what was counted in the periods before, of which each weighs
	 * half of the next.
	 */
	struct neigh_counts now, past;
};

_Static_assert(sizeof(struct neigh_use) <= BPFTUNE_EVENT_PAYLOAD_BYTES, "fits an event");

#endif
