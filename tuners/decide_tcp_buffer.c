// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/decide_tcp_buffer.h"

#include <limits.h>

#define STEP_MAX 4
#define IDLE_MAX_PERCENT 75  /* one part in four busy calls for STEP_MAX */
#define IDLE_BOLD_PERCENT 60 /* two and a half times */
#define SMALL_BYTES (1 << 20)
#define TINY_BYTES (1 << 18) /* an application's write may be as large: to double that may bring nothing */

#define LIMITED_MIN_PERCENT 50 /* of the round trips */
#define RWND_MIN_PERCENT 10    /* of the busy time */
#define WINDOW_ROUND_TRIPS 2   /* the shortest measurement */
#define STEADY_ROUND_TRIPS 4   /* one that small differences can be told from */
#define WINDOW_MIN_US 50000
#define STEADY_MIN_US 200000
#define PATIENCE_ROUND_TRIPS 12 /* a congestion window needs time to use a larger buffer */
#define PATIENCE_MIN_US 1000000
#define LITTLE_PERCENT 4 /* more than this is a gain, if not enough for another step */
#define FLOW_GONE_US 2000000
#define UNPROVEN_US 20000000 /* so long it waits for a flow that can tell */
#define SUCCESSORS_MAX 2
#define HOLD_FIRST_S 1 /* where one bad look may have been the reason */
#define HOLD_MIN_S 20
#define HOLD_MAX_S 3600
#define CLOSELY_US 5000000 /* events come 40 times a second for so long after a step, and twice a second later: */
#define GAP_CLOSE_US 300000
#define GAP_US 800000
#define GAP_ROUND_TRIPS 4
#define GAPS_MAX 3
#define LONG_US 30000000     /* in which a raised limit shows whether the path has use for it */
#define TOO_MUCH_PERCENT 250 /* of what the path carries then, */
#define LOWER_PERCENT 175    /* and what is left of that */
#define SOJOURN_MAX 2	     /* times the shortest round trip: half of it is waiting in a queue */

#define USEC_PER_SEC 1000000ULL

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The host's worker gets the events of containers in its namespace late: time may seem to go back. */
static uint64_t since(uint64_t then_us, uint64_t now_us)
{
	return now_us > then_us ? now_us - then_us : 0;
}

/* a * b / c without overflow: all that it is used for ends up compared with an int. */
static uint64_t scale(uint64_t a, uint64_t b, uint64_t c)
{
	unsigned __int128 result = c ? (unsigned __int128)a * b / c : 0;

	return result > INT64_MAX ? INT64_MAX : (uint64_t)result;
}

/* --- measuring ---------------------------------------------------------------------------------- */

static uint64_t round_trips_us(const struct tcp_buffer_look *look, unsigned int n, uint64_t min_us)
{
	return max_u64((uint64_t)n * look->srtt_us, min_us);
}

static uint64_t shortest_us(const struct tcp_buffer_look *look)
{
	return round_trips_us(look, WINDOW_ROUND_TRIPS, WINDOW_MIN_US);
}

static uint64_t steady_us(const struct tcp_buffer_look *look)
{
	return round_trips_us(look, STEADY_ROUND_TRIPS, STEADY_MIN_US);
}

static uint64_t patience_us(const struct tcp_buffer_look *look)
{
	return round_trips_us(look, PATIENCE_ROUND_TRIPS, PATIENCE_MIN_US);
}

/* The pauses of an application say nothing about its buffers: a flow's time is that with data under way. */
static uint64_t busy_us(const struct tcp_buffer_look *from, const struct tcp_buffer_look *to)
{
	uint64_t time_us = since(from->time_us, to->time_us);
	uint32_t ticks = to->ticks - from->ticks;

	return ticks ? scale(time_us, min_u64(to->busy - from->busy, ticks), ticks) : time_us;
}

static bool is_same_flow(const struct tcp_buffer_look *look, const struct tcp_buffer_look *from)
{
	return look->flow == from->flow && look->turn == from->turn && look->time_us >= from->time_us &&
	       look->bytes >= from->bytes;
}

static bool follows(const struct tcp_buffer_look *look, const struct tcp_buffer_look *from)
{
	return is_same_flow(look, from) &&
	       busy_us(from, look) <= max_u64(FLOW_GONE_US, round_trips_us(look, PATIENCE_ROUND_TRIPS, 0));
}

static uint64_t rate_between(const struct tcp_buffer_look *from, const struct tcp_buffer_look *to)
{
	return scale(to->bytes - from->bytes, USEC_PER_SEC, busy_us(from, to));
}

static uint32_t percent_between(uint32_t part, uint32_t whole)
{
	return whole ? min_u64(100ULL * part / whole, 100) : 0;
}

static uint32_t limited_percent(const struct tcp_buffer_look *from, const struct tcp_buffer_look *to)
{
	return percent_between(to->limited - from->limited, to->looks - from->looks);
}

static uint32_t waited_percent(const struct tcp_buffer_look *from, const struct tcp_buffer_look *to)
{
	return percent_between(to->sndbuf_limited - from->sndbuf_limited, to->busy - from->busy);
}

static bool peer_is_in_the_way(const struct tcp_buffer_look *from, const struct tcp_buffer_look *to)
{
	uint32_t rwnd_percent = percent_between(to->rwnd_limited - from->rwnd_limited, to->busy - from->busy);

	return rwnd_percent >= RWND_MIN_PERCENT && rwnd_percent > waited_percent(from, to) / 2;
}

/* A flow with data under way is looked at each round trip. Where it was not, the machine or the path stood still. */
static bool stood_still(const struct tcp_buffer_side *side, const struct tcp_buffer_look *look)
{
	bool closely = side->judging && since(side->stepped.time_us, side->last.time_us) < CLOSELY_US;

	return is_same_flow(look, &side->last) &&
	       busy_us(&side->last, look) >
		       round_trips_us(&side->last, GAP_ROUND_TRIPS, 0) + (closely ? GAP_CLOSE_US : GAP_US);
}

static void measure_from(struct tcp_buffer_side *side, const struct tcp_buffer_look *look)
{
	side->from = *look;
	side->measuring = true;
}

/* --- holding ------------------------------------------------------------------------------------ */

static uint32_t shortest_rtt_us(const struct tcp_buffer_look *look)
{
	return look->min_rtt_us ? look->min_rtt_us : look->srtt_us;
}

static unsigned int length_of(uint32_t min_rtt_us)
{
	unsigned int length = 0;

	for (min_rtt_us /= 1024; min_rtt_us && length < TCP_BUFFER_LENGTHS - 1; min_rtt_us /= 2)
		length++;
	return length;
}

static uint32_t hold_length(struct tcp_buffer_side *side, unsigned int length, uint64_t now_us, uint64_t first_s)
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
		hold_length(side, length, now_us, HOLD_MIN_S);
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

/* --- stepping ----------------------------------------------------------------------------------- */

/* The memory that the data of a shortest round trip takes: the bandwidth-delay product, truesize counted. */
static uint64_t in_path_bytes(const struct tcp_buffer_look *look, uint64_t rate)
{
	uint64_t bdp_bytes = scale(rate, shortest_rtt_us(look), USEC_PER_SEC);

	return scale(bdp_bytes, look->overhead_percent ? look->overhead_percent : 100, 100);
}

int64_t tcp_buffer_next_bytes(const struct tcp_buffer_look *look, uint64_t rate, uint32_t idle_percent,
			      int64_t current_bytes, int64_t cap_bytes)
{
	uint64_t busy_percent = 100 - min_u64(idle_percent, IDLE_MAX_PERCENT);
	uint64_t called_for_bytes = scale(in_path_bytes(look, rate), 100, busy_percent), next_bytes, held_bytes;

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
	uint32_t waited = waited_percent(&side->from, look);

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
	uint64_t fit_bytes, long_us = side->is_unconfirmed ? patience_us(look) : LONG_US;

	if (!side->is_filled || !is_same_flow(look, &from) || from.limit_bytes != look->limit_bytes) {
		side->filled = *look;
		side->is_filled = look->is_limited && limit->first_bytes && limit->bytes > limit->first_bytes;
		return decision;
	}
	if (busy_us(&from, look) < long_us)
		return decision;
	side->is_filled = side->is_unconfirmed = false;
	decision.rate = rate_between(&from, look);
	decision.limited_percent = limited_percent(&from, look);
	fit_bytes = in_path_bytes(look, decision.rate);
	if (decision.limited_percent < LIMITED_MIN_PERCENT || peer_is_in_the_way(&from, look) || !look->held_bytes ||
	    5ULL * shortest_rtt_us(look) < 4ULL * side->raised_rtt_us ||
	    look->srtt_us < (uint64_t)SOJOURN_MAX * shortest_rtt_us(look) ||
	    scale(fit_bytes, TOO_MUCH_PERCENT, 100) >= (uint64_t)limit->bytes)
		return decision;
	fit_bytes = max_u64(scale(fit_bytes, LOWER_PERCENT, 100), max_u64(limit->bytes / 2, limit->first_bytes));
	if (fit_bytes >= (uint64_t)limit->bytes)
		return decision;
	decision.action = TCP_BUFFER_LOWER;
	decision.bytes = fit_bytes;
	decision.hold_s = hold_length(side, length_of(shortest_rtt_us(look)), look->time_us, HOLD_MIN_S);
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
	if (look->time_us < side->holds[length_of(shortest_rtt_us(look))].until_us) {
		side->measuring = false;
		return decision;
	}
	if (!side->measuring || !follows(look, &from) || from.limit_bytes != look->limit_bytes ||
	    stood_still(side, look)) {
		measure_from(side, look);
		side->measuring = look->is_limited; /* not while it still grows by itself */
		return decision;
	}
	if (busy_us(&from, look) < (side->paid ? shortest_us(look) : steady_us(look)))
		return decision;
	decision.rate = rate_between(&from, look);
	decision.limited_percent = limited_percent(&from, look);
	if (decision.limited_percent >= LIMITED_MIN_PERCENT && !peer_is_in_the_way(&from, look))
		decision.bytes = tcp_buffer_next_bytes(look, decision.rate, idle_percent(side, look, limit->bytes),
						       limit->bytes, limit->cap_bytes);
	measure_from(side, look);
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
	side->prev_min_rtt_us = shortest_rtt_us(look);
	return decision;
}

/* --- judging ------------------------------------------------------------------------------------ */

static bool gained_a_little(const struct tcp_buffer_side *side, uint64_t rate)
{
	return scale(rate, 100, 1) >= scale(side->prev_rate, 100 + LITTLE_PERCENT, 1);
}

/* The verdict after which nothing more is tried for a while. */
static struct tcp_buffer_decision hold_off(struct tcp_buffer_side *side, enum tcp_buffer_action why, uint64_t now_us,
					   const struct tcp_buffer_limit *limit, uint64_t rate)
{
	uint64_t first_s = rate && gained_a_little(side, rate) ? HOLD_MIN_S : first_hold_s(side, why, rate);

	return (struct tcp_buffer_decision){
		.action = why,
		.bytes = why == TCP_BUFFER_GAINED_LITTLE ? 0 : limit->before_bytes,
		.rate = rate,
		.prev_rate = side->prev_rate,
		.hold_s = hold_length(side, length_of(side->prev_min_rtt_us), now_us, first_s),
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
	int64_t fit_bytes = scale(in_path_bytes(look, rate), gained ? 6 : 5, 4);
	struct tcp_buffer_decision decision = hold_off(side, TCP_BUFFER_UNDO_QUEUE_FILLED, look->time_us, limit, rate);

	if (gained_a_little(side, rate) && fit_bytes > decision.bytes && fit_bytes < limit->bytes)
		decision.bytes = fit_bytes;
	return decision;
}

static struct tcp_buffer_decision keep(struct tcp_buffer_side *side, const struct tcp_buffer_look *look,
				       const struct tcp_buffer_limit *limit, struct tcp_buffer_decision decision)
{
	decision.action = TCP_BUFFER_GAINED;
	decision.prev_rate = side->prev_rate;
	decision.limited_percent = limited_percent(&side->from, look);
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
		return hold_off(side, TCP_BUFFER_GAINED_LITTLE, look->time_us, limit, decision.rate);
	if (!look->receiving || look->size_bytes > limit->before_bytes)
		return hold_off(side, TCP_BUFFER_UNDO_NO_GAIN, look->time_us, limit, decision.rate);
	side->flow = 0; /* it never took what it was given: another may tell, at once */
	side->seen_us = look->time_us - FLOW_GONE_US;
	side->measuring = false;
	return decision;
}

static struct tcp_buffer_decision judge(struct tcp_buffer_side *side, const struct tcp_buffer_look *look,
					const struct tcp_buffer_limit *limit)
{
	struct tcp_buffer_decision decision = { .action = TCP_BUFFER_WAIT };
	uint64_t since_step_us, window_us;
	bool steady, gained;

	if (look->turn != side->stepped.turn)
		side->stepped = *look;
	if (side->gaps < GAPS_MAX && stood_still(side, look)) {
		side->gaps++;
		side->stepped = *look;
		measure_from(side, look);
		return decision;
	}
	since_step_us = busy_us(&side->stepped, look);
	if (!side->successors && since_step_us < shortest_us(look))
		return decision;
	if (!side->measuring || !follows(look, &side->from)) {
		measure_from(side, look);
		return decision;
	}
	window_us = busy_us(&side->from, look);
	if (window_us < shortest_us(look))
		return decision;
	steady = window_us >= steady_us(look);
	decision.rate = rate_between(&side->from, look);
	gained = scale(decision.rate, 2, 1) >= scale(side->prev_rate, 3, 1) ||
		 (steady && scale(decision.rate, 10, 1) >= scale(side->prev_rate, 11, 1));
	if (gained && !costs_too_much(side, look, decision.rate))
		return keep(side, look, limit, decision);
	if (!steady)
		return decision;
	if (gained)
		return step_back(side, look, limit, decision.rate, true);
	if (side->successors && limited_percent(&side->from, look) < LIMITED_MIN_PERCENT) {
		measure_from(side, look); /* something else holds it back */
		return decision;
	}
	if (since_step_us >= patience_us(look))
		return last_word(side, look, limit, decision);
	if (fills_a_queue(side, look))
		return step_back(side, look, limit, decision.rate, false);
	if (since_step_us < patience_us(look) / 2)
		measure_from(side, look); /* it may just have begun to grow */
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
static struct tcp_buffer_decision inherit(struct tcp_buffer_side *side, const struct tcp_buffer_look *look,
					  const struct tcp_buffer_limit *limit)
{
	struct tcp_buffer_decision decision = { .action = TCP_BUFFER_WAIT };
	uint64_t gone_us = since(side->seen_us, look->time_us);

	if (gone_us < FLOW_GONE_US || !look->is_limited)
		return decision;
	if (side->successors < SUCCESSORS_MAX && is_near(shortest_rtt_us(look), side->prev_min_rtt_us)) {
		side->successors++;
		side->flow = look->flow;
		side->stepped = *look;
		side->seen_us = look->time_us;
		measure_from(side, look);
	} else if (side->successors == SUCCESSORS_MAX || gone_us >= UNPROVEN_US) {
		return hold_off(side, TCP_BUFFER_UNDO_UNPROVEN, look->time_us, limit, 0);
	}
	return decision;
}

static struct tcp_buffer_decision decide(struct tcp_buffer_side *side, const struct tcp_buffer_look *look,
					 const struct tcp_buffer_limit *limit)
{
	if (!limit->before_bytes) {
		if (side->judging) /* the step was not made: refused, or a dry run */
			hold_length(side, length_of(side->prev_min_rtt_us), look->time_us, HOLD_MIN_S);
		return watch(side, look, limit);
	}
	side->is_filled = false;
	if (!side->judging) {
		side->prev_rate = 0;
		side->prev_min_rtt_us = shortest_rtt_us(look);
		return hold_off(side, TCP_BUFFER_UNDO_LOST, look->time_us, limit, 0);
	}
	if (look->flow != side->flow)
		return inherit(side, look, limit);
	side->seen_us = look->time_us;
	return judge(side, look, limit);
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
