/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A worker for one errand, while no supervisor runs: it reads some values of its namespace, and puts back those that it
 * is told to. Calls wait for it.
 */
#ifndef BPFTUNE_SUPERVISOR_CHANGES_ERRAND_H
#define BPFTUNE_SUPERVISOR_CHANGES_ERRAND_H

#include <stdbool.h>
#include <sys/types.h>

#include "ipc/pipe.h"
#include "ipc/report.h"
#include "supervisor/changes/ledger_table.h"
#include "tuners/tuner.h"
#include "worker/confine.h"

struct errand_value {
	char name[LEDGER_NAME_BYTES];	 /* a copy: the worker does not have what is in a pool */
	char value[BPFTUNE_VALUE_BYTES]; /* as read */
	int error;			 /* -errno of reading it */
};

struct errand {
	size_t n;
	struct errand_value *values;	       /* the caller's */
	const struct confinement *confinement; /* the caller's, too */

	/* Of this file only. */
	struct bpftune view;
	struct bpftune_tuner tuner; /* one that has these tunables, and does nothing by itself */
	struct bpftune_tunable *tunables;
	pid_t pid; /* 0: none */
	int event_fd, report_fd;
	struct record_reader reader;
	bool is_answered;
	struct bpftune_report change;  /* the last */
	char said[BPFTUNE_TEXT_BYTES]; /* its last words */
};

/*
 * Forks the worker into the namespace of that descriptor, if its cookie is that one. When it returns, the values are
 * read. 0 or -errno: then `said` may have more. errand_end() in any case.
 */
int errand_start(struct errand *errand, uint64_t netns_cookie, int netns_fd);

/* Puts back one value, unless it is not as it was read any more (-ESTALE); tells what was read back. 0 or -errno. */
int errand_restore(struct errand *errand, size_t i, const char *value, char ret_value[BPFTUNE_VALUE_BYTES]);

void errand_end(struct errand *errand);

#endif
