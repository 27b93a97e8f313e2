// SPDX-License-Identifier: GPL-2.0-or-later
/* Gives each file of a corpus to a libFuzzer target: what was found once is tried by each build, with any compiler. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "ipc/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	size_t room = 1 << 20, size;
	uint8_t *data, *exact;

	data = file ? malloc(room) : NULL;
	if (!data) {
		perror(path);
		return 1;
	}
	size = fread(data, 1, room, file);
	exact = realloc(data, size ? size : 1); /* for a sanitizer to see what is read past the end */
	LLVMFuzzerTestOneInput(exact ? exact : data, size);
	free(exact ? exact : data);
	return 0;
}

int main(int argc, char **argv)
{
	int failed = argc < 2;

	for (int i = 1; i < argc; i++)
		failed |= replay(argv[i]);
	return failed;
}
