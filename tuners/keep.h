/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When a tuner that decides often has the supervisor keep what it knows (bpftune_remember()): after a decision, but
 * while events come in not more than once in ten seconds, and at once when none came for a second. To be asked at each
 * tick.
 */
#ifndef BPFTUNE_TUNERS_KEEP_H
#define BPFTUNE_TUNERS_KEEP_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define KEEP_INTERVAL_NS 10000000000ULL

/* Begins as zeroes. */
struct keep {
	uint64_t next_ns; /* CLOCK_MONOTONIC */
	bool is_due;	  /* there is a decision that is not kept yet */
	bool has_heard;	  /* there was an event since the last tick */
};

static inline uint64_t keep_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

/* True when what is known is to be kept now. */
static inline bool keep_tick(struct keep *keep, uint64_t now_ns)
{
	bool must_wait = keep->has_heard && now_ns < keep->next_ns;

	keep->has_heard = false;
	if (!keep->is_due || must_wait)
		return false;
	keep->is_due = false;
	keep->next_ns = now_ns + KEEP_INTERVAL_NS;
	return true;
}

#endif
