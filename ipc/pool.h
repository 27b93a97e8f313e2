/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Objects of one size, in memory that no forked child has. Without it each worker keeps a copy of every page that
 * changes after its fork, and each fork copies the page tables of all that the supervisor knows.
 */
#ifndef BPFTUNE_IPC_POOL_H
#define BPFTUNE_IPC_POOL_H

#include <stddef.h>

/* All zeros: an empty one. */
struct pool {
	void *free;	   /* objects that were put back, each with a pointer to the next */
	void *chunks;	   /* newest first, each with a pointer to the next */
	size_t used_bytes; /* of the newest */
};

/* An object of all zeros, whose size is that of all objects of the pool, at most 16 KiB. NULL: no memory. */
void *pool_get(struct pool *pool, size_t bytes);

void pool_put(struct pool *pool, void *object);

/* When all objects were put back. */
void pool_close(struct pool *pool);

#endif
