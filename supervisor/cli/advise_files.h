/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sysctl.d files, in the order in which they are applied. */
#ifndef BPFTUNE_SUPERVISOR_CLI_ADVISE_FILES_H
#define BPFTUNE_SUPERVISOR_CLI_ADVISE_FILES_H

#include "supervisor/cli/advise_line.h"

#define SYSCTL_FILE_BYTES (1 << 20) /* the most of one file; that of people is a few thousand */

struct sysctl_file {
	char *path;
	const char *shadowed_by; /* a directory that has a file of the same name: this one is not read; or NULL */
	bool is_read;
};

struct sysctl_line {
	struct setting setting;
	const char *path;
	unsigned int number;
	const struct sysctl_line *overridden_by; /* the last line that sets the same key, or NULL */
};

struct sysctl_files {
	struct sysctl_file *files;
	size_t n_files;
	struct sysctl_line *lines; /* that set something, or are malformed */
	size_t n_lines;
};

/* Adds a file at the end. 0 or -ENOMEM. */
int sysctl_files_add(struct sysctl_files *files, const char *path);

/*
 * Adds the *.conf files of the directories, by name. Of two with one name that of the earlier directory counts.
 * Directories that do not exist have none. 0 or -errno.
 */
int sysctl_files_find(struct sysctl_files *files, const char *const *dirs, size_t n_dirs, const char **ret_dir);

/* Whether a file that is read is the same one, by another name. */
bool sysctl_files_have(const struct sysctl_files *files, const char *path);

/* Reads the lines of that file, which may be a pipe. 0 or -errno; -EFBIG: it is longer than SYSCTL_FILE_BYTES. */
int sysctl_files_read(struct sysctl_files *files, struct sysctl_file *file);

/* When all are read: fills in `overridden_by`. 0 or -ENOMEM. */
int sysctl_files_compare(struct sysctl_files *files);

void sysctl_files_clear(struct sysctl_files *files);

#endif
