// SPDX-License-Identifier: GPL-2.0-or-later
#include "ipc/varlink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/cleanup.h"
#include "ipc/unshared.h"

static int take_message(const char *text, void (*got)(void *arg, json_t *message), void *arg)
{
	json_t *message = json_loads(text, JSON_REJECT_DUPLICATES, NULL);

	if (!json_is_object(message)) {
		json_decref(message);
		return -EBADMSG;
	}
	got(arg, message);
	json_decref(message);
	return 0;
}

int varlink_feed(struct varlink_reader *reader, const char *bytes, size_t n,
		 void (*got)(void *arg, json_t *message), void *arg)
{
	int err = 0;

	while (n && !err) {
		const char *end = memchr(bytes, '\0', n);
		size_t part = end ? (size_t)(end - bytes) + 1 : n;
		_cleanup_unshared_ char *message = NULL;
		char *buffer;

		if (reader->have + part > reader->max)
			return -EMSGSIZE;
		buffer = unshared_resize(reader->buffer, reader->have + part);
		if (!buffer)
			return -ENOMEM;
		reader->buffer = buffer;
		memcpy(buffer + reader->have, bytes, part);
		reader->have += part;
		bytes += part;
		n -= part;
		if (!end)
			break;
		message = take_ptr(reader->buffer);
		reader->have = 0;
		err = take_message(message, got, arg);
	}
	return err;
}

void varlink_reader_clear(struct varlink_reader *reader)
{
	unshared_free(reader->buffer);
	reader->buffer = NULL;
	reader->have = 0;
}

char *varlink_encode(json_t *message, size_t *ret_size)
{
	char *text = message ? json_dumps(message, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;

	json_decref(message);
	if (text)
		*ret_size = strlen(text) + 1;
	return text;
}
