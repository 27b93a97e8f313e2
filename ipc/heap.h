/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Objects of any size, in memory that no forked child has: a pool (pool.h) for each power of two, and a mapping of its
 * own for what is larger.
 */
#ifndef BPFTUNE_IPC_HEAP_H
#define BPFTUNE_IPC_HEAP_H

#include "ipc/pool.h"

#define HEAP_POOLS 9 /* the smallest of 64 bytes */
#define HEAP_HEADER_BYTES 16
#define HEAP_POOL_BYTES_MAX ((64 << (HEAP_POOLS - 1)) - HEAP_HEADER_BYTES) /* larger ones are mapped */

#define HEAP_BYTES_MAX (1 << 30)

/* All zeros: an empty one. */
struct heap {
	struct pool pools[HEAP_POOLS];
};

/* All zeros. NULL: no memory, or too large. */
void *heap_get(struct heap *heap, size_t bytes);

/* The object with another size, maybe elsewhere; what is added has any value. NULL: no memory, or too large; the object
 * stays.
 */
void *heap_resize(struct heap *heap, void *object, size_t bytes);

/* NULL: nothing. */
void heap_put(struct heap *heap, void *object);

/* A copy of the text, or NULL. */
char *heap_strdup(struct heap *heap, const char *text);

/* When all objects were put back. */
void heap_close(struct heap *heap);

#endif
