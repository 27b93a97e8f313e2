/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tuners: shared objects of one directory. A tuner's number is its place, and is never another's while the supervisor
 * lives. */
#ifndef BPFTUNE_SUPERVISOR_KERNEL_PLUGIN_H
#define BPFTUNE_SUPERVISOR_KERNEL_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>

#include "supervisor/kernel/plugin_file.h"
#include "tuners/tuner.h"

enum plugin_state {
	PLUGIN_ACTIVE,
	PLUGIN_REPLACED, /* its path has another file by now, which is not loaded */
	PLUGIN_REMOVED,	 /* its file is gone: of the tuner, its tunables are left, to be rolled back */
	PLUGIN_REFUSED,	 /* a file that is not loaded */
};

/* A file of the directory that is not loaded. */
struct plugin_refused {
	char *path, *why;
};

struct plugins {
	size_t n;
	const struct bpftune_tuner *tuners[BPFTUNE_TUNERS_MAX]; /* by number */
	char *paths[BPFTUNE_TUNERS_MAX];
	void *handles[BPFTUNE_TUNERS_MAX];
	int fds[BPFTUNE_TUNERS_MAX]; /* what is loaded: while one is open, its number names no other file to the linker
				      */
	enum plugin_state states[BPFTUNE_TUNERS_MAX];
	const char *whys[BPFTUNE_TUNERS_MAX]; /* why in that state; NULL: nothing to say */
	struct plugin_file files[BPFTUNE_TUNERS_MAX];
	struct bpftune_tuner
		husks[BPFTUNE_TUNERS_MAX]; /* what tuners[] has of a removed one: no handlers, no scenarios */
	struct plugin_refused *refused;
	size_t n_refused;
};

/*
 * Opens every *.so of the directory, in order of names. One that somebody else than root can change, that cannot be
 * opened, exports no `bpftune_tuner`, was built for another ABI, or owns what another one owns is left out; `complain`
 * gets a sentence that names it. -errno: the directory is unreadable.
 */
int plugins_open(struct plugins *plugins, const char *dir, void (*complain)(void *arg, const char *text), void *arg);

/* Opens DIR/NAME, which gets the next number. NULL: done; else why not, which is also among the refused. */
const char *plugins_add(struct plugins *plugins, const char *dir, const char *name);

/* The number of the tuner that was loaded from there and not removed; -1: none. */
int plugins_find_path(const struct plugins *plugins, const char *path);

/* Its file is gone. Its code stays mapped, as workers have it too, but nobody is to call it. */
void plugins_remove(struct plugins *plugins, uint16_t number);

/* Compares the tuner with the file that is in its place now; true: its state is another than before. */
bool plugins_compare(struct plugins *plugins, uint16_t number, const struct plugin_file *now);

/* A refused file is gone. */
void plugins_forget_refused(struct plugins *plugins, const char *path);

const char *plugin_state_name(enum plugin_state state);

bool plugins_is_removed(const struct plugins *plugins, uint16_t number);

/* Whether the tunable is that tuner's: a removed tuner's may be another's by now. */
bool plugins_is_owner(const struct plugins *plugins, uint16_t number, size_t tunable);

/* A tunable of this tuner that another one owns already, and which; NULL: none. */
const struct bpftune_tunable *plugins_find_owned(const struct plugins *plugins, const struct bpftune_tuner *tuner,
						 const struct bpftune_tuner **ret_owner);

void plugins_close(struct plugins *plugins);

#endif
