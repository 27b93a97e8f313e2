/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which connections of the caller's own namespace are stuck with segments that are too large, as the kernel tells. */
#ifndef BPFTUNE_TUNERS_PMTU_LOOK_H
#define BPFTUNE_TUNERS_PMTU_LOOK_H

#include <linux/inet_diag.h>

#include "tuners/decide_pmtu.h"
#include "tuners/remote.h"

#define PMTU_WATCHED_MAX 8

/* A connection that is stuck. */
struct pmtu_watched {
	struct inet_diag_sockid id;
	uint8_t family;
	uint32_t mss; /* bytes, then */
	uint64_t bytes_acked;
};

struct pmtu_look {
	struct remote remote;
	struct pmtu_counts counts;
	struct pmtu_watched watched[PMTU_WATCHED_MAX];
	unsigned int n_watched;
};

/*
 * Looks at all connections, for those to the look's remote; the rest of the look is filled in. The kernel walks through
 * all sockets for it, and takes their locks. 0 or -errno.
 */
int pmtu_look(struct pmtu_look *look);

/*
 * What has become of those that are watched: of those that have moved on with smaller segments, how large these are; 0:
 * there is none. Those that have moved on with others, or have ended, are watched no more.
 */
uint32_t pmtu_look_again(struct pmtu_look *look);

#endif
