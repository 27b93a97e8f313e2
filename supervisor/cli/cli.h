/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The subcommands, but for `run`: each an exit status. Errors are said on standard error. */
#ifndef BPFTUNE_SUPERVISOR_CLI_CLI_H
#define BPFTUNE_SUPERVISOR_CLI_CLI_H

#include <stdbool.h>

/* What a running supervisor is asked. */
struct question {
	const char *run_dir;
	const char *container; /* NULL: all */
	const char *tuner;     /* of resume, off and on; NULL: all */
	bool all, json, follow, dry_run, offline;
	const char *output; /* of report and metrics: a file; NULL: standard output */
	const char *listen; /* of metrics: ADDRESS:PORT; NULL: none */
	int lines; /* -1: the supervisor's default */
	char *const *files; /* of advise */
	int n_files;
};

/* Says on standard error if the supervisor is of another version: an exit status, not done if nobody answers. */
int client_compare_versions(const struct question *question);

int client_status(const struct question *question);
int client_watch(const struct question *question);
int client_log(const struct question *question);
int client_report(const struct question *question);
/* It prints metrics also if no supervisor answers: those of none. */
int client_metrics(const struct question *question);
int client_rollback(const struct question *question);
/* `rollback --offline`, which asks no supervisor. */
int client_offline(const struct question *question);

int client_resume(const struct question *question);
int client_off(const struct question *question);
int client_on(const struct question *question);
int client_tuners(const struct question *question);

/* `advise`; with a container, `advise --apply-hints`. It asks a supervisor if one runs. */
int client_advise(const struct question *question);

/* `bpftune probe`: loads and attaches every hook for a moment, and prints what became of it. */
int probe_run(const char *plugin_dir);

#endif
