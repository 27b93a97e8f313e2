// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tcp_buffer: raises tcp_wmem[2] and tcp_rmem[2] of the namespace in which a flow meets them, as long as that makes
 * the flow faster. Sockets whose size the application fixed are never asked about: the kernel ignores the limits there.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "tuners/decide_tcp_buffer.h"
#include "tuners/decide_tcp_buffer_memory.h"
#include "tuners/tcp_buffer.h"
#include "tuners/tcp_buffer.skel.h"
#include "tuners/tcp_buffer_say.h"
#include "tuners/tcp_crowd.h"
#include "tuners/tcp_give_back.h"
#include "tuners/tcp_older.h"
#include "tuners/tuner.h"

#define NSEC_PER_USEC 1000

static const struct bpftune_tunable tunables[] = {
	[TCP_WMEM] = { "net.ipv4.tcp_wmem", BPFTUNE_SCOPE_NETNS, 3, "send buffer: minimum, default, maximum (bytes)" },
	[TCP_RMEM] = { "net.ipv4.tcp_rmem", BPFTUNE_SCOPE_NETNS, 3,
		       "receive buffer: minimum, default, maximum (bytes)" },
	[TCP_MODERATE_RCVBUF] = { "net.ipv4.tcp_moderate_rcvbuf", BPFTUNE_SCOPE_NETNS, 1,
				  "receive buffers grow by themselves up to tcp_rmem's maximum (0 or 1); only watched" },
};

static const struct bpftune_scenario scenarios[] = {
	[TCP_BUFFER_SEND_LIMITED] = { "send_buffer_limited",
				      "A flow had data to send and a window to send it in, but no room in its send buffer." },
	[TCP_BUFFER_RECEIVE_LIMITED] = { "receive_buffer_limited",
					 "A flow filled the window that its receive buffer allows while the application kept up." },
	[TCP_BUFFER_NO_GAIN] = { "no_gain", "A higher limit was not seen to make a flow faster: it is undone." },
	[TCP_BUFFER_QUEUE_FILLED] = { "queue_filled",
				      "A higher limit filled a queue on the path: the round trip grew, not the rate. It is undone." },
	[TCP_BUFFER_MEMORY_SHORT] = { "memory_short",
				      "TCP has used most of its memory, and can have no more: whose part of it grows gives back." },
	[TCP_BUFFER_CONTAINER_MEMORY] = { "container_memory",
					  "With this limit, large buffers may take more than a quarter of the memory that the container may use." },
	[TCP_BUFFER_MEMORY_EASED] = { "memory_eased",
				      "TCP has used less than half of its memory for a while: what was given back is returned." },
	[TCP_BUFFER_GROWN] = { "buffer_grown",
			       "A raised limit let a buffer grow so large that the number of such buffers counts." },
};

/* A limit is raised by trials, and tcp_buffer_decide() is their measure: of the rate that a flow gains. */
static const struct bpftune_remedy remedies[] = {
	[TCP_WMEM] = { .scenario = TCP_BUFFER_SEND_LIMITED, .tunable = TCP_WMEM, .value = 2, .is_measured = true },
	[TCP_RMEM] = { .scenario = TCP_BUFFER_RECEIVE_LIMITED, .tunable = TCP_RMEM, .value = 2, .is_measured = true },
};

/* What outlives this worker: bpftune_remember(). */
struct known {
	struct tcp_buffer_side sides[TCP_BUFFER_LIMITS];
	struct tcp_buffer_lowered lowered;
};

_Static_assert(sizeof(struct known) ==
		       TCP_BUFFER_LIMITS * sizeof(struct tcp_buffer_side) + sizeof(struct tcp_buffer_lowered),
	       "no padding");

#define KNOWN_VERSION 4

struct state {
	struct known known;
	int64_t initial_bytes[TCP_BUFFER_LIMITS]; /* before the first step, of a worker before this one maybe */
	uint32_t asked_bytes[TCP_BUFFER_LIMITS];  /* the host's limit that it was last asked about */
	struct tcp_give_back give_back;
	struct tcp_buffer_smallest smallest;
	struct tcp_crowd crowd;
	struct tcp_older older;
};

static void remember(struct bpftune *b, const struct state *state)
{
	bpftune_remember(b, KNOWN_VERSION, &state->known, sizeof(state->known));
}

static int init(struct bpftune *b, void **state)
{
	struct state *fresh = *state;
	size_t size;
	const struct known *known = bpftune_remembered(b, KNOWN_VERSION, &size);
	long long value[BPFTUNE_INTS_MAX];

	if (known && size == sizeof(*known))
		fresh->known = *known;
	for (unsigned int i = 0; i < TCP_BUFFER_LIMITS; i++) {
		fresh->known.sides[i].measuring = false; /* the flow went on meanwhile */
		if (!bpftune_tried_from(b, i, value) || !bpftune_value_ints(b, i, value))
			fresh->initial_bytes[i] = value[2];
	}
	fresh->give_back.lowered = fresh->known.lowered;
	tcp_give_back_resume(b, &fresh->give_back);
	tcp_older_begin(b, &fresh->older);
	return 0;
}

/* --- what was seen ------------------------------------------------------------------------------ */

static uint64_t container_pages_of(uint32_t told_pages)
{
	return told_pages == TCP_BUFFER_UNLIMITED_PAGES ? UINT64_MAX : told_pages;
}

static struct tcp_buffer_memory memory_of(const struct tcp_buffer_seen *seen)
{
	return (struct tcp_buffer_memory){
		.allocated_pages = seen->mem_allocated_pages,
		.pressure_pages = seen->mem_pressure_pages,
		.container_pages = container_pages_of(seen->container_pages),
		.page_bytes = sysconf(_SC_PAGESIZE),
	};
}

static struct tcp_buffer_look look_of(const struct bpftune_event *event, const struct tcp_buffer_seen *seen)
{
	uint32_t min_rtt_us = seen->min_rtt_us < seen->srtt_us ? seen->min_rtt_us : seen->srtt_us; /* ~0: not known */
	uint64_t overhead_percent = seen->data_bytes ? 100ULL * seen->held_bytes / seen->data_bytes : 0;

	return (struct tcp_buffer_look){
		.flow = seen->flow,
		.time_us = event->time_ns / NSEC_PER_USEC,
		.bytes = seen->bytes,
		.srtt_us = seen->srtt_us,
		.min_rtt_us = min_rtt_us,
		.size_bytes = seen->size_bytes,
		.limit_bytes = seen->limit_bytes,
		.held_bytes = seen->held_bytes,
		.overhead_percent = overhead_percent < 100   ? 100
				    : overhead_percent > 400 ? 400
							     : overhead_percent,
		.turn = seen->turn,
		.looks = seen->looks,
		.limited = seen->limited,
		.ticks = seen->ticks,
		.busy = seen->busy,
		.sndbuf_limited = seen->sndbuf_limited,
		.rwnd_limited = seen->rwnd_limited,
		.is_limited = seen->flags & TCP_BUFFER_LIMITED_NOW,
		.receiving = event->scenario == TCP_BUFFER_RECEIVE_LIMITED,
	};
}

/* The host's own has flows of containers in it whose memory says nothing about the others. */
static struct tcp_buffer_memory memory_for(const struct bpftune *b, struct state *state,
					   const struct bpftune_event *event)
{
	const struct tcp_buffer_seen *seen = (const struct tcp_buffer_seen *)event->payload;
	struct tcp_buffer_memory memory = memory_of(seen);

	if (seen->flags & TCP_BUFFER_MEMORY_UNKNOWN)
		memory.container_pages = tcp_buffer_reckoned_pages(&state->smallest, memory.page_bytes);
	else if (b->id != BPFTUNE_HOST_ID)
		memory.container_pages = tcp_buffer_smallest_pages(&state->smallest, memory.container_pages,
								   event->time_ns / NSEC_PER_USEC);
	return memory;
}

/* A container's limits are past what they were at first, or may be soon: who has large buffers there? */
static void count_crowd(const struct bpftune *b, struct state *state, const struct tcp_buffer_memory *memory,
			bool is_limited, bool are_growing)
{
	int64_t limit_bytes[TCP_BUFFER_LIMITS];
	long long value[BPFTUNE_INTS_MAX];
	bool is_of_use = is_limited;

	if (b->id == BPFTUNE_HOST_ID || memory->container_pages == UINT64_MAX)
		return;
	for (unsigned int i = 0; i < TCP_BUFFER_LIMITS; i++) {
		limit_bytes[i] = bpftune_value_ints(b, i, value) < 0 ? INT_MAX : value[2];
		is_of_use |= limit_bytes[i] > state->initial_bytes[i];
	}
	if (is_of_use)
		tcp_crowd_count(&state->crowd, memory, limit_bytes, are_growing);
}

/* --- what is done ------------------------------------------------------------------------------- */

/* Without it no receive buffer grows to a limit that is raised. 0 is not the kernel's default: somebody wants it so. */
static bool tell_unmoderated(struct bpftune *b, const struct tcp_buffer_seen *seen)
{
	if (!(seen->flags & TCP_BUFFER_MODERATE_OFF))
		return false;
	bpftune_learnt(
		b, "receive", NULL,
		"limited at %u bytes; nothing is raised, as no buffer grows while net.ipv4.tcp_moderate_rcvbuf is 0",
		seen->limit_bytes);
	return true;
}

/*
 * The container may have less memory by now than when the limit was raised, or more flows that need a buffer. True: the
 * limit comes down.
 */
static bool fit_into_container(struct bpftune *b, const struct bpftune_event *event, struct state *state,
			       unsigned int tunable, int64_t current_bytes, const struct tcp_buffer_memory *memory)
{
	int64_t to_bytes =
		tcp_buffer_fit_bytes(current_bytes, tcp_buffer_cap_bytes(memory), state->initial_bytes[tunable]);

	if (b->id == BPFTUNE_HOST_ID || memory->container_pages == UINT64_MAX || to_bytes >= current_bytes)
		return false;
	if (bpftune_go_to(b, tunable, to_bytes, TCP_BUFFER_CONTAINER_MEMORY, event,
			  "large buffers may take a quarter of the container's memory of %" PRIu64 " KiB: %" PRIu64
			  " KiB of it are taken for good, and %u buffers share the rest",
			  memory->container_pages * (memory->page_bytes / 1024), memory->taken_bytes / 1024,
			  memory->n_flows) < 0)
		return true;
	tcp_buffer_hold(&state->known.sides[tunable], event->time_ns / NSEC_PER_USEC);
	remember(b, state);
	return true;
}

/* Where the container's memory is too little for many buffers as large as a raised limit, they are told of. */
static void watch_buffers(struct bpftune *b, struct state *state, const struct tcp_buffer_memory *memory)
{
	uint32_t watched_bytes = 0;
	long long value[BPFTUNE_INTS_MAX];

	for (unsigned int i = 0; i < TCP_BUFFER_LIMITS && b->id != BPFTUNE_HOST_ID; i++)
		if (!watched_bytes && bpftune_value_ints(b, i, value) >= 0)
			watched_bytes = tcp_buffer_watched_bytes(memory, value[2], state->initial_bytes[i]);
	if (watched_bytes == state->known.lowered.watched_bytes)
		return;
	state->known.lowered.watched_bytes = state->give_back.lowered.watched_bytes = watched_bytes;
	tcp_give_back_tell(b, &state->known.lowered);
	remember(b, state);
}

/* Not while memory is short, nor before what was given back for that reason is returned. */
static bool may_rise(const struct state *state, unsigned int tunable, int64_t bytes,
		     const struct tcp_buffer_memory *memory)
{
	return !tcp_buffer_memory_is_short(memory) && bytes != state->give_back.lowered.to_bytes[tunable];
}

/* What a decision calls for. Remembered before it is proposed: a step that nobody knows of cannot be judged. */
static void act(struct bpftune *b, struct state *state, const struct bpftune_event *event, unsigned int tunable,
		const struct tcp_buffer_look *look, const struct tcp_buffer_limit *limit,
		const struct tcp_buffer_decision *decision)
{
	tcp_buffer_tell_status(b, tunable, limit, decision);
	if (decision->action == TCP_BUFFER_WAIT)
		return;
	remember(b, state);
	if (decision->action == TCP_BUFFER_STEP)
		tcp_buffer_step(b, event, tunable, look, decision);
	else if (decision->bytes)
		tcp_buffer_step_back(b, event, tunable, look, state->known.sides[tunable].prev_srtt_us, limit,
				     decision);
	else
		bpftune_keep_step(b, tunable);
}

/* One of several containers that share the host's limits has its share: whoever is in there may make flows at will. */
static int64_t cap_for(struct bpftune *b, const struct bpftune_event *event, unsigned int tunable,
		       int64_t current_bytes, const struct tcp_buffer_memory *memory)
{
	int64_t cap_bytes = tcp_buffer_cap_bytes(memory);
	long long first[BPFTUNE_INTS_MAX];

	if (!event->asker)
		return cap_bytes;
	if (bpftune_tried_from(b, tunable, first) < 0)
		first[2] = current_bytes;
	return tcp_buffer_share_bytes(first[2], cap_bytes, event->n_askers);
}

/* A flow meets the limit. If that had decayed, it is back at once. 0: on its way. */
static int note_need(struct bpftune *b, const struct bpftune_event *event, unsigned int tunable,
		     const struct tcp_buffer_look *look, bool may_rise)
{
	if (!look->is_limited || !may_rise)
		return -EAGAIN;
	return bpftune_try(b, tunable, event->scenario, event, NULL,
			   "a flow met %u bytes, ten minutes or more after the limit was lowered as nothing had met it",
			   look->limit_bytes);
}

static void look_at_flow(struct bpftune *b, struct state *state, const struct bpftune_event *event)
{
	unsigned int tunable = event->scenario == TCP_BUFFER_SEND_LIMITED ? TCP_WMEM : TCP_RMEM;
	const struct tcp_buffer_seen *seen = (const struct tcp_buffer_seen *)event->payload;
	struct tcp_buffer_memory memory = memory_for(b, state, event);
	const struct tcp_buffer_look look = look_of(event, seen);
	struct tcp_buffer_decision decision;
	struct tcp_buffer_limit limit;
	long long value[BPFTUNE_INTS_MAX], first[BPFTUNE_INTS_MAX] = { 0 }, before_bytes = 0;
	int err = bpftune_step_from(b, tunable, &before_bytes);
	bool can_rise;

	if (err == -EBUSY || bpftune_value_ints(b, tunable, value) < 0)
		return;
	count_crowd(b, state, &memory, look.is_limited, false);
	tcp_crowd_add_to(&state->crowd, tunable, &memory);
	if (!(seen->flags & TCP_BUFFER_MEMORY_UNKNOWN)) {
		watch_buffers(b, state, &memory);
		if (fit_into_container(b, event, state, tunable, value[2], &memory))
			return;
	}
	if (tell_unmoderated(b, seen))
		return;
	can_rise = may_rise(state, tunable, value[2], &memory);
	if (!note_need(b, event, tunable, &look, can_rise))
		return;
	bpftune_tried_from(b, tunable, first);
	limit = (struct tcp_buffer_limit){
		.bytes = value[2],
		.cap_bytes = can_rise ? cap_for(b, event, tunable, value[2], &memory) : 0,
		.before_bytes = before_bytes,
		.first_bytes = first[2],
		.is_foreign = err == -ENOENT,
	};
	decision = tcp_buffer_decide(&state->known.sides[tunable], &look, &limit);
	act(b, state, event, tunable, &look, &limit, &decision);
}

/* A buffer is so large that the number of such buffers counts: the limits may have to come down before others grow. */
static void look_at_crowd(struct bpftune *b, struct state *state, const struct bpftune_event *event)
{
	const struct tcp_buffer_grown *grown = (const struct tcp_buffer_grown *)event->payload;
	struct tcp_buffer_memory memory = { .pressure_pages = UINT64_MAX, .page_bytes = sysconf(_SC_PAGESIZE) };
	long long value[BPFTUNE_INTS_MAX], before_bytes;

	memory.container_pages = tcp_buffer_smallest_pages(&state->smallest, container_pages_of(grown->container_pages),
							   event->time_ns / NSEC_PER_USEC);
	count_crowd(b, state, &memory, false, true);
	for (unsigned int i = 0; i < TCP_BUFFER_LIMITS; i++) {
		tcp_crowd_add_to(&state->crowd, i, &memory);
		if (bpftune_step_from(b, i, &before_bytes) != -EBUSY && bpftune_value_ints(b, i, value) >= 0)
			fit_into_container(b, event, state, i, value[2], &memory);
	}
}

/* A container in the host's namespace has no limits of its own. */
static void ask_host(struct bpftune *b, struct state *state, const struct bpftune_event *event)
{
	const struct tcp_buffer_seen *seen = (const struct tcp_buffer_seen *)event->payload;
	uint32_t *asked_bytes = &state->asked_bytes[event->scenario == TCP_BUFFER_SEND_LIMITED ? TCP_WMEM : TCP_RMEM];

	if (*asked_bytes != seen->limit_bytes)
		bpftune_log(b, LOG_INFO, "a flow met the host's limit of %u bytes; asking the host's worker",
			    seen->limit_bytes);
	*asked_bytes = seen->limit_bytes;
	bpftune_request(b, event);
}

static void look_at_memory(struct bpftune *b, struct state *state, const struct bpftune_event *event)
{
	tcp_give_back_event(b, &state->give_back, event, state->initial_bytes);
	if (!memcmp(&state->known.lowered, &state->give_back.lowered, sizeof(state->known.lowered)))
		return;
	state->known.lowered = state->give_back.lowered;
	remember(b, state);
}

static void event(struct bpftune *b, void *state, const struct bpftune_event *event)
{
	struct state *s = state;
	bool is_of_memory = event->scenario == TCP_BUFFER_MEMORY_SHORT || event->scenario == TCP_BUFFER_MEMORY_EASED;

	if (b->shares_netns)
		ask_host(b, s, event);
	else if (is_of_memory && !event->asker) /* the kernel tells the host of it, no container */
		look_at_memory(b, s, event);
	else if (event->scenario == TCP_BUFFER_SEND_LIMITED || event->scenario == TCP_BUFFER_RECEIVE_LIMITED)
		look_at_flow(b, s, event);
	else if (event->scenario == TCP_BUFFER_GROWN && !event->asker)
		look_at_crowd(b, s, event);
	if (event->scenario == TCP_BUFFER_SEND_LIMITED)
		tcp_older_heard(&s->older, event->time_ns);
}

static void wake(struct bpftune *b, void *state)
{
	long long value[BPFTUNE_INTS_MAX];
	struct state *s = state;
	struct bpftune_event seen;

	if (!bpftune_value_ints(b, TCP_WMEM, value) && tcp_older_wake(b, &s->older, value[2], &seen))
		look_at_flow(b, s, &seen);
}

#define PREPARE(skel) (skel)->rodata->page_bytes = sysconf(_SC_PAGESIZE)

BPFTUNE_TUNER(tcp_buffer, PREPARE, .summary = "TCP send and receive buffer limits that hold flows back",
	      .tunables = tunables, .n_tunables = ARRAY_SIZE(tunables), .scenarios = scenarios,
	      .n_scenarios = ARRAY_SIZE(scenarios), .remedies = remedies, .n_remedies = ARRAY_SIZE(remedies),
	      .state_size = sizeof(struct state), .init = init, .event = event, .wake = wake);
