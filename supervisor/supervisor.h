/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The supervisor: one loop, no threads. It makes the rooms, and tells each what the rooms below have to say. */
#ifndef BPFTUNE_SUPERVISOR_SUPERVISOR_H
#define BPFTUNE_SUPERVISOR_SUPERVISOR_H

#include <stdbool.h>

#define BPFTUNE_RUN_DIR "/run/bpftune"

struct options {
	const char *run_dir, *plugin_dir;
	const char *state_dir; /* for what outlasts a boot */
	bool to_stderr, debug, dry_run, rollback;
};

/* `bpftune run`: an exit status. */
int supervisor_run(const struct options *options);

#endif
