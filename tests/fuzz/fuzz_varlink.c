// SPDX-License-Identifier: GPL-2.0-or-later
/* libFuzzer target: bytes of a control socket's client, in pieces of any size, to messages and back. */
#include <stdint.h>
#include <stdlib.h>

#include "ipc/unshared.h"
#include "ipc/varlink.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void got(void *arg, json_t *message)
{
	size_t n;

	(void)arg;
	json_text_free(varlink_encode(json_incref(message), &n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct varlink_reader reader = { .max = VARLINK_CALL_MAX };
	size_t piece = size ? data[0] % 61 + 1 : 1;

	for (size_t at = 0; at < size; at += piece)
		if (varlink_feed(&reader, (const char *)data + at, at + piece > size ? size - at : piece, got, NULL) < 0)
			break;
	varlink_reader_clear(&reader);
	return 0;
}
