/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tcp_buffer's limits come down while TCP as a whole is short of memory, and return when the shortage is over. */
#ifndef BPFTUNE_TUNERS_TCP_GIVE_BACK_H
#define BPFTUNE_TUNERS_TCP_GIVE_BACK_H

#include "tuners/decide_tcp_buffer_memory.h"
#include "tuners/tcp_buffer.h"
#include "tuners/tuner.h"

/* What is known of an instance. Begins as zeroes. */
struct tcp_give_back {
	struct tcp_buffer_lowered lowered; /* what came down: to be remembered past this worker */
	struct tcp_buffer_period short_of_memory, eased;
	struct tcp_buffer_shortage shortage;
	uint64_t before_bytes[TCP_BUFFER_LIMITS]; /* the step that waits for its verdict */
	uint64_t ask_again_ns;			  /* the kernel, what is held here */
	bool told_no_diag;
};

/* What another worker left is true still: the programs are told. */
void tcp_give_back_resume(struct bpftune *b, const struct tcp_give_back *state);

/* Tells the programs of `lowered`, as it is now: which buffers are large, and whether to tell when memory has eased. */
void tcp_give_back_tell(struct bpftune *b, const struct tcp_buffer_lowered *lowered);

/*
 * An event TCP_BUFFER_MEMORY_SHORT or TCP_BUFFER_MEMORY_EASED: proposes what follows from it. `first_bytes`: the limits
 * before tcp_buffer's first step.
 */
void tcp_give_back_event(struct bpftune *b, struct tcp_give_back *state, const struct bpftune_event *event,
			 const int64_t first_bytes[TCP_BUFFER_LIMITS]);

#endif
