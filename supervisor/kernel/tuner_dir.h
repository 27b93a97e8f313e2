/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tuners' directory while the supervisor runs: tuners come and go with their files. */
#ifndef BPFTUNE_SUPERVISOR_KERNEL_TUNER_DIR_H
#define BPFTUNE_SUPERVISOR_KERNEL_TUNER_DIR_H

#include <uv.h>

#include "supervisor/kernel/kernel.h"

#define TUNER_DIR_WAIT_MS 250 /* from the first news on: a package manager writes several files */
#define TUNER_DIR_NAMES_MAX 64

struct tuner_dir {
	uv_loop_t *loop;
	struct kernel *kernel;
	const char *path;
	void (*tell)(void *arg, int severity, const char *text);
	/* Tuners were added, or removed (bits by number); the kernel room is up to date. */
	void (*changed)(void *arg, uint64_t added, uint64_t removed);
	void *arg;

	/* Of this file only. */
	int fd, watch; /* inotify; -1 */
	uv_poll_t poll;
	uv_timer_t due;
	char *names[TUNER_DIR_NAMES_MAX]; /* of files that have news */
	size_t n_names;
	bool all; /* the directory is another one, or there was more news than names */
};

/*
 * Begins to watch: before the tuners are opened, so that nothing is missed. Where that is not possible, it is told, and
 * tuners stay those of the start.
 */
void tuner_dir_start(struct tuner_dir *dir);

/* Closes its handles: the loop is to run once more. */
void tuner_dir_stop(struct tuner_dir *dir);

#endif
