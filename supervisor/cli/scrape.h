/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What metrics are made of, asked of a supervisor: by one connection, until a deadline, and without a word on standard
 * error. */
#ifndef BPFTUNE_SUPERVISOR_CLI_SCRAPE_H
#define BPFTUNE_SUPERVISOR_CLI_SCRAPE_H

#include <jansson.h>
#include <stdint.h>

#include "supervisor/cli/metrics.h"

struct scrape_limits;

struct scrape {
	const char *run_dir;
	unsigned int timeout_ms;
	/*
	 * How long containers' limits are read each time, in turn: their workers wake up for that, and one that hangs
	 * takes a second. Of the others, what was read last is told.
	 */
	unsigned int limits_ms;
	/* Of this file only. */
	struct scrape_limits *limits;
	json_int_t limits_last; /* the instance whose limits were read last */
	unsigned int round;
};

/*
 * Complete metrics. If the supervisor does not answer they are bpftune_up 0 only, and `ret_error` is a -errno; else it
 * is 0. NULL: no memory.
 */
struct metrics *scrape_metrics(struct scrape *scrape, int *ret_error);

/* CLOCK_MONOTONIC, by which an answer is late. */
int64_t scrape_now_ms(void);

/* Frees what it keeps. */
void scrape_forget(struct scrape *scrape);

#endif
