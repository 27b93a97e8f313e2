// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/tcp_give_back.h"

#include <inttypes.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "tuners/keep.h"
#include "tuners/tcp_held.h"

#define NSEC_PER_USEC 1000
#define NO_ROOM_US 1000000 /* memory is short for that long: tcp_mem would have raised it */
#define EASED_US 10000000
#define ASK_NS 5000000000ULL
#define ASK_SHARE 100 /* of its time at most a worker spends asking */

/* What Linux allows at boot where memory does not bound it; tcp_rmem[2] since 6.17, 6 MiB before. */
static const int64_t boot_bytes[TCP_BUFFER_LIMITS] = { [TCP_WMEM] = 4 << 20, [TCP_RMEM] = 32 << 20 };

/* --- asking the kernel -------------------------------------------------------------------------- */

static bool is_time_to_ask(const struct tcp_give_back *state, const struct tcp_buffer_memory *memory)
{
	return keep_now_ns() >= state->ask_again_ns && !tcp_buffer_memory_is_worst(memory);
}

/* About each socket of this namespace. 0 or -errno: it cannot tell. */
static int ask(struct bpftune *b, struct tcp_give_back *state, uint64_t *ret_pages)
{
	uint64_t begun_ns = keep_now_ns(), bytes = 0, ended_ns;
	int err = tcp_held_bytes(&bytes);

	ended_ns = keep_now_ns();
	state->ask_again_ns = ended_ns + ASK_SHARE * (ended_ns - begun_ns);
	if (state->ask_again_ns < begun_ns + ASK_NS)
		state->ask_again_ns = begun_ns + ASK_NS;
	if (err && !state->told_no_diag)
		bpftune_log(b, LOG_WARNING, "cannot tell how much of TCP's memory is held here: %s", strerror(-err));
	state->told_no_diag = err;
	if (!err)
		*ret_pages = bytes / sysconf(_SC_PAGESIZE);
	return err;
}

/* --- lowering, and its verdict ------------------------------------------------------------------ */

static int64_t lower_bytes(const int64_t first_bytes[TCP_BUFFER_LIMITS], unsigned int i, const long long *value)
{
	uint64_t machine_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);

	return tcp_buffer_lower_bytes(value[2],
				      tcp_buffer_floor_bytes(boot_bytes[i], machine_bytes, first_bytes[i], value[1]));
}

/* To ask about each socket is not for nothing: a step is to be judged, or a limit may come down. */
static bool is_of_use(struct bpftune *b, const struct tcp_give_back *state,
		      const int64_t first_bytes[TCP_BUFFER_LIMITS])
{
	long long value[BPFTUNE_INTS_MAX];

	if (state->shortage.is_judging)
		return true;
	for (unsigned int i = 0; i < TCP_BUFFER_LIMITS; i++)
		if (bpftune_value_ints(b, i, value) >= 0 && lower_bytes(first_bytes, i, value))
			return !state->shortage.is_of_no_use;
	return false;
}

static bool has_lowered(const struct tcp_buffer_lowered *lowered)
{
	return lowered->to_bytes[TCP_WMEM] || lowered->to_bytes[TCP_RMEM];
}

static void tell_as(struct bpftune *b, const struct tcp_buffer_lowered *lowered, const char *text)
{
	struct bpftune_verdict verdict = { 0 };

	if (has_lowered(lowered) || lowered->watched_bytes) /* else it is none */
		memcpy(verdict.value, lowered, sizeof(verdict.value));
	bpftune_learnt(b, "memory", &verdict, "%s", text);
}

void tcp_give_back_tell(struct bpftune *b, const struct tcp_buffer_lowered *lowered)
{
	if (has_lowered(lowered))
		tell_as(b, lowered, "short: limits are lowered until TCP uses less than half of it for a while");
	else if (lowered->watched_bytes)
		tell_as(b, lowered, "at most a quarter of the container's for all large buffers together");
	else
		tell_as(b, lowered, "enough");
}

static void step(struct bpftune *b, struct tcp_give_back *state, const struct bpftune_event *event,
		 const int64_t first_bytes[TCP_BUFFER_LIMITS], uint64_t grown_pages)
{
	const struct tcp_buffer_use *use = (const struct tcp_buffer_use *)event->payload;
	struct tcp_buffer_lowered *lowered = &state->lowered;
	long long value[BPFTUNE_INTS_MAX], from_bytes;
	bool is_made = false;

	for (unsigned int i = 0; i < TCP_BUFFER_LIMITS; i++) {
		state->before_bytes[i] = 0;
		if (bpftune_value_ints(b, i, value) < 0)
			continue;
		from_bytes = value[2];
		value[2] = lower_bytes(first_bytes, i, value);
		if (!value[2] ||
		    bpftune_propose(b, i, value, TCP_BUFFER_MEMORY_SHORT, event,
				    "TCP uses %" PRIu64 " pages, and comes under pressure at %" PRIu64
				    "; what is held here has grown by %" PRIu64 " since memory is short",
				    (uint64_t)use->allocated_pages, (uint64_t)use->pressure_pages, grown_pages) < 0)
			continue;
		if (from_bytes != lowered->to_bytes[i])
			lowered->from_bytes[i] = from_bytes;
		lowered->to_bytes[i] = value[2];
		state->before_bytes[i] = from_bytes;
		is_made = true;
	}
	state->shortage.is_judging = is_made;
	if (is_made)
		tcp_give_back_tell(b, lowered);
}

/* Its sockets have grown all the same: they are of a fixed size, or there are more and more of them. */
static void undo(struct bpftune *b, struct tcp_give_back *state, const struct bpftune_event *event)
{
	struct tcp_buffer_lowered *lowered = &state->lowered;
	long long value[BPFTUNE_INTS_MAX];

	for (unsigned int i = 0; i < TCP_BUFFER_LIMITS; i++) {
		if (!state->before_bytes[i] || bpftune_value_ints(b, i, value) < 0 || value[2] != lowered->to_bytes[i])
			continue;
		value[2] = state->before_bytes[i];
		if (bpftune_propose(b, i, value, TCP_BUFFER_MEMORY_SHORT, event,
				    "the step is undone: with lower limits, what is held here grows as before") < 0)
			continue;
		lowered->to_bytes[i] = state->before_bytes[i] == lowered->from_bytes[i] ? 0 : value[2];
	}
	if (has_lowered(lowered))
		tcp_give_back_tell(b, lowered);
	else
		tell_as(b, lowered, "short: lower limits are of no use here");
}

static void give_back(struct bpftune *b, struct tcp_give_back *state, const struct bpftune_event *event,
		      const int64_t first_bytes[TCP_BUFFER_LIMITS])
{
	const struct tcp_buffer_use *use = (const struct tcp_buffer_use *)event->payload;
	const struct tcp_buffer_memory memory = {
		.allocated_pages = use->allocated_pages,
		.pressure_pages = use->pressure_pages,
	};
	uint64_t held_pages = 0, before_pages, for_us;

	state->eased = (struct tcp_buffer_period){ 0 };
	for_us = tcp_buffer_period_us(&state->short_of_memory, event->time_ns / NSEC_PER_USEC);
	if (!for_us)
		state->shortage = (struct tcp_buffer_shortage){ 0 };
	if (for_us < NO_ROOM_US || !is_time_to_ask(state, &memory) || !is_of_use(b, state, first_bytes) ||
	    ask(b, state, &held_pages) < 0)
		return;
	if (!state->shortage.has_begun && !has_lowered(&state->lowered))
		bpftune_learnt(b, "memory", NULL, "short: it counts what is held here more than %" PRIu64 " pages",
			       held_pages);
	before_pages = state->shortage.held_pages;
	switch (tcp_buffer_relieve(&state->shortage, &memory, held_pages)) {
	case TCP_BUFFER_RELIEF_STEP:
		step(b, state, event, first_bytes, held_pages - before_pages);
		break;
	case TCP_BUFFER_RELIEF_UNDO:
		undo(b, state, event);
		break;
	case TCP_BUFFER_RELIEF_KEEP:
	case TCP_BUFFER_RELIEF_NONE:
		break;
	}
}

/* --- returning ---------------------------------------------------------------------------------- */

/* What was given back, unless somebody else has set it since. */
static void return_it(struct bpftune *b, struct tcp_give_back *state, const struct bpftune_event *event)
{
	const struct tcp_buffer_use *use = (const struct tcp_buffer_use *)event->payload;
	struct tcp_buffer_lowered *lowered = &state->lowered;
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
	tell_as(b, lowered,
		returned ? "enough: limits that were lowered are back"
			 : "enough: limits stay as they are, set by somebody else");
}

void tcp_give_back_resume(struct bpftune *b, const struct tcp_give_back *state)
{
	if (has_lowered(&state->lowered) || state->lowered.watched_bytes)
		tcp_give_back_tell(b, &state->lowered);
}

void tcp_give_back_event(struct bpftune *b, struct tcp_give_back *state, const struct bpftune_event *event,
			 const int64_t first_bytes[TCP_BUFFER_LIMITS])
{
	if (event->scenario == TCP_BUFFER_MEMORY_SHORT)
		give_back(b, state, event, first_bytes);
	else
		return_it(b, state, event);
}
