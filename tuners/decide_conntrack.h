/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The arithmetic of conntrack: numbers in, numbers out.
 *
 * Who looks for room in a full table finds it in eight buckets, or not at all (net/netfilter/nf_conntrack_core.c:
 * early_drop()): an entry is evicted that has had no traffic both ways (it is not "assured"). Entries are in buckets at
 * random. So how often nothing is found tells which part of the table has had traffic both ways: no other count of the
 * kernel's does.
 */
#ifndef BPFTUNE_TUNERS_DECIDE_CONNTRACK_H
#define BPFTUNE_TUNERS_DECIDE_CONNTRACK_H

#include "tuners/conntrack.h"

#include <stdint.h>

enum conntrack_verdict {
	CONNTRACK_WAIT,	 /* too little was counted to tell */
	CONNTRACK_NEED,	 /* the table is full, of connections with traffic both ways for the most part */
	CONNTRACK_FLOOD, /* it is full, of others for the most part: more room would be filled likewise */
	CONNTRACK_OTHER, /* it is not full */
};

/* The part of the entries that has had no traffic both ways, in percent, as far as evictions tell. */
unsigned int conntrack_unanswered_percent(const struct conntrack_use *use);

enum conntrack_verdict conntrack_judge(const struct conntrack_use *use);

/* Of 1000 new connections, how many were refused. */
uint64_t conntrack_refused(const struct conntrack_use *use);

/* By how much all containers together may have the limit raised: entries that a 32nd of the machine's memory holds. */
int64_t conntrack_whole(uint64_t memory_pages, uint64_t page_bytes);

/* As far as the limit goes with so many buckets: four connections in each, as was the kernel's default until 5.15. */
int64_t conntrack_cap(uint64_t buckets);

/* What the limit would have to be for so many entries not to be near it. */
int64_t conntrack_kept(uint64_t entries);

#endif
