// SPDX-License-Identifier: GPL-2.0-or-later
#include "ipc/pool.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ipc/watched.h"

#define CHUNK_BYTES 65536
#define ALIGNED(bytes) (((bytes) + 15) & ~(size_t)15)

struct link {
	struct link *next;
};

static bool add_chunk(struct pool *pool)
{
	struct link *chunk = mmap(NULL, CHUNK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (chunk == MAP_FAILED)
		return false;
	madvise(chunk, CHUNK_BYTES, MADV_DONTFORK);
	chunk->next = pool->chunks;
	pool->chunks = chunk;
	pool->used_bytes = ALIGNED(sizeof(*chunk));
	return true;
}

void *pool_get(struct pool *pool, size_t bytes)
{
	struct link *object = pool->free;

	if (is_watched()) /* each is malloc()'s, so that use after pool_put() and leaks are found */
		return calloc(1, bytes);
	if (object) {
		pool->free = object->next;
		return memset(object, 0, bytes);
	}
	if ((!pool->chunks || pool->used_bytes + ALIGNED(bytes) > CHUNK_BYTES) && !add_chunk(pool))
		return NULL;
	object = (struct link *)((char *)pool->chunks + pool->used_bytes);
	pool->used_bytes += ALIGNED(bytes);
	return object;
}

void pool_put(struct pool *pool, void *object)
{
	struct link *link = object;

	if (is_watched()) {
		free(object);
		return;
	}
	link->next = pool->free;
	pool->free = link;
}

void pool_close(struct pool *pool)
{
	struct link *chunk, *next;

	for (chunk = pool->chunks; chunk; chunk = next) {
		next = chunk->next;
		munmap(chunk, CHUNK_BYTES);
	}
	*pool = (struct pool){ 0 };
}
