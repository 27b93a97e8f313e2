/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The subcommands that ask a running supervisor, each an exit status. Errors are said on standard error. */
#ifndef BPFTUNE_SUPERVISOR_CLIENT_H
#define BPFTUNE_SUPERVISOR_CLIENT_H

#include <stdbool.h>

struct question {
	const char *run_dir;
	const char *container; /* NULL: all */
	bool json, follow;
	int lines; /* -1: the supervisor's default */
};

int client_status(const struct question *question);
int client_log(const struct question *question);
int client_tuners(const struct question *question);

#endif
