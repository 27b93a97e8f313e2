/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a worker remembers of remote hosts and of the networks that they are in: a table with room for so many of each,
 * in which a crowd of strangers pushes out other strangers, not what something was decided about.
 */
#ifndef BPFTUNE_TUNERS_REMOTES_H
#define BPFTUNE_TUNERS_REMOTES_H

#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "tuners/remote.h"

#define REMOTES_HOSTS_MAX 39
#define REMOTES_NETWORKS_MAX 24
/* One less than there are lines for in `status`: bpftune_learnt(). */
#define REMOTES_MAX (REMOTES_HOSTS_MAX + REMOTES_NETWORKS_MAX)

/* The first member of a tuner's own record. */
struct remotes_entry {
	uint8_t key[32];	 /* of a verdict: begins with a struct remote; what follows is the tuner's own */
	uint64_t valid_until_ns; /* of the verdict about it, CLOCK_MONOTONIC; 0: there is none */
	UT_hash_handle hh;
};

/* Begins as zeroes but for the size of a record, and who is told of a record that is about to be freed. */
struct remotes {
	size_t entry_bytes;
	unsigned int hosts_max; /* 0: REMOTES_HOSTS_MAX */
	void (*forget)(void *arg, const struct remotes_entry *entry);
	struct remotes_entry *first; /* and hh.next: the least recently told of comes first */
};

/* NULL: there is none. The second is for a key whose rest is zeroes. */
struct remotes_entry *remotes_find_key(const struct remotes *remotes, const uint8_t key[32]);
struct remotes_entry *remotes_find(const struct remotes *remotes, const struct remote *remote);

/*
 * Finds the record of a key, or makes one of zeroes; the record is the newest then. If there is no room, the oldest
 * host or network (whichever the key is) without a verdict goes; if nearly all have one, the oldest. NULL: no memory.
 */
struct remotes_entry *remotes_get(struct remotes *remotes, const uint8_t key[32], uint64_t now_ns, void *arg);

void remotes_free(struct remotes *remotes);

#endif
