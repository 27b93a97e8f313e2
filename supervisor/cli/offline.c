// SPDX-License-Identifier: GPL-2.0-or-later
/* `bpftune rollback --offline`. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "ipc/exit.h"
#include "supervisor/cli/rollback.h"
#include "supervisor/operator/operator.h"

static void complain(void *arg, const char *text)
{
	(void)arg;
	fprintf(stderr, "bpftune: %s\n", text);
}

/* 0, or an exit status: then it is said why not. */
static int lock(const char *run_dir, int *ret_fd)
{
	pid_t other = 0;
	char why[PATH_MAX + 256];
	int err;

	if (geteuid() != 0)
		return fprintf(stderr, "bpftune: cannot roll back: not root (use sudo)\n"), EXIT_FAILED;
	if (access(run_dir, F_OK) < 0) /* it is not to be made */
		err = -errno, snprintf(why, sizeof(why), "%s", strerror(errno));
	else
		err = run_dir_lock(run_dir, ret_fd, &other, why, sizeof(why));
	if (err == -EALREADY)
		fprintf(stderr,
			"bpftune: a supervisor runs on %s: pid %d (call 'bpftune rollback' without --offline, or stop it)\n",
			run_dir, other);
	else if (err)
		fprintf(stderr, "bpftune: cannot use the run directory %s: %s (--run-dir names another)\n", run_dir,
			why);
	return err ? EXIT_FAILED : EXIT_DONE;
}

int client_offline(const struct question *question)
{
	struct offline_refusal refusal;
	_cleanup_close_ int lock_fd = -1;
	json_t *result;
	size_t n_left = 0;
	int status;

	status = lock(question->run_dir, &lock_fd);
	if (status)
		return status;
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
