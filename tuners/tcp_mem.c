// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tcp_mem: raises the limits of TCP's memory before they are met, as far as the machine has memory to spare, and puts
 * them back when the need is over. They are the machine's: the host's worker raises them, for each namespace by what
 * the namespace holds of that memory, and for a container by no more than its share. Without room, tcp_buffer lowers the
 * limits of the namespaces that grow.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "tuners/decide_tcp_mem.h"
#include "tuners/keep.h"
#include "tuners/tcp_held.h"
#include "tuners/tcp_mem.h"
#include "tuners/tcp_mem.skel.h"
#include "tuners/tuner.h"

#define LOG_AGAIN_NS (60 * 1000000000ULL)
#define UNCHARGED_FOR_NS (60 * 1000000000ULL)
#define EASED_FOR_NS (10 * 1000000000ULL)
#define MEASURE_SHARE 100		     /* of its time at most a worker spends measuring what is held */
#define EASED_MAX_GAP_NS (5 * 1000000000ULL) /* events of ease come once a second while there is traffic */

enum {
	TCP_MEM
};

static const struct bpftune_tunable tunables[] = {
	[TCP_MEM] = { "net.ipv4.tcp_mem", BPFTUNE_SCOPE_HOST, 3,
		      "memory of all TCP sockets: low, pressure, high (pages)", .min = 1, .max = INT64_MAX },
};

static const struct bpftune_scenario scenarios[] = {
	[TCP_MEM_NEAR_PRESSURE] = { "near_pressure",
				    "TCP's sockets have allocated three quarters of the memory at which the kernel begins to press them." },
	[TCP_MEM_REFUSED] = { "memory_refused",
			      "A TCP socket was refused memory, at or near the limits of TCP as a whole." },
	[TCP_MEM_EASED] = { "eased", "TCP's memory has been well below its first limits for a while." },
	[TCP_MEM_NOT_NEEDED] = { "not_needed",
				 "Whoever needed higher limits has ended, or has had no need of them for an hour." },
	[TCP_MEM_UNCHARGED] = { "uncharged",
				"The memory of a container's TCP sockets is on the account of no cgroup, so only tcp_mem bounds it." },
};

struct tcp_mem {
	struct tcp_mem_use use;		  /* as last told */
	uint64_t available;		  /* pages, then */
	uint64_t eased_ns, eased_last_ns; /* it has been eased from, and was last heard of; 0: it is not */
	uint64_t full_logged_ns;
	uint64_t uncharged_ns; /* when such a container was last heard of; 0: never */
	double held_part; /* of what is allocated: what the namespace held when that was measured */
	uint64_t measure_again_ns;
	bool is_raised; /* as the program was told */
};

/* A quarter of the memory that TCP has, or could have without taking it from anybody else. */
static int64_t whole(const struct bpftune *b, const void *state)
{
	const struct tcp_mem *tcp_mem = state;

	(void)b;
	return (tcp_mem->available + tcp_mem->use.allocated) / 4;
}

static int64_t cap(const struct bpftune *b, const void *state, int64_t current)
{
	(void)current;
	return whole(b, state);
}

static const struct bpftune_remedy remedies[] = {
	[TCP_MEM] = {
		.scenario = TCP_MEM_NOT_NEEDED,
		.tunable = TCP_MEM,
		.value = BPFTUNE_ALL_VALUES,
		.step_percent = 150,
		.is_lasting = true, /* until it has eased */
		.cap = cap,
		.whole = whole,
		.adds_up = true,
	},
};

/* What they were raised from; NULL: they are not. The program tells when TCP needs what is raised no more. */
static void tell_limits(struct bpftune *b, struct tcp_mem *tcp_mem, const long long *first)
{
	struct tcp_mem_raised raised = { .eased_below_pages = first ? first[1] / 2 : 0 };
	struct bpftune_verdict verdict = { 0 };

	tcp_mem->is_raised = first != NULL;
	memcpy(verdict.value, &raised, sizeof(raised));
	if (first)
		bpftune_learnt(b, "limits", &verdict,
			       "raised from %lld %lld %lld pages; back when TCP has less than %" PRIu64 " for a while",
			       first[0], first[1], first[2], (uint64_t)raised.eased_below_pages);
	else
		bpftune_learnt(b, "limits", &verdict, "as they were at first");
}

static int init(struct bpftune *b, void **state)
{
	long long first[BPFTUNE_INTS_MAX];

	if (!bpftune_tried_from(b, TCP_MEM, first)) /* by the worker before this one */
		tell_limits(b, *state, first);
	return 0;
}

static bool is_uncharged(const struct tcp_mem *tcp_mem, const struct bpftune_event *event)
{
	return event->asker && tcp_mem->uncharged_ns && event->time_ns < tcp_mem->uncharged_ns + UNCHARGED_FOR_NS;
}

static void tell_full(struct bpftune *b, struct tcp_mem *tcp_mem, const struct bpftune_event *event)
{
	const struct tcp_mem_use *use = &tcp_mem->use;
	uint64_t now_ns = event->time_ns;

	if (use->allocated < use->mem[1] / 8 * 7) /* the need may be less than a step still */
		return;
	if (tcp_mem->full_logged_ns && now_ns - tcp_mem->full_logged_ns < LOG_AGAIN_NS)
		return;
	tcp_mem->full_logged_ns = now_ns;
	bpftune_log(
		b, LOG_WARNING,
		"TCP has %" PRIu64 " pages of %" PRIu64 " (pressure) and %" PRIu64
		" (most); that is not raised any further: a quarter of the memory to spare is %" PRId64
		" pages, of which each container may have its share%s",
		(uint64_t)use->allocated, (uint64_t)use->mem[1], (uint64_t)use->mem[2], whole(b, tcp_mem),
		is_uncharged(tcp_mem, event)
			? "; no cgroup pays for this container's sockets, which may not bring TCP beyond an eighth of the machine"
			: "");
}

static void stressed(struct bpftune *b, struct tcp_mem *tcp_mem, const struct bpftune_event *event)
{
	const struct tcp_mem_use *use = &tcp_mem->use;
	long long value[BPFTUNE_INTS_MAX], first[BPFTUNE_INTS_MAX];
	int64_t more;
	int err;

	tcp_mem->eased_ns = 0;
	if (bpftune_value_ints(b, TCP_MEM, value) < 0)
		return;
	for (int i = 0; i < 3; i++)
		if ((uint64_t)value[i] != use->mem[i])
			return; /* it was raised since */
	tcp_mem->available = bpftune_available_pages();
	if (bpftune_tried_from(b, TCP_MEM, first) < 0)
		memcpy(first, value, sizeof(first));
	more = tcp_mem_needed_pages(use->allocated, use->held, (int64_t[]){ first[1], first[2] });
	if (is_uncharged(tcp_mem, event))
		more = tcp_mem_uncharged_pages(more, sysconf(_SC_PHYS_PAGES), first[2], event->n_askers);
	bpftune_claim(b, TCP_MEM, event, more);
	err = bpftune_try(b, TCP_MEM, event->scenario, event, NULL,
			  "TCP has allocated %" PRIu64 " pages, and comes under pressure at %lld; %" PRIu64
			  " pages are to spare, a quarter of which all may have together",
			  (uint64_t)use->allocated, value[1], tcp_mem->available);
	if (!err)
		tell_limits(b, tcp_mem, first);
	else if (err == -ENOSPC)
		tell_full(b, tcp_mem, event);
}

/* What the sockets of this worker's namespace hold. The kernel walks through them for it. */
static uint64_t held_pages(struct tcp_mem *tcp_mem, uint64_t allocated_pages)
{
	uint64_t begun_ns = keep_now_ns(), bytes = 0;

	if (begun_ns < tcp_mem->measure_again_ns)
		return tcp_mem->held_part * allocated_pages;
	if (tcp_held_bytes(&bytes) < 0)
		bytes = allocated_pages * sysconf(_SC_PAGESIZE); /* the kernel does not tell: a share bounds it */
	tcp_mem->held_part = allocated_pages ? (double)bytes / sysconf(_SC_PAGESIZE) / allocated_pages : 0;
	tcp_mem->measure_again_ns = keep_now_ns() + MEASURE_SHARE * (keep_now_ns() - begun_ns);
	return bytes / sysconf(_SC_PAGESIZE);
}

/* Back to what was there first, unless somebody else has set it since. */
static void eased(struct bpftune *b, struct tcp_mem *tcp_mem, const struct bpftune_event *event)
{
	long long first[BPFTUNE_INTS_MAX];
	uint64_t for_ns;

	if (bpftune_tried_from(b, TCP_MEM, first) < 0) {
		tell_limits(b, tcp_mem, NULL);
		return;
	}
	if (!tcp_mem->eased_ns || event->time_ns - tcp_mem->eased_last_ns > EASED_MAX_GAP_NS)
		tcp_mem->eased_ns = event->time_ns;
	tcp_mem->eased_last_ns = event->time_ns;
	for_ns = event->time_ns - tcp_mem->eased_ns;
	if (event->time_ns < tcp_mem->eased_ns || for_ns < EASED_FOR_NS || /* two CPUs' clocks */
	    bpftune_take_back(b, TCP_MEM, TCP_MEM_EASED, event, 0,
			      "TCP has %" PRIu64 " pages, for %" PRIu64
			      " s less than half of where the first limits begin to press",
			      (uint64_t)tcp_mem->use.allocated, for_ns / 1000000000) < 0)
		return;
	tcp_mem->eased_ns = 0;
	tell_limits(b, tcp_mem, NULL);
}

static void event(struct bpftune *b, void *state, const struct bpftune_event *event)
{
	struct tcp_mem *tcp_mem = state;
	struct bpftune_event request = *event;
	struct tcp_mem_use use;

	memcpy(&use, event->payload, sizeof(use));
	if (event->scenario == TCP_MEM_UNCHARGED) {
		if (!event->asker)
			tcp_mem->uncharged_ns = event->time_ns;
		return;
	}
	if (event->asker && (event->scenario == TCP_MEM_EASED || use.allocated > (uint64_t)sysconf(_SC_PHYS_PAGES)))
		return; /* no worker of ours would ask that: whoever has taken one over is not to be believed */
	tcp_mem->use = use;
	if (event->scenario == TCP_MEM_EASED) {
		eased(b, tcp_mem, event);
		return;
	}
	if (!event->asker)
		tcp_mem->use.held = held_pages(tcp_mem, tcp_mem->use.allocated);
	if (b->id == BPFTUNE_HOST_ID) {
		stressed(b, tcp_mem, event);
		return;
	}
	memcpy(request.payload, &tcp_mem->use, sizeof(tcp_mem->use));
	bpftune_request(b, &request);
}

/* The frame has taken them back, as nobody is left who needed them. */
static void tick(struct bpftune *b, void *state)
{
	long long first[BPFTUNE_INTS_MAX];
	struct tcp_mem *tcp_mem = state;

	if (tcp_mem->is_raised && bpftune_tried_from(b, TCP_MEM, first) < 0)
		tell_limits(b, tcp_mem, NULL);
}

#define PREPARE(skel) (skel)->rodata->page_bytes = sysconf(_SC_PAGESIZE)

BPFTUNE_TUNER(tcp_mem, PREPARE, .summary = "memory of all TCP sockets together", .tunables = tunables,
	      .n_tunables = ARRAY_SIZE(tunables), .scenarios = scenarios, .n_scenarios = ARRAY_SIZE(scenarios),
	      .remedies = remedies, .n_remedies = ARRAY_SIZE(remedies), .state_size = sizeof(struct tcp_mem),
	      .init = init, .event = event, .tick = tick);
