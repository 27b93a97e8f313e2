// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/decide_tcp_buffer_judge.h"

#define LITTLE_PERCENT 4       /* more than this is a gain, if not enough for another step */
#define UNPROVEN_US 20000000 /* so long it waits for a flow that can tell */
#define SUCCESSORS_MAX 2
#define HOLD_FIRST_S 1 /* where one bad look may have been the reason */
#define HOLD_MAX_S 3600
#define GAPS_MAX 3

/* --- holding ------------------------------------------------------------------------------------ */

static unsigned int length_of(uint32_t min_rtt_us)
{
	unsigned int length = 0;

	for (min_rtt_us /= 1024; min_rtt_us && length < TCP_BUFFER_LENGTHS - 1; min_rtt_us /= 2)
		length++;
	return length;
}

static uint32_t hold(struct tcp_buffer_side *side, unsigned int length, uint64_t now_us, uint64_t first_s)
{
	uint64_t last_s = side->holds[length].s;
	uint64_t s = last_s ? max_u64(min_u64(2 * last_s, HOLD_MAX_S), first_s) : first_s;

	side->holds[length].s = s;
	side->holds[length].until_us = now_us + s * USEC_PER_SEC;
	side->judging = side->measuring = side->paid = false;
	return s;
}

void tcp_buffer_hold(struct tcp_buffer_side *side, uint64_t now_us)
{
	for (unsigned int length = 0; length < TCP_BUFFER_LENGTHS; length++)
		hold(side, length, now_us, HOLD_MIN_S);
}

uint32_t side_hold(struct tcp_buffer_side *side, uint32_t min_rtt_us, uint64_t now_us, uint64_t first_s)
{
	return hold(side, length_of(min_rtt_us), now_us, first_s);
}

bool side_is_held(const struct tcp_buffer_side *side, const struct tcp_buffer_look *look)
{
	return look->time_us < side->holds[length_of(look_shortest_rtt_us(look))].until_us;
}

/*
 * No step has gained yet, or the last one as much as it was large: that this one is of no use may be chance. A queue
 * that is filled is none, unless the rate fell by a quarter: then it is not the limit that filled it.
 */
static uint64_t first_hold_s(const struct tcp_buffer_side *side, enum tcp_buffer_action why, uint64_t rate)
{
	bool may_be_chance = why != TCP_BUFFER_UNDO_QUEUE_FILLED || scale(rate, 4, 1) < scale(side->prev_rate, 3, 1);

	return !side->has_gained || (side->paid && may_be_chance) ? HOLD_FIRST_S : HOLD_MIN_S;
}

/* --- verdicts ----------------------------------------------------------------------------------- */

static bool gained_a_little(const struct tcp_buffer_side *side, uint64_t rate)
{
	return scale(rate, 100, 1) >= scale(side->prev_rate, 100 + LITTLE_PERCENT, 1);
}

/* The verdict after which nothing more is tried for a while. */
struct tcp_buffer_decision side_hold_off(struct tcp_buffer_side *side, enum tcp_buffer_action why, uint64_t now_us,
					 const struct tcp_buffer_limit *limit, uint64_t rate)
{
	uint64_t first_s = rate && gained_a_little(side, rate) ? HOLD_MIN_S : first_hold_s(side, why, rate);

	return (struct tcp_buffer_decision){
		.action = why,
		.bytes = why == TCP_BUFFER_GAINED_LITTLE ? 0 : limit->before_bytes,
		.rate = rate,
		.prev_rate = side->prev_rate,
		.hold_s = side_hold(side, side->prev_min_rtt_us, now_us, first_s),
	};
}

static bool fills_a_queue(const struct tcp_buffer_side *side, const struct tcp_buffer_look *look)
{
	return look->srtt_us > side->prev_srtt_us + side->prev_srtt_us / 4 &&
	       look->srtt_us > look->min_rtt_us + look->min_rtt_us / 2;
}

/* What a gain costs in delay: a round trip of which half is waiting, or one that grew more than twice as much as the
 * rate. */
static bool costs_too_much(const struct tcp_buffer_side *side, const struct tcp_buffer_look *look, uint64_t rate)
{
	uint64_t grown_us = look->srtt_us - side->prev_srtt_us; /* it has grown: else no queue is filled */

	return fills_a_queue(side, look) &&
	       (look->srtt_us >= (uint64_t)SOJOURN_MAX * look->min_rtt_us ||
		scale(2 * (rate - side->prev_rate), side->prev_srtt_us, 1) < scale(side->prev_rate, grown_us, 1));
}

/*
 * If it is faster all the same, the right size lies in between: what the path holds, and a quarter. One that waits in
 * poll(2) fills two thirds of it only: where the gain is beyond doubt, half.
 */
static struct tcp_buffer_decision step_back(struct tcp_buffer_side *side, const struct tcp_buffer_look *look,
					    const struct tcp_buffer_limit *limit, uint64_t rate, bool gained)
{
	int64_t fit_bytes = scale(look_in_path_bytes(look, rate), gained ? 6 : 5, 4);
	struct tcp_buffer_decision decision =
		side_hold_off(side, TCP_BUFFER_UNDO_QUEUE_FILLED, look->time_us, limit, rate);

	if (gained_a_little(side, rate) && fit_bytes > decision.bytes && fit_bytes < limit->bytes)
		decision.bytes = fit_bytes;
	return decision;
}

static struct tcp_buffer_decision keep(struct tcp_buffer_side *side, const struct tcp_buffer_look *look,
				       const struct tcp_buffer_limit *limit, struct tcp_buffer_decision decision)
{
	decision.action = TCP_BUFFER_GAINED;
	decision.prev_rate = side->prev_rate;
	decision.limited_percent = look_limited_percent(&side->from, look);
	side->judging = false; /* the measurement goes on: it may show the next step at once */
	side->has_gained = side->is_unconfirmed = true;
	side->raised_rtt_us = max_u64(side->raised_rtt_us, side->prev_min_rtt_us);
	side->paid = scale(decision.rate, 4, 1) >= scale(side->prev_rate, 3 * limit->bytes, limit->before_bytes);
	if (side->paid)
		side->holds[length_of(side->prev_min_rtt_us)].s = 0;
	return decision;
}

static struct tcp_buffer_decision last_word(struct tcp_buffer_side *side, const struct tcp_buffer_look *look,
					    const struct tcp_buffer_limit *limit, struct tcp_buffer_decision decision)
{
	if (gained_a_little(side, decision.rate))
		return side_hold_off(side, TCP_BUFFER_GAINED_LITTLE, look->time_us, limit, decision.rate);
	if (!look->receiving || look->size_bytes > limit->before_bytes)
		return side_hold_off(side, TCP_BUFFER_UNDO_NO_GAIN, look->time_us, limit, decision.rate);
	side->flow = 0; /* it never took what it was given: another may tell, at once */
	side->seen_us = look->time_us - FLOW_GONE_US;
	side->measuring = false;
	return decision;
}

struct tcp_buffer_decision side_judge(struct tcp_buffer_side *side, const struct tcp_buffer_look *look,
				      const struct tcp_buffer_limit *limit)
{
	struct tcp_buffer_decision decision = { .action = TCP_BUFFER_WAIT };
	uint64_t since_step_us, window_us;
	bool steady, gained;

	if (look->turn != side->stepped.turn)
		side->stepped = *look;
	if (side->gaps < GAPS_MAX && side_stood_still(side, look)) {
		side->gaps++;
		side->stepped = *look;
		side_measure_from(side, look);
		return decision;
	}
	since_step_us = look_busy_us(&side->stepped, look);
	if (!side->successors && since_step_us < look_shortest_us(look))
		return decision;
	if (!side->measuring || !look_follows(look, &side->from)) {
		side_measure_from(side, look);
		return decision;
	}
	window_us = look_busy_us(&side->from, look);
	if (window_us < look_shortest_us(look))
		return decision;
	steady = window_us >= look_steady_us(look);
	decision.rate = look_rate(&side->from, look);
	gained = scale(decision.rate, 2, 1) >= scale(side->prev_rate, 3, 1) ||
		 (steady && scale(decision.rate, 10, 1) >= scale(side->prev_rate, 11, 1));
	if (gained && !costs_too_much(side, look, decision.rate))
		return keep(side, look, limit, decision);
	if (!steady)
		return decision;
	if (gained)
		return step_back(side, look, limit, decision.rate, true);
	if (side->successors && look_limited_percent(&side->from, look) < LIMITED_MIN_PERCENT) {
		side_measure_from(side, look); /* something else holds it back */
		return decision;
	}
	if (since_step_us >= look_patience_us(look))
		return last_word(side, look, limit, decision);
	if (fills_a_queue(side, look))
		return step_back(side, look, limit, decision.rate, false);
	if (since_step_us < look_patience_us(look) / 2)
		side_measure_from(side, look); /* it may just have begun to grow */
	return decision;
}

static bool is_near(uint32_t rtt_us, uint32_t other_us)
{
	return rtt_us <= other_us + other_us / 4 && other_us <= rtt_us + rtt_us / 4;
}

/*
 * The judged flow ended before its verdict. Another that fills the new limit may give it, if its path is as long: the
 * same full buffer makes both as fast. No step follows one that nobody has judged.
 */
struct tcp_buffer_decision side_inherit(struct tcp_buffer_side *side, const struct tcp_buffer_look *look,
					const struct tcp_buffer_limit *limit)
{
	struct tcp_buffer_decision decision = { .action = TCP_BUFFER_WAIT };
	uint64_t gone_us = since(side->seen_us, look->time_us);

	if (gone_us < FLOW_GONE_US || !look->is_limited)
		return decision;
	if (side->successors < SUCCESSORS_MAX && is_near(look_shortest_rtt_us(look), side->prev_min_rtt_us)) {
		side->successors++;
		side->flow = look->flow;
		side->stepped = *look;
		side->seen_us = look->time_us;
		side_measure_from(side, look);
	} else if (side->successors == SUCCESSORS_MAX || gone_us >= UNPROVEN_US) {
		return side_hold_off(side, TCP_BUFFER_UNDO_UNPROVEN, look->time_us, limit, 0);
	}
	return decision;
}
