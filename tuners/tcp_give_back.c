// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/tcp_give_back.h"

#include <inttypes.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "tuners/tcp_held.h"

#define NSEC_PER_USEC 1000
#define NO_ROOM_US 1000000 /* memory is short for that long: tcp_mem would have raised it */
#define EASED_US 10000000

/* The kernel is asked about each socket of this namespace. 0: it cannot tell. */
static uint64_t pages_held(struct bpftune *b, struct tcp_give_back *state)
{
	uint64_t bytes = 0;
	int err = tcp_held_bytes(&bytes);

	if (err && !state->told_no_diag)
		bpftune_log(b, LOG_WARNING, "cannot tell how much of TCP's memory is held here: %s", strerror(-err));
	state->told_no_diag = err;
	return bytes / sysconf(_SC_PAGESIZE);
}

/* To ask about each socket is not for nothing: a maximum comes down to the default. */
static bool may_come_down(struct bpftune *b)
{
	long long value[BPFTUNE_INTS_MAX];

	for (unsigned int i = 0; i < TCP_BUFFER_LIMITS; i++)
		if (bpftune_value_ints(b, i, value) >= 0 && value[2] > value[1])
			return true;
	return false;
}

static void give_back(struct bpftune *b, struct tcp_give_back *state, const struct bpftune_event *event)
{
	const struct tcp_buffer_use *use = (const struct tcp_buffer_use *)event->payload;
	const struct tcp_buffer_memory memory = {
		.allocated_pages = use->allocated_pages,
		.pressure_pages = use->pressure_pages,
	};
	struct tcp_buffer_lowered *lowered = &state->lowered;
	struct bpftune_verdict verdict = { 0 };
	uint64_t now_us = event->time_ns / NSEC_PER_USEC, held_pages;
	long long value[BPFTUNE_INTS_MAX], from_bytes;

	state->eased = (struct tcp_buffer_period){ 0 };
	if (tcp_buffer_period_us(&state->short_of_memory, now_us) < NO_ROOM_US)
		return;
	state->short_of_memory.since_us = now_us; /* the next step follows after as long again */
	if (!may_come_down(b))
		return;
	held_pages = pages_held(b, state);
	for (unsigned int i = 0; i < TCP_BUFFER_LIMITS; i++) {
		if (bpftune_value_ints(b, i, value) < 0)
			continue;
		from_bytes = value[2];
		value[2] = tcp_buffer_give_back_bytes(&memory, held_pages, value[1], from_bytes);
		if (!value[2] || bpftune_propose(b, i, value, TCP_BUFFER_MEMORY_SHORT, event,
						 "TCP uses %" PRIu64 " pages, %" PRIu64
						 " of them here, and comes under pressure at %" PRIu64,
						 memory.allocated_pages, held_pages, memory.pressure_pages) < 0)
			continue;
		if (from_bytes != lowered->to_bytes[i])
			lowered->from_bytes[i] = from_bytes;
		lowered->to_bytes[i] = value[2];
		memcpy(verdict.value, lowered, sizeof(verdict.value));
		bpftune_learnt(b, "memory", &verdict,
			       "short: limits are lowered until TCP uses less than half of it for a while");
	}
}

/* What was given back, unless somebody else has set it since. */
static void return_it(struct bpftune *b, struct tcp_give_back *state, const struct bpftune_event *event)
{
	const struct tcp_buffer_use *use = (const struct tcp_buffer_use *)event->payload;
	struct tcp_buffer_lowered *lowered = &state->lowered;
	const struct bpftune_verdict none = { 0 };
	long long value[BPFTUNE_INTS_MAX];
	bool all = true, returned = false;

	if (tcp_buffer_period_us(&state->eased, event->time_ns / NSEC_PER_USEC) < EASED_US)
		return;
	for (unsigned int i = 0; i < TCP_BUFFER_LIMITS; i++) {
		if (bpftune_value_ints(b, i, value) < 0)
			continue;
		if (value[2] != lowered->to_bytes[i])
			lowered->to_bytes[i] = 0;
		if (!lowered->to_bytes[i])
			continue;
		value[2] = lowered->from_bytes[i];
		if (bpftune_propose(b, i, value, TCP_BUFFER_MEMORY_EASED, event,
				    "TCP uses %" PRIu64 " pages, for %u s less than half of the %" PRIu64
				    " at which it comes under pressure",
				    (uint64_t)use->allocated_pages, EASED_US / 1000000,
				    (uint64_t)use->pressure_pages) < 0) {
			all = false;
		} else {
			lowered->to_bytes[i] = 0;
			returned = true;
		}
	}
	if (!all)
		return;
	state->eased =
		(struct tcp_buffer_period){ 0 }; /* an event that is under way says that nothing is returned yet */
	bpftune_learnt(b, "memory", &none, "enough: limits %s",
		       returned ? "that were lowered are back" : "stay as they are, set by somebody else");
}

void tcp_give_back_event(struct bpftune *b, struct tcp_give_back *state, const struct bpftune_event *event)
{
	const struct tcp_buffer_use *use = (const struct tcp_buffer_use *)event->payload;

	if (!state->lowered.to_bytes[TCP_WMEM] && !state->lowered.to_bytes[TCP_RMEM])
		state->lowered = use->lowered; /* by the worker that was here before */
	if (event->scenario == TCP_BUFFER_MEMORY_SHORT)
		give_back(b, state, event);
	else
		return_it(b, state, event);
}
