/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tuners: shared objects of one directory, in order of file names; a tuner's number is its place. */
#ifndef BPFTUNE_SUPERVISOR_KERNEL_PLUGIN_H
#define BPFTUNE_SUPERVISOR_KERNEL_PLUGIN_H

#include <stddef.h>

#include "tuners/tuner.h"

struct plugins {
	size_t n;
	const struct bpftune_tuner *tuners[BPFTUNE_TUNERS_MAX]; /* by number */
	char *paths[BPFTUNE_TUNERS_MAX];
	void *handles[BPFTUNE_TUNERS_MAX];
};

/*
 * Opens every *.so of the directory. One that cannot be opened, exports no `bpftune_tuner`, was built
 * for another ABI, or owns what another one owns is left out; `complain` gets a sentence that names it.
 * -errno: the directory is unreadable.
 */
int plugins_open(struct plugins *plugins, const char *dir, void (*complain)(void *arg, const char *text), void *arg);

/* A tunable of this tuner that another one owns already, and which; NULL: none. */
const struct bpftune_tunable *plugins_find_owned(const struct plugins *plugins, const struct bpftune_tuner *tuner,
						 const struct bpftune_tuner **ret_owner);

void plugins_close(struct plugins *plugins);

#endif
