// SPDX-License-Identifier: GPL-2.0-or-later
#include "ipc/unshared.h"

#include <jansson.h>
#include <string.h>

#include "ipc/heap.h"

/* The process's, as malloc(3)'s is: Jansson's functions are called without an argument of ours. */
static struct heap heap;

void *unshared_alloc(size_t bytes)
{
	return heap_get(&heap, bytes);
}

void *unshared_resize(void *object, size_t bytes)
{
	return heap_resize(&heap, object, bytes);
}

char *unshared_strdup(const char *text)
{
	return heap_strdup(&heap, text);
}

char *unshared_strndup(const char *text, size_t bytes)
{
	size_t n = strnlen(text, bytes);
	char *copy = heap_get(&heap, n + 1);

	return copy ? memcpy(copy, text, n) : NULL;
}

void unshared_free(void *object)
{
	heap_put(&heap, object);
}

void unshared_for_json(void)
{
	json_set_alloc_funcs(unshared_alloc, unshared_free);
}

void json_text_free(char *text)
{
	json_free_t free_text;

	json_get_alloc_funcs(NULL, &free_text);
	free_text(text);
}
