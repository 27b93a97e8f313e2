/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel shows of itself, and how it is asked: BPF programs and their maps, namespaces and cgroups as files. */
#ifndef BPFTUNE_SUPERVISOR_KERNEL_KERNEL_H
#define BPFTUNE_SUPERVISOR_KERNEL_KERNEL_H

#include "supervisor/kernel/bpf.h"
#include "supervisor/kernel/bpf_maps.h"
#include "supervisor/kernel/brief.h"
#include "supervisor/kernel/cgroupfs.h"
#include "supervisor/kernel/nsfs.h"
#include "supervisor/kernel/plugin.h"
#include "supervisor/kernel/procfs.h"
#include "supervisor/kernel/ring.h"
#include "supervisor/kernel/precondition.h"
#include "supervisor/kernel/survey.h"
#include "supervisor/kernel/task.h"
#include "supervisor/kernel/trust.h"

struct kernel {
	struct procfs procfs;
	struct cgroupfs cgroupfs;
	struct bpftune_host host; /* the BPF objects */
	struct plugins plugins;   /* the tuners, whose programs are among them */
};

/*
 * Finds cgroup2 and loads watch.bpf.c. 0; -EPERM: this process may not, or it is where a supervisor must not be;
 * -EOPNOTSUPP (the kernel lacks something) or another -errno, with the refusal in words.
 */
int kernel_open(struct kernel *kernel, uint64_t host_cookie, struct bpf_refusal *ret_refusal);

/*
 * Opens the tuners of a directory, and loads and attaches their BPF programs; `complain` gets a sentence about each that
 * could not be, or not wholly. -errno: the directory cannot be read.
 */
int kernel_open_tuners(struct kernel *kernel, const char *dir, void (*complain)(void *arg, const char *text), void *arg);

/* Opens one more, DIR/NAME, likewise. False: it is refused. */
bool kernel_add_tuner(struct kernel *kernel, const char *dir, const char *name,
		      void (*complain)(void *arg, const char *text), void *arg);

/* The file of that tuner is gone: its BPF programs are detached. */
void kernel_remove_tuner(struct kernel *kernel, uint16_t number);

/* Also after kernel_open() failed. */
void kernel_close(struct kernel *kernel);

/* --- the tuners' directory, while the supervisor runs ------------------------------------------- */

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
