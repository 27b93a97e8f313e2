/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A tuner's file, before any of its code runs: whose it is, whether it is whole, which tuner of which ABI is in it. */
#ifndef BPFTUNE_SUPERVISOR_KERNEL_PLUGIN_FILE_H
#define BPFTUNE_SUPERVISOR_KERNEL_PLUGIN_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "tuners/tuner.h"

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
 * Opens the file for reading, if only root can change what is loaded: the file, the directory that the path names, and
 * the way to both (trust.h). -1: `ret_why` says why it is refused. The caller closes the descriptor.
 */
int plugin_file_open(const char *path, struct plugin_file *ret_file, char *ret_why, size_t size);

/*
 * The file's note. 0; -ENOEXEC: the file is no whole shared object for this machine; -ENOENT: it has no note of a
 * tuner.
 */
int plugin_file_note(int fd, struct bpftune_note *ret_note);

/*
 * A copy in memory, which stays as it is when somebody writes over the file: programs are mapped from it. -errno: the
 * kernel has none for us.
 */
int plugin_file_copy(int fd, const char *name);

#endif
