/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The Varlink wire protocol (varlink.org): JSON objects, each ended by a NUL byte. */
#ifndef BPFTUNE_IPC_VARLINK_H
#define BPFTUNE_IPC_VARLINK_H

#include <jansson.h>
#include <stddef.h>

/* A status of a few thousand instances fits; what is longer is no message of ours. */
#define VARLINK_MESSAGE_MAX (32 * 1024 * 1024)
#define VARLINK_CALL_MAX (64 * 1024)

struct varlink_reader {
	size_t max;    /* bytes of one message; longer ones are refused */
	char *buffer;  /* the reader's own: bytes of an unfinished message */
	size_t have;
};

/*
 * Takes n bytes and hands each message that is complete to `got`, which borrows it. 0; -EMSGSIZE: too
 * long; -EBADMSG: not a JSON object; -ENOMEM. After an error the connection is of no use.
 */
int varlink_feed(struct varlink_reader *reader, const char *bytes, size_t n,
		 void (*got)(void *arg, json_t *message), void *arg);

void varlink_reader_clear(struct varlink_reader *reader);

/* The message with its NUL, for json_text_free(), and its size with it. Takes the reference. NULL: no memory. */
char *varlink_encode(json_t *message, size_t *ret_size);

#endif
