/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A tuner's file, before any of its code runs: whose it is, whether it is whole, which ABI it was built for. */
#ifndef BPFTUNE_SUPERVISOR_KERNEL_PLUGIN_FILE_H
#define BPFTUNE_SUPERVISOR_KERNEL_PLUGIN_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

/* What tells one file of a path from a later one. */
struct plugin_file {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec modified;
};

/* NAME.so, and not hidden: package managers write .NAME.so, NAME.so.dpkg-new or NAME.so;5f3a and rename that. */
bool plugin_file_is_tuner(const char *name);

/* 0 or -errno. */
int plugin_file_identify(const char *path, struct plugin_file *ret_file);
bool plugin_file_is_same(const struct plugin_file *a, const struct plugin_file *b);

/*
 * Opens DIR/NAME. `roots_only`: nobody but root may have written it, nor been able to put it there. -1: `ret_why` says
 * why it is refused. The caller closes the descriptor.
 */
int plugin_file_open(const char *dir, const char *name, bool roots_only, struct plugin_file *ret_file, char *ret_why,
		     size_t size);

/*
 * The `abi` of the file's `bpftune_tuner`, read from the file. 0; -ENOEXEC: it is no whole shared object for this
 * machine; -ENOENT: it has no such symbol.
 */
int plugin_file_abi(int fd, uint32_t *ret_abi);

/*
 * A copy in memory, which stays as it is when somebody writes over the file: programs are mapped from it. -errno: the
 * kernel has none for us.
 */
int plugin_file_copy(int fd, const char *name);

#endif
