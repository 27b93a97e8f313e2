/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verdict on a step, and what is held for it: internal to decide_tcp_buffer*.c. Numbers in, numbers out. */
#ifndef BPFTUNE_TUNERS_DECIDE_TCP_BUFFER_JUDGE_H
#define BPFTUNE_TUNERS_DECIDE_TCP_BUFFER_JUDGE_H

#include "tuners/decide_tcp_buffer_measure.h"

#define HOLD_MIN_S 20

/* Nothing is raised on paths of that length for a while, which it gives in seconds: `first_s`, or twice as long as the
 * last hold. */
uint32_t side_hold(struct tcp_buffer_side *side, uint32_t min_rtt_us, uint64_t now_us, uint64_t first_s);
bool side_is_held(const struct tcp_buffer_side *side, const struct tcp_buffer_look *look);

/* The verdict after which nothing more is tried for a while. */
struct tcp_buffer_decision side_hold_off(struct tcp_buffer_side *side, enum tcp_buffer_action why, uint64_t now_us,
					 const struct tcp_buffer_limit *limit, uint64_t rate);

/* A look at the flow by which a step is judged. */
struct tcp_buffer_decision side_judge(struct tcp_buffer_side *side, const struct tcp_buffer_look *look,
				      const struct tcp_buffer_limit *limit);

/* A look at another flow, while a step waits for its verdict. */
struct tcp_buffer_decision side_inherit(struct tcp_buffer_side *side, const struct tcp_buffer_look *look,
					const struct tcp_buffer_limit *limit);

#endif
