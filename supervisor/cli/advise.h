/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `bpftune advise`: what its files share. */
#ifndef BPFTUNE_SUPERVISOR_CLI_ADVISE_H
#define BPFTUNE_SUPERVISOR_CLI_ADVISE_H

#include <jansson.h>

#include "supervisor/cli/advise_files.h"
#include "supervisor/cli/advise_scope.h"

struct advice {
	struct sysctl_files files;
	struct sysctl_look *looks; /* one for each line of the files */
	json_t *instances;	   /* as of `status --json`; empty without a supervisor */
	bool is_installed;	   /* the files are those that the machine applies */
	unsigned int n_errors, n_warnings;
};

/* Says all that there is to say about this line of the files, and counts. */
void advise_line(struct advice *advice, size_t i);

/* What is known of this tunable in an instance of `status --json`, or NULL: borrowed. */
json_t *advise_tunable(json_t *instance, const char *name);

/* Its value is a tuner's: neither the first one nor somebody else's. */
bool advise_is_tuned(json_t *instance, json_t *tunable);

/* `advise --apply-hints`: an exit status. */
int advise_hints(json_t *instance);

#endif
