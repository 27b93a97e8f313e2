// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/tcp_buffer_say.h"

#include <inttypes.h>

#include "tuners/tcp_buffer.h"

static double mbit(uint64_t bytes_per_second)
{
	return bytes_per_second * 8 / 1e6;
}

static double ms(uint32_t us)
{
	return us / 1e3;
}

void tcp_buffer_step(struct bpftune *b, const struct bpftune_event *event, unsigned int tunable,
		     const struct tcp_buffer_look *look, const struct tcp_buffer_decision *decision)
{
	bpftune_go_to(b, tunable, decision->bytes, event->scenario, event,
		      "%s buffer of %u bytes was full in %u %% of the round trips; "
		      "%.1f Mbit/s at a round trip of %.1f ms (shortest: %.1f ms)",
		      tunable == TCP_WMEM ? "a send" : "the window of a receive", look->size_bytes,
		      decision->limited_percent, mbit(decision->rate), ms(look->srtt_us), ms(look->min_rtt_us));
}

void tcp_buffer_step_back(struct bpftune *b, const struct bpftune_event *event, unsigned int tunable,
			  const struct tcp_buffer_look *look, uint32_t prev_srtt_us,
			  const struct tcp_buffer_limit *limit, const struct tcp_buffer_decision *decision)
{
	if (decision->action == TCP_BUFFER_UNDO_NO_GAIN)
		bpftune_go_to(b, tunable, decision->bytes, TCP_BUFFER_NO_GAIN, event,
			      "%.1f Mbit/s with %" PRId64 " bytes, %.1f with %" PRId64
			      ": no gain; nothing more is tried for %u s",
			      mbit(decision->rate), limit->bytes, mbit(decision->prev_rate), limit->before_bytes,
			      decision->hold_s);
	else if (decision->action == TCP_BUFFER_UNDO_LOST)
		bpftune_go_to(b, tunable, decision->bytes, TCP_BUFFER_NO_GAIN, event,
			      "the rate before the step from %" PRId64 " bytes to %" PRId64
			      " is not known any more: no gain was seen; nothing more is tried for %u s",
			      limit->before_bytes, limit->bytes, decision->hold_s);
	else if (decision->action == TCP_BUFFER_LOWER)
		bpftune_go_to(b, tunable, decision->bytes, TCP_BUFFER_QUEUE_FILLED, event,
			      "%.1f Mbit/s do not use %" PRId64
			      " bytes at a round trip of %.1f ms (shortest: %.1f ms): most of them wait in a queue; "
			      "nothing more is tried for %u s",
			      mbit(decision->rate), limit->bytes, ms(look->srtt_us), ms(look->min_rtt_us),
			      decision->hold_s);
	else if (decision->action == TCP_BUFFER_UNDO_UNPROVEN)
		bpftune_go_to(b, tunable, decision->bytes, TCP_BUFFER_NO_GAIN, event,
			      "%.1f Mbit/s with %" PRId64 " bytes, and no flow lasted long enough to show what %" PRId64
			      " bring; nothing more is tried for %u s",
			      mbit(decision->prev_rate), limit->before_bytes, limit->bytes, decision->hold_s);
	else
		bpftune_go_to(b, tunable, decision->bytes, TCP_BUFFER_QUEUE_FILLED, event,
			      "%.1f Mbit/s with %" PRId64 " bytes, %.1f with %" PRId64
			      ", but a round trip of %.1f ms instead of %.1f (shortest: %.1f ms): a queue is filled; "
			      "nothing more is tried for %u s",
			      mbit(decision->rate), limit->bytes, mbit(decision->prev_rate), limit->before_bytes,
			      ms(look->srtt_us), ms(prev_srtt_us), ms(look->min_rtt_us), decision->hold_s);
}

void tcp_buffer_tell_status(struct bpftune *b, unsigned int tunable, const struct tcp_buffer_limit *limit,
			    const struct tcp_buffer_decision *decision)
{
	static const char *const about[] = { [TCP_WMEM] = "send", [TCP_RMEM] = "receive" };
	static const char *const why[] = {
		[TCP_BUFFER_UNDO_NO_GAIN] = "no gain",
		[TCP_BUFFER_UNDO_QUEUE_FILLED] = "a filled queue",
		[TCP_BUFFER_UNDO_UNPROVEN] = "no flow that lasted",
		[TCP_BUFFER_UNDO_LOST] = "a restart",
	};

	switch (decision->action) {
	case TCP_BUFFER_WAIT:
	case TCP_BUFFER_STEP:
		break;
	case TCP_BUFFER_LOWER:
		bpftune_learnt(b, about[tunable], NULL,
			       "%.0f Mbit/s at %" PRId64 " bytes, held for %u s after a queue at %" PRId64,
			       mbit(decision->rate), decision->bytes, decision->hold_s, limit->bytes);
		break;
	case TCP_BUFFER_GAINED:
		bpftune_learnt(b, about[tunable], NULL, "%.0f Mbit/s at %" PRId64 " bytes, %.0f at %" PRId64,
			       mbit(decision->rate), limit->bytes, mbit(decision->prev_rate), limit->before_bytes);
		break;
	case TCP_BUFFER_GAINED_LITTLE:
		bpftune_learnt(b, about[tunable], NULL,
			       "%.0f Mbit/s at %" PRId64 " bytes, held for %u s: only %.0f more than at %" PRId64,
			       mbit(decision->rate), limit->bytes, decision->hold_s,
			       mbit(decision->rate - decision->prev_rate), limit->before_bytes);
		break;
	case TCP_BUFFER_UNDO_NO_GAIN:
	case TCP_BUFFER_UNDO_QUEUE_FILLED:
	case TCP_BUFFER_UNDO_UNPROVEN:
	case TCP_BUFFER_UNDO_LOST:
		bpftune_learnt(b, about[tunable], NULL,
			       "%.0f Mbit/s at %" PRId64 " bytes, held for %u s after %s at %" PRId64,
			       mbit(decision->prev_rate), limit->before_bytes, decision->hold_s, why[decision->action],
			       limit->bytes);
		break;
	}
}
