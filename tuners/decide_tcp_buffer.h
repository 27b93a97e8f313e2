/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The arithmetic of tcp_buffer: the measure that its trials go by (worker/trial.h). Numbers in, numbers
 * out. What it remembers is its caller's; the clock comes with each look.
 */
#ifndef BPFTUNE_TUNERS_DECIDE_TCP_BUFFER_H
#define BPFTUNE_TUNERS_DECIDE_TCP_BUFFER_H

#include <stdbool.h>
#include <stdint.h>

/* A flow at one moment. Two looks at the same flow make a measurement. */
struct tcp_buffer_look {
	uint64_t flow; /* which one */
	uint64_t time_us;
	uint64_t bytes; /* delivered since it began */
	uint32_t srtt_us, min_rtt_us;
	uint32_t size_bytes;	   /* its buffer */
	uint32_t limit_bytes;	   /* the sysctl, when it was looked at */
	uint32_t held_bytes;	   /* memory that its data take */
	uint32_t overhead_percent; /* memory taken for 100 bytes of data; 0: not known */
	uint32_t turn;		   /* another: the counters began anew */
	/* Counters that wrap around: only differences count. */
	uint32_t looks, limited; /* round trips, and of them those in which the buffer limited it */
	uint32_t ticks, busy;	 /* time, in any unit, and what of it had data under way; no ticks: all of it */
	uint32_t sndbuf_limited, rwnd_limited; /* a sender's ticks, waiting */
	bool is_limited;		       /* by its buffer, in the round trip before this look */
	bool receiving;
	uint16_t zero; /* no padding: what is remembered has no bytes that nobody set */
};

_Static_assert(sizeof(struct tcp_buffer_look) == 3 * 8 + 13 * 4 + 4, "no padding");

#define TCP_BUFFER_LENGTHS 11 /* of paths: up to 1 ms, twice that, ... , more than half a second */

/* What is remembered of one direction in one namespace. Begins as zeroes. */
struct tcp_buffer_side {
	struct tcp_buffer_look from;	/* where the measurement began */
	struct tcp_buffer_look last;	/* the look before this one */
	struct tcp_buffer_look filled;	/* where the long measurement began: does the raised limit stand in a queue? */
	struct tcp_buffer_look stepped; /* the judged flow, as it was then: its time counts from here */
	uint64_t flow;			/* the one that is judged */
	uint64_t seen_us;
	uint64_t prev_rate; /* bytes a second before the step */
	uint32_t prev_srtt_us, prev_min_rtt_us;
	uint32_t raised_rtt_us; /* the shortest round trip of the longest path for which a step was kept */
	uint32_t gaps;		/* how often the machine stood still since the step */
	uint32_t successors;	/* how many took its place, as it ended before the verdict */
	bool measuring;		/* `from` holds */
	bool is_filled;		/* `filled` holds */
	bool judging;		/* a step waits for its verdict */
	bool paid;		/* the last step's gain was nearly as large as the step */
	bool has_gained;	/* a step was kept */
	bool is_unconfirmed;	/* it was kept just now */
	bool zero[6];
	struct {
		uint64_t until_us;
		uint64_t s;	     /* how long the last one was; 0: the last step paid */
	} holds[TCP_BUFFER_LENGTHS]; /* a path says nothing about a much longer one */
};

_Static_assert(sizeof(struct tcp_buffer_side) ==
		       4 * sizeof(struct tcp_buffer_look) + 3 * 8 + 8 * 4 + TCP_BUFFER_LENGTHS * 16,
	       "no padding");

/* The limit, as its trial has it. */
struct tcp_buffer_limit {
	int64_t bytes, cap_bytes;
	int64_t before_bytes; /* from before the step that waits for its verdict; 0: none does */
	int64_t first_bytes;  /* from before the first step; 0: the limit is not raised */
	bool is_foreign;      /* there was no step yet, or somebody else has set it since */
};

enum tcp_buffer_action {
	TCP_BUFFER_WAIT,
	TCP_BUFFER_STEP,	      /* the limit is in the way: raise it to `bytes` */
	TCP_BUFFER_GAINED,	      /* by a tenth or more: the step stays, another may follow */
	TCP_BUFFER_GAINED_LITTLE,     /* it stays, and none follows for hold_s */
	TCP_BUFFER_UNDO_NO_GAIN,      /* back to `bytes`: the rate did not rise */
	TCP_BUFFER_UNDO_QUEUE_FILLED, /* back to `bytes`, or nearly: the round trip grew instead of the rate */
	TCP_BUFFER_UNDO_UNPROVEN,     /* back to `bytes`: no flow lasted until its verdict; `rate` is 0 */
	TCP_BUFFER_UNDO_LOST,	      /* back to `bytes`: what was measured before the step is not known */
	TCP_BUFFER_LOWER,	      /* to `bytes`: for long, half of a raised limit and more stood in a queue */
};

struct tcp_buffer_decision {
	enum tcp_buffer_action action;
	int64_t bytes;
	uint64_t rate, prev_rate; /* bytes a second, measured now and before the step that was judged */
	uint32_t limited_percent; /* of the round trips of the measurement */
	uint32_t hold_s;	  /* how long nothing more is tried */
};

/*
 * What the flow would take if it had room: what it delivers in a shortest round trip, in memory, and as much more
 * as the sender could have sent in the time that it waited for room (idle_percent). At least twice the present limit,
 * at most four times, at most the cap. 0: the flow holds more than the path calls for, or the cap is reached.
 */
int64_t tcp_buffer_next_bytes(const struct tcp_buffer_look *look, uint64_t rate, uint32_t idle_percent,
			      int64_t current_bytes, int64_t cap_bytes);

/* The next look at a flow, while no change is under way: what to do about the limit. */
struct tcp_buffer_decision tcp_buffer_decide(struct tcp_buffer_side *side, const struct tcp_buffer_look *look,
					     const struct tcp_buffer_limit *limit);

/* Nothing is raised for a while, and for longer the next time, whichever path it is for. */
void tcp_buffer_hold(struct tcp_buffer_side *side, uint64_t now_us);

#endif
