// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * libFuzzer target: the ledger's file, from its lines to the table and back.
 *
 * A random checksum is hardly ever right, so each line is tried as it is, and with its checksum mended:
 * what a line says must be checked as well as that it is whole.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "supervisor/changes/ledger.h"
#include "supervisor/changes/ledger_replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void replay(const char *text, size_t size)
{
	struct ledger ledger = { .fd = -1 };

	ledger_replay(&ledger, text, size, "boot");
	ledger_value(&ledger, 7, "net.ipv4.tcp_wmem", "1 2 3");
	ledger_close(&ledger);
}

static size_t mend(const char *text, size_t size, char *to)
{
	const char *end = text + size, *newline;
	size_t at = 0;

	for (; text < end && (newline = memchr(text, '\n', end - text)); text = newline + 1) {
		size_t n = newline - text;

		at += sprintf(to + at, "%08lx ", crc32(0, (const Bytef *)text, n));
		memcpy(to + at, text, n + 1);
		at += n + 1;
	}
	return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *mended = malloc(10 * size + 1);

	if (!mended)
		return 0;
	replay((const char *)data, size);
	replay(mended, mend((const char *)data, size, mended));
	free(mended);
	return 0;
}
