// SPDX-License-Identifier: GPL-2.0-or-later
#include "ipc/heap.h"

#include <string.h>

#include "ipc/watched.h"

/* In front of each object. */
struct header {
	size_t pool; /* which it is of */
};

_Static_assert(sizeof(struct header) <= HEAP_HEADER_BYTES, "objects are aligned as pool.c's are");

void *heap_get(struct heap *heap, size_t bytes)
{
	size_t i = 0;
	char *object;

	if (bytes > HEAP_BYTES_MAX)
		return NULL;
	if (is_watched()) /* then pools are malloc(), and a pointer past a header would look like a leak */
		return pool_get(&heap->pools[0], bytes);
	while (bytes + HEAP_HEADER_BYTES > (size_t)64 << i)
		i++;
	object = pool_get(&heap->pools[i], (size_t)64 << i);
	if (!object)
		return NULL;
	((struct header *)object)->pool = i;
	return object + HEAP_HEADER_BYTES;
}

void heap_put(struct heap *heap, void *object)
{
	char *start;

	if (!object)
		return;
	start = is_watched() ? object : (char *)object - HEAP_HEADER_BYTES;
	pool_put(&heap->pools[is_watched() ? 0 : ((struct header *)start)->pool], start);
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
