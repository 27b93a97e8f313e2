/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The process of one instance: it enters the namespace once, and serves events until its pipe ends. */
#ifndef BPFTUNE_WORKER_WORKER_H
#define BPFTUNE_WORKER_WORKER_H

#include <stdbool.h>
#include <sys/types.h>

#include "tuners/tuner.h"

struct worker_start {
	struct bpftune *instance;                    /* the fork's copy */
	const struct bpftune_tuner *const *tuners;   /* by number */
	size_t n_tuners;
	int event_fd, report_fd;                     /* its two pipes */
	int netns_fd;                                /* of the namespace to enter; -1: stay (the host) */
	pid_t supervisor;
	bool dry_run;
};

/* The child's side of the fork. */
_Noreturn void worker_main(const struct worker_start *start);

/* SO_NETNS_COOKIE of the caller's namespace; 0 with errno set when the kernel has none. */
uint64_t worker_netns_cookie(void);

#endif
