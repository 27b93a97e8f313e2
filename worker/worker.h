/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The process of one instance: it enters the namespace once, and serves events until its pipe ends. */
#ifndef BPFTUNE_WORKER_WORKER_H
#define BPFTUNE_WORKER_WORKER_H

#include <stdbool.h>
#include <sys/types.h>

#include "tuners/tuner.h"
#include "worker/confine.h"

/* What a worker starts with. */
enum worker_fd {
	WORKER_EVENTS,
	WORKER_REPORTS, /* its two pipes */
	WORKER_SYSCTLS, /* the directory /proc/sys, to read */
	WORKER_NETNS,	/* the namespace to enter; -1: stay (the host) */
	N_WORKER_FDS
};

struct worker_start {
	struct bpftune *instance;                    /* the worker's own copy */
	const struct bpftune_tuner *const *tuners;   /* by number */
	size_t n_tuners;
	int fds[N_WORKER_FDS];                       /* their numbers ascend */
	pid_t supervisor;
	const struct confinement *confinement;
	/* What the worker before it has left, of the tuners by number, of each by kind; NULL: nothing. */
	const struct bpftune_memory *memories;
	bool dry_run;
};

/* The child's side of the fork. */
_Noreturn void worker_main(const struct worker_start *start);

/* SO_NETNS_COOKIE of the caller's namespace; 0 with errno set when the kernel has none. */
uint64_t worker_netns_cookie(void);

#endif
