/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The arithmetic of idle: numbers in, numbers out. */
#ifndef BPFTUNE_TUNERS_DECIDE_IDLE_H
#define BPFTUNE_TUNERS_DECIDE_IDLE_H

#include <stdbool.h>
#include <stdint.h>

/* Windows that were kept over idle times. */
struct idle_kept {
	uint32_t windows, lossy;
	uint64_t segs, lost;
};

/* Adds one; begins anew before that where so many were counted that what comes now would not show among them. */
void idle_add(struct idle_kept *kept, uint32_t segs, uint32_t lost);

/*
 * Whether they lose too much; restarted windows, before, have lost nothing. Four segments or more, which are one in a
 * hundred, or of more than one window in ten.
 */
bool idle_is_harmful(const struct idle_kept *kept);

/* For how long windows are not to be kept, after they have lost so often before: 10 min, 20 min ... 21 h. */
unsigned int idle_hold_s(unsigned int n_before);

#endif
