/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of connections of a worker's namespace, as /proc shows it. */
#ifndef BPFTUNE_TUNERS_CONNTRACK_TABLE_H
#define BPFTUNE_TUNERS_CONNTRACK_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "tuners/conntrack.h"

/* A time in which the limit was the same. Begins as zeroes. */
struct conntrack_window {
	struct conntrack_use begun;
	uint64_t since_ns;
};

/* What it has, and has counted since there was such a namespace (32 bits of that). 0; -errno: there is no such table.
 */
int conntrack_read(struct conntrack_use *ret_use);

/* The machine's buckets. */
int conntrack_read_buckets(uint64_t *ret_buckets);

/* What was counted in the window. False: it begins now. */
bool conntrack_look(struct conntrack_window *window, uint64_t now_ns, struct conntrack_use *ret_use);

#endif
