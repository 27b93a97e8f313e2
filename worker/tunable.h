/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one write path: propose -> check -> intent to the supervisor's ledger -> its answer -> write ->
 * read back -> report.
 */
#ifndef BPFTUNE_WORKER_TUNABLE_H
#define BPFTUNE_WORKER_TUNABLE_H

#include <stdbool.h>

#include "tuners/tuner.h"

struct budget;
struct remedy;

struct tunable {
	char value[BPFTUNE_VALUE_BYTES]; /* as last read; "" when unreadable */
	char ours[BPFTUNE_VALUE_BYTES];  /* as we last wrote it, or first read it */
	struct bpftune_report intent;    /* while `pending` */
	bool pending;                    /* an intent waits for its answer */
	uint64_t doubtful_ns; /* time of the READ for which it was read: a write may not have been made by then; 0: none */
};

/* A tuner at work in this worker. */
struct engine {
	const struct bpftune_tuner *tuner;
	uint16_t number;
	bool off;    /* init failed */
	void *state; /* the tuner's */
	uint64_t heard_ns; /* when its latest event came */
	uint64_t wake_ns;  /* when it is to be woken; 0: not */
	uint32_t n_askers; /* the instances that may ask, as of the last request */
	struct tunable *tunables;
	struct remedy *remedies; /* one for each of the tuner's */
	struct bpftune_memory memories[N_BPFTUNE_MEMORY_KINDS]; /* as the supervisor has them */
};

/* What bpftune_...() calls of handlers work on. */
struct worker {
	struct bpftune *instance;
	int report_fd;
	int sysctls_fd; /* /proc/sys, to be read only: supervisor/kernel/procfs.h */
	int written_fd; /* kept open: confine.h */
	bool dry_run; /* say what would change, change nothing */
	struct engine *engines; /* by tuner number */
	size_t n_engines;
	struct engine *running; /* the tuner whose handler runs */
	uint64_t now_ns;	/* CLOCK_MONOTONIC, when the loop last called */
	struct budget *budget;	/* what the host's tunables were asked for; NULL: nothing was */
};

/* The one worker that this process is, for the API functions that tuners call. */
void tunable_set_worker(struct worker *worker);
struct worker *tunable_worker(void);

/* The tunable is this worker's to write. */
bool tunable_is_ours(const struct worker *worker, const struct bpftune_tunable *tunable);

/* Reads all tunables of the engine that this instance has, and reports each value. */
void tunable_read_all(struct worker *worker, struct engine *engine);

/* The supervisor's answer to an intent: carries it out, or forgets it. */
void tunable_answer(struct worker *worker, const struct bpftune_owner *owner, bool granted);

/*
 * Reads one tunable again and reports its value. True: a look a little later is due, as the hook that tells of a write runs
 * before it (kernel/bpf/cgroup.c: __cgroup_bpf_run_filter_sysctl()), and does not tell of another right after it.
 */
bool tunable_read(struct worker *worker, const struct bpftune_owner *owner, uint64_t order_ns);

/* That look. */
void tunable_read_doubtful(struct worker *worker);

/* Puts a value back, unless somebody else changed it since this worker began or last wrote it. */
void tunable_restore(struct worker *worker, const struct bpftune_restore *restore);

#endif
