/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tcp_buffer's limits come down while TCP as a whole is short of memory, and return when the shortage is over. */
#ifndef BPFTUNE_TUNERS_TCP_GIVE_BACK_H
#define BPFTUNE_TUNERS_TCP_GIVE_BACK_H

#include "tuners/decide_tcp_buffer_memory.h"
#include "tuners/tcp_buffer.h"
#include "tuners/tuner.h"

/* What is remembered of an instance. Begins as zeroes. */
struct tcp_give_back {
	struct tcp_buffer_lowered lowered;
	struct tcp_buffer_period short_of_memory, eased;
	bool told_no_diag;
};

/* An event TCP_BUFFER_MEMORY_SHORT or TCP_BUFFER_MEMORY_EASED: proposes what follows from it. */
void tcp_give_back_event(struct bpftune *b, struct tcp_give_back *state, const struct bpftune_event *event);

#endif
