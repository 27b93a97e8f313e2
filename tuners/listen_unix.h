/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Unix sockets whose queue is full: somaxconn bounds theirs, too, but no hook tells of them, and the kernel counts
 * none. */
#ifndef BPFTUNE_TUNERS_LISTEN_UNIX_H
#define BPFTUNE_TUNERS_LISTEN_UNIX_H

#include <stdint.h>

#include "tuners/tuner.h"

/* Begins as zeroes. */
struct listen_unix {
	uint64_t again_ns; /* the kernel is not asked before */
};

/* At a tick: which listening unix sockets of this namespace are full now? `status` tells, with the length that is
 * needed. */
void listen_unix_look(struct bpftune *b, struct listen_unix *state, uint32_t somaxconn);

#endif
