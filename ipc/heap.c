// SPDX-License-Identifier: GPL-2.0-or-later
#include "ipc/heap.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ipc/watched.h"

/* In front of each object. */
struct header {
	size_t pool;  /* which it is of; HEAP_POOLS: it has a mapping of its own */
	size_t bytes; /* of header and object together */
};

_Static_assert(sizeof(struct header) <= HEAP_HEADER_BYTES, "objects are aligned as pool.c's are");

static void *map(size_t bytes)
{
	void *mapping = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mapping == MAP_FAILED)
		return NULL;
	madvise(mapping, bytes, MADV_DONTFORK);
	return mapping;
}

void *heap_get(struct heap *heap, size_t bytes)
{
	size_t pool = 0, whole = bytes + HEAP_HEADER_BYTES;
	char *start;

	if (bytes > HEAP_BYTES_MAX)
		return NULL;
	if (is_watched()) /* then pools are malloc(), and a pointer past a header would look like a leak */
		return pool_get(&heap->pools[0], bytes);
	while (pool < HEAP_POOLS && whole > (size_t)64 << pool)
		pool++;
	if (pool < HEAP_POOLS)
		whole = (size_t)64 << pool;
	start = pool < HEAP_POOLS ? pool_get(&heap->pools[pool], whole) : map(whole);
	if (!start)
		return NULL;
	*(struct header *)start = (struct header){ pool, whole };
	return start + HEAP_HEADER_BYTES;
}

void *heap_resize(struct heap *heap, void *object, size_t bytes)
{
	const struct header *header;
	size_t room;
	void *other;

	if (bytes > HEAP_BYTES_MAX)
		return NULL;
	if (is_watched())
		return realloc(object, bytes);
	if (!object)
		return heap_get(heap, bytes);
	header = (const struct header *)((char *)object - HEAP_HEADER_BYTES);
	room = header->bytes - HEAP_HEADER_BYTES;
	if (bytes <= room)
		return object;
	other = heap_get(heap, bytes);
	if (!other)
		return NULL;
	memcpy(other, object, room);
	heap_put(heap, object);
	return other;
}

void heap_put(struct heap *heap, void *object)
{
	struct header *header;

	if (!object)
		return;
	if (is_watched()) {
		pool_put(&heap->pools[0], object);
		return;
	}
	header = (struct header *)((char *)object - HEAP_HEADER_BYTES);
	if (header->pool < HEAP_POOLS)
		pool_put(&heap->pools[header->pool], header);
	else
		munmap(header, header->bytes);
}

char *heap_strdup(struct heap *heap, const char *text)
{
	size_t bytes = strlen(text) + 1;
	char *copy = heap_get(heap, bytes);

	return copy ? memcpy(copy, text, bytes) : NULL;
}

void heap_close(struct heap *heap)
{
	for (size_t i = 0; i < HEAP_POOLS; i++)
		pool_close(&heap->pools[i]);
}
