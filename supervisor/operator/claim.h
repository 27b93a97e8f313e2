/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a supervisor has to itself while it lives: its run directory, and the machine. */
#ifndef BPFTUNE_SUPERVISOR_OPERATOR_CLAIM_H
#define BPFTUNE_SUPERVISOR_OPERATOR_CLAIM_H

#include <stdbool.h>

/* Only root can open it: a lock on what others can open would let them keep every supervisor from starting. */
#define CLAIM_MACHINE_DIR "/run/bpftune"
#define CLAIM_MACHINE_LOCK CLAIM_MACHINE_DIR "/machine.lock"

struct claim {
	int run_dir_fd, machine_fd; /* locked files; -1 */
};

#define CLAIM_NONE ((struct claim){ -1, -1 })

/*
 * Takes the run directory, and the machine unless `dry_run`: a supervisor that changes nothing may run beside another.
 * False: it is not possible, and standard error says why.
 */
bool claim_take(struct claim *claim, const char *run_dir, bool dry_run);

void claim_drop(struct claim *claim);

#endif
