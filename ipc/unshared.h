/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * malloc(3) for what concerns an instance: names, values, logs, calls. A worker is forked without exec, so what is in
 * malloc(3)'s memory, or was there before it was freed, each worker could read. No child has any of this memory. A child
 * that needs something of it is given a copy.
 */
#ifndef BPFTUNE_IPC_UNSHARED_H
#define BPFTUNE_IPC_UNSHARED_H

#include <stddef.h>

#include "ipc/cleanup.h"

/* As calloc(3), realloc(3), strdup(3), strndup(3), free(3). NULL: no memory. */
void *unshared_alloc(size_t bytes);
void *unshared_resize(void *object, size_t bytes);
char *unshared_strdup(const char *text);
char *unshared_strndup(const char *text, size_t bytes);
void unshared_free(void *object);

/* Whatever Jansson allocates from now on is there, too. */
void unshared_for_json(void);

/* Frees a text of json_dumps(3), wherever Jansson has it. */
void json_text_free(char *text);

static inline void unshared_freep(void *p)
{
	unshared_free(*(void **)p);
}

static inline void json_text_freep(char **text)
{
	json_text_free(*text);
}

#define _cleanup_unshared_ _cleanup_(unshared_freep)
#define _cleanup_json_text_ _cleanup_(json_text_freep)

#endif
