// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/decide_conntrack.h"

#include <math.h>
#include <stdbool.h>

#define SEARCHED_BUCKETS 8 /* net/netfilter/nf_conntrack_core.c: NF_CT_EVICTION_RANGE */
#define TUPLES 2	   /* of an entry: one for each direction, each in a bucket of its own */
#define UNANSWERED_MAX_PERCENT 50
#define EVICTIONS_MIN 8 /* that a flood would have come to: then their absence tells */
#define ENTRY_BYTES 400 /* struct nf_conn, its extensions, two heads of buckets */
#define WHOLE_SHARE 32
#define CONNECTIONS_PER_BUCKET 4

/* Entries of this namespace that a search looks at, on average. */
static double searched(const struct conntrack_use *use)
{
	return use->buckets ? (double)SEARCHED_BUCKETS * TUPLES * use->entries / use->buckets : 0;
}

static double attempts(const struct conntrack_use *use)
{
	return (double)use->dropped + use->evicted;
}

unsigned int conntrack_unanswered_percent(const struct conntrack_use *use)
{
	double part;

	if (!use->evicted)
		return 0;
	/*
	 * What lies in buckets at random is not in these with a probability of e^-n, where n of it are expected there.
	 * Infinite, if nothing was dropped, or nothing can be expected there.
	 */
	part = -log(use->dropped / attempts(use)) / searched(use);
	return part < 1 ? (unsigned int)(100 * part) : 100;
}

/* As many packets were refused or made room for as would show a flood. */
static bool is_enough(const struct conntrack_use *use)
{
	return attempts(use) * (1 - exp(-searched(use))) >= EVICTIONS_MIN;
}

enum conntrack_verdict conntrack_judge(const struct conntrack_use *use)
{
	if (!use->max || !use->dropped || use->entries < use->max - use->max / 8)
		return CONNTRACK_OTHER;
	if (!is_enough(use))
		return CONNTRACK_WAIT;
	return conntrack_unanswered_percent(use) <= UNANSWERED_MAX_PERCENT ? CONNTRACK_NEED : CONNTRACK_FLOOD;
}

uint64_t conntrack_refused(const struct conntrack_use *use)
{
	return use->dropped ? 1000 * (use->dropped / attempts(use)) : 0;
}

int64_t conntrack_whole(uint64_t memory_pages, uint64_t page_bytes)
{
	if (!page_bytes || memory_pages == UINT64_MAX) /* sysconf(3) failed */
		return 0;
	return memory_pages / WHOLE_SHARE * page_bytes / ENTRY_BYTES;
}

int64_t conntrack_cap(uint64_t buckets)
{
	return buckets < INT32_MAX / CONNECTIONS_PER_BUCKET ? (int64_t)buckets * CONNECTIONS_PER_BUCKET : INT32_MAX;
}

int64_t conntrack_kept(uint64_t entries)
{
	return entries < INT32_MAX ? (int64_t)(entries + entries / 4) : INT32_MAX;
}
