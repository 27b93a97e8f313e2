// SPDX-License-Identifier: GPL-2.0-or-later
/* `bpftune rollback --offline`. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/exit.h"
#include "supervisor/cli/rollback.h"
#include "supervisor/kernel/kernel.h"
#include "supervisor/operator/operator.h"

static void complain(void *arg, const char *text)
{
	(void)arg;
	fprintf(stderr, "bpftune: %s\n", text);
}

/* False: it is said why not. A directory that is not there is not to be made. */
static bool may_roll_back(const struct question *question, struct claim *claim)
{
	struct bpf_refusal refusal;

	if (geteuid() != 0)
		fprintf(stderr, "bpftune: cannot roll back: not root (use sudo)\n");
	else if (precondition_check(&refusal) < 0) /* elsewhere namespaces that live would be told of as gone */
		fprintf(stderr, "bpftune: %s\n", refusal.text);
	else if (access(question->run_dir, F_OK) < 0)
		fprintf(stderr, "bpftune: cannot use the run directory %s: %s (--run-dir names another)\n",
			question->run_dir, strerror(errno));
	else
		return claim_take(claim, question->run_dir, question->dry_run);
	return false;
}

/* As a supervisor: nothing is to tune meanwhile. */
static int roll_back(const struct question *question)
{
	struct offline_refusal refusal;
	json_t *result;
	size_t n_left = 0;

	setenv("UV_USE_IO_URING", "0", 1); /* as for the supervisor's workers */
	signal(SIGPIPE, SIG_IGN);	   /* a worker may end before it is told something */
	log_open(LOG_SINK_AUTO);
	if (rollback_offline(question->run_dir, question->container, question->dry_run, complain, NULL, &result,
			     &refusal) < 0) {
		fprintf(stderr, "bpftune: %s\n", refusal.text);
		return EXIT_FAILED;
	}
	print_rollback(question, result, &n_left);
	json_decref(result);
	return fflush(stdout) == EOF || n_left ? EXIT_FAILED : EXIT_DONE;
}

int client_offline(const struct question *question)
{
	struct claim claim = CLAIM_NONE;
	int status = may_roll_back(question, &claim) ? roll_back(question) : EXIT_FAILED;

	claim_drop(&claim);
	return status;
}
