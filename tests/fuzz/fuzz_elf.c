// SPDX-License-Identifier: GPL-2.0-or-later
/* libFuzzer target: a tuner's file, as it is looked at before any of its code runs. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ipc/cleanup.h"
#include "supervisor/kernel/plugin_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_close_ int fd = memfd_create("tuner", MFD_CLOEXEC);
	struct bpftune_note note;

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		return 0;
	if (plugin_file_note(fd, &note) == 0 && (!*note.name || !memchr(note.name, '\0', sizeof(note.name))))
		abort();
	return 0;
}
