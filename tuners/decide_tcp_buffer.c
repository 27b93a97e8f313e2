// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/decide_tcp_buffer.h"

#include "tuners/decide_tcp_buffer_judge.h"

#define STEP_MAX 4
#define IDLE_MAX_PERCENT 75  /* one part in four busy calls for STEP_MAX */
#define IDLE_BOLD_PERCENT 60 /* two and a half times */
#define SMALL_BYTES (1 << 20)
#define TINY_BYTES (1 << 18)   /* an application's write may be as large: to double that may bring nothing */
#define LONG_US 30000000       /* in which a raised limit shows whether the path has use for it */
#define TOO_MUCH_PERCENT 250   /* of what the path carries then, */
#define LOWER_PERCENT 175      /* and what is left of that */

/* --- stepping ----------------------------------------------------------------------------------- */

int64_t tcp_buffer_next_bytes(const struct tcp_buffer_look *look, uint64_t rate, uint32_t idle_percent,
			      int64_t current_bytes, int64_t cap_bytes)
{
	uint64_t busy_percent = 100 - min_u64(idle_percent, IDLE_MAX_PERCENT);
	uint64_t called_for_bytes = scale(look_in_path_bytes(look, rate), 100, busy_percent), next_bytes, held_bytes;

	if (current_bytes <= 0 || current_bytes >= cap_bytes || look->limit_bytes < (uint64_t)current_bytes)
		return 0;
	/* One that waits in poll(2) is woken with two thirds held, and adds to that: sk_stream_write_space(). */
	held_bytes = max_u64(look->held_bytes, current_bytes - current_bytes / 4);
	if (called_for_bytes < held_bytes - held_bytes / 4)
		return 0; /* much of it waits in a queue already */
	next_bytes = max_u64(called_for_bytes, 2ULL * current_bytes);
	next_bytes = min_u64(next_bytes, (uint64_t)STEP_MAX * current_bytes);
	return min_u64(next_bytes, cap_bytes);
}

/* Not every waiting is accounted, a receiver knows of none. But where a step has paid, the next may be bold. */
static uint32_t idle_percent(const struct tcp_buffer_side *side, const struct tcp_buffer_look *look,
			     int64_t current_bytes)
{
	uint32_t waited = look_waited_percent(&side->from, look);

	if (!side->paid)
		return waited;
	return max_u64(waited, current_bytes < SMALL_BYTES ? IDLE_MAX_PERCENT : IDLE_BOLD_PERCENT);
}

/*
 * A raised limit that one flow fills, and of which the path carries less than two fifths for so long: the rest waits in
 * a queue, and the flow is no faster for it. The limit comes down to half of it at least. A short path says nothing
 * about the longer one that the limit was raised for.
 */
static struct tcp_buffer_decision look_for_queue(struct tcp_buffer_side *side, const struct tcp_buffer_look *look,
						 const struct tcp_buffer_limit *limit)
{
	struct tcp_buffer_decision decision = { .action = TCP_BUFFER_WAIT };
	struct tcp_buffer_look from = side->filled;
	uint64_t fit_bytes, long_us = side->is_unconfirmed ? look_patience_us(look) : LONG_US;

	if (!side->is_filled || !look_is_same_flow(look, &from) || from.limit_bytes != look->limit_bytes) {
		side->filled = *look;
		side->is_filled = look->is_limited && limit->first_bytes && limit->bytes > limit->first_bytes;
		return decision;
	}
	if (look_busy_us(&from, look) < long_us)
		return decision;
	side->is_filled = side->is_unconfirmed = false;
	decision.rate = look_rate(&from, look);
	decision.limited_percent = look_limited_percent(&from, look);
	fit_bytes = look_in_path_bytes(look, decision.rate);
	if (decision.limited_percent < LIMITED_MIN_PERCENT || look_peer_is_in_the_way(&from, look) ||
	    !look->held_bytes || 5ULL * look_shortest_rtt_us(look) < 4ULL * side->raised_rtt_us ||
	    look->srtt_us < (uint64_t)SOJOURN_MAX * look_shortest_rtt_us(look) ||
	    scale(fit_bytes, TOO_MUCH_PERCENT, 100) >= (uint64_t)limit->bytes)
		return decision;
	fit_bytes = max_u64(scale(fit_bytes, LOWER_PERCENT, 100), max_u64(limit->bytes / 2, limit->first_bytes));
	if (fit_bytes >= (uint64_t)limit->bytes)
		return decision;
	decision.action = TCP_BUFFER_LOWER;
	decision.bytes = fit_bytes;
	decision.hold_s = side_hold(side, look_shortest_rtt_us(look), look->time_us, HOLD_MIN_S);
	return decision;
}

static struct tcp_buffer_decision watch(struct tcp_buffer_side *side, const struct tcp_buffer_look *look,
					const struct tcp_buffer_limit *limit)
{
	struct tcp_buffer_decision decision = { .action = TCP_BUFFER_WAIT };
	struct tcp_buffer_look from = side->from;

	decision = look_for_queue(side, look, limit);
	if (decision.bytes)
		return decision;
	decision = (struct tcp_buffer_decision){ .action = TCP_BUFFER_WAIT };
	if (side_is_held(side, look)) {
		side->measuring = false;
		return decision;
	}
	if (!side->measuring || !look_follows(look, &from) || from.limit_bytes != look->limit_bytes ||
	    side_stood_still(side, look)) {
		side_measure_from(side, look);
		side->measuring = look->is_limited; /* not while it still grows by itself */
		return decision;
	}
	if (look_busy_us(&from, look) < (side->paid ? look_shortest_us(look) : look_steady_us(look)))
		return decision;
	decision.rate = look_rate(&from, look);
	decision.limited_percent = look_limited_percent(&from, look);
	if (decision.limited_percent >= LIMITED_MIN_PERCENT && !look_peer_is_in_the_way(&from, look))
		decision.bytes = tcp_buffer_next_bytes(look, decision.rate, idle_percent(side, look, limit->bytes),
						       limit->bytes, limit->cap_bytes);
	side_measure_from(side, look);
	side->measuring = look->is_limited;
	if (!decision.bytes)
		return decision;
	if (!side->has_gained && limit->bytes <= TINY_BYTES)
		decision.bytes = min_u64(STEP_MAX * limit->bytes, limit->cap_bytes);
	decision.action = TCP_BUFFER_STEP;
	side->judging = true;
	side->measuring = false;
	side->flow = look->flow;
	side->successors = side->gaps = 0;
	side->stepped = *look;
	side->seen_us = look->time_us;
	side->prev_rate = decision.rate;
	side->prev_srtt_us = look->srtt_us;
	side->prev_min_rtt_us = look_shortest_rtt_us(look);
	return decision;
}

/* --- a look ------------------------------------------------------------------------------------- */

static struct tcp_buffer_decision decide(struct tcp_buffer_side *side, const struct tcp_buffer_look *look,
					 const struct tcp_buffer_limit *limit)
{
	if (!limit->before_bytes) {
		if (side->judging) /* the step was not made: refused, or a dry run */
			side_hold(side, side->prev_min_rtt_us, look->time_us, HOLD_MIN_S);
		return watch(side, look, limit);
	}
	side->is_filled = false;
	if (!side->judging) {
		side->prev_rate = 0;
		side->prev_min_rtt_us = look_shortest_rtt_us(look);
		return side_hold_off(side, TCP_BUFFER_UNDO_LOST, look->time_us, limit, 0);
	}
	if (look->flow != side->flow)
		return side_inherit(side, look, limit);
	side->seen_us = look->time_us;
	return side_judge(side, look, limit);
}

struct tcp_buffer_decision tcp_buffer_decide(struct tcp_buffer_side *side, const struct tcp_buffer_look *look,
					     const struct tcp_buffer_limit *limit)
{
	struct tcp_buffer_decision decision;

	if (limit->is_foreign) /* all begins anew with such a limit, the holds as well */
		*side = (struct tcp_buffer_side){ .from = side->from,
						  .last = side->last,
						  .measuring = side->measuring };
	decision = decide(side, look, limit);
	side->last = *look;
	return decision;
}
