/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tcp_buffer's decisions in words: why a limit is changed, and what `bpftune status` shows of a direction. */
#ifndef BPFTUNE_TUNERS_TCP_BUFFER_SAY_H
#define BPFTUNE_TUNERS_TCP_BUFFER_SAY_H

#include "tuners/decide_tcp_buffer.h"
#include "tuners/tuner.h"

/* Proposes the step that was decided. */
void tcp_buffer_step(struct bpftune *b, const struct bpftune_event *event, unsigned int tunable,
		     const struct tcp_buffer_look *look, const struct tcp_buffer_decision *decision);

/* Proposes a lower limit; `prev_srtt_us`: the round trip before the step. */
void tcp_buffer_step_back(struct bpftune *b, const struct bpftune_event *event, unsigned int tunable,
			  const struct tcp_buffer_look *look, uint32_t prev_srtt_us,
			  const struct tcp_buffer_limit *limit, const struct tcp_buffer_decision *decision);

/* What was learnt of a direction. */
void tcp_buffer_tell_status(struct bpftune *b, unsigned int tunable, const struct tcp_buffer_limit *limit,
			    const struct tcp_buffer_decision *decision);

#endif
