// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tcp_mem: raises the limits of TCP's memory before they are met, as far as the machine has memory to spare, and puts
 * them back when the need is over. They are the machine's: only the host's worker hears of them. Without room, it is
 * tcp_buffer in the namespaces that hold most which lowers theirs.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "tuners/decide_tcp_mem.h"
#include "tuners/tcp_mem.h"
#include "tuners/tcp_mem.skel.h"
#include "tuners/tuner.h"

#define LOG_AGAIN_NS (60 * 1000000000ULL)
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
};

struct tcp_mem {
	long long initial[3], ours[3];	  /* raised from, and to; ours[2] is 0: not raised */
	uint64_t eased_ns, eased_last_ns; /* it has been eased from, and was last heard of; 0: it is not */
	uint64_t full_logged_ns;
};

static int init(struct bpftune *b, void **state)
{
	(void)b;
	*state = calloc(1, sizeof(struct tcp_mem));
	return *state ? 0 : -ENOMEM;
}

/*
 * What could be had without swapping. The kernel's nr_free_buffer_pages(), from which it sets tcp_mem at boot, is shown
 * nowhere, and counts memory that others have by now.
 */
static uint64_t available_pages(void)
{
	_cleanup_fclose_ FILE *file = fopen("/proc/meminfo", "re");
	uint64_t kib, page_kib = sysconf(_SC_PAGESIZE) / 1024;
	char line[128];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "MemAvailable: %" SCNu64 " kB", &kib) == 1)
			return kib / page_kib;
	return 0;
}

static void watch_for_ease(struct bpftune *b, const long long *initial)
{
	const int64_t first[3] = { initial[0], initial[1], initial[2] };
	struct tcp_mem_raised raised = { .eased_below_pages = tcp_mem_eased_below(first) };
	struct bpftune_verdict verdict = { 0 };

	memcpy(verdict.value, &raised, sizeof(raised));
	bpftune_learnt(b, "limits", &verdict,
		       "raised from %lld %lld %lld pages; back when TCP has less than %" PRIu64 " for a while",
		       initial[0], initial[1], initial[2], (uint64_t)raised.eased_below_pages);
}

static void forget_ease(struct bpftune *b)
{
	const struct bpftune_verdict verdict = { 0 };

	bpftune_learnt(b, "limits", &verdict, "as they were at first");
}

static void tell_full(struct bpftune *b, struct tcp_mem *tcp_mem, const struct bpftune_event *event, uint64_t cap)
{
	const struct tcp_mem_use *use = (const struct tcp_mem_use *)event->payload;

	if (tcp_mem->full_logged_ns && event->time_ns - tcp_mem->full_logged_ns < LOG_AGAIN_NS)
		return;
	tcp_mem->full_logged_ns = event->time_ns;
	bpftune_log(b, LOG_WARNING,
		    "TCP has %" PRIu64 " pages of %" PRIu64 " (pressure) and %" PRIu64
		    " (most); that is not raised any further, as a quarter of the memory to spare is %" PRIu64 " pages",
		    (uint64_t)use->allocated, (uint64_t)use->mem[1], (uint64_t)use->mem[2], cap);
}

static void stressed(struct bpftune *b, struct tcp_mem *tcp_mem, const struct bpftune_event *event)
{
	const struct tcp_mem_use *use = (const struct tcp_mem_use *)event->payload;
	long long value[BPFTUNE_INTS_MAX];
	int64_t current[3], next[3];
	uint64_t available, cap;
	bool is_first;

	tcp_mem->eased_ns = 0;
	if (bpftune_value_ints(b, TCP_MEM, value) < 0)
		return;
	for (int i = 0; i < 3; i++) {
		current[i] = value[i];
		if ((uint64_t)value[i] != use->mem[i])
			return; /* it was raised since */
	}
	available = available_pages();
	cap = tcp_mem_cap(available, use->allocated);
	if (!tcp_mem_next(current, cap, next)) {
		tell_full(b, tcp_mem, event, cap);
		return;
	}
	is_first = memcmp(value, tcp_mem->ours, sizeof(value));
	for (int i = 0; i < 3; i++)
		value[i] = next[i];
	if (bpftune_propose(b, TCP_MEM, value, event->scenario, event,
			    "TCP has allocated %" PRIu64 " pages, and comes under pressure at %" PRId64 "; %" PRIu64
			    " pages are to spare, a quarter of which it may have",
			    (uint64_t)use->allocated, current[1], available) < 0)
		return;
	memcpy(tcp_mem->ours, value, sizeof(value));
	for (int i = 0; is_first && i < 3; i++)
		tcp_mem->initial[i] = current[i];
	watch_for_ease(b, tcp_mem->initial);
}

/* Back to what was there first, unless somebody else has set it since. */
static void eased(struct bpftune *b, struct tcp_mem *tcp_mem, const struct bpftune_event *event)
{
	const struct tcp_mem_use *use = (const struct tcp_mem_use *)event->payload;
	long long value[BPFTUNE_INTS_MAX];

	if (bpftune_value_ints(b, TCP_MEM, value) < 0)
		return;
	if (!tcp_mem->ours[2] || memcmp(value, tcp_mem->ours, sizeof(value))) {
		forget_ease(b);
		return;
	}
	if (!tcp_mem->eased_ns || event->time_ns - tcp_mem->eased_last_ns > EASED_MAX_GAP_NS)
		tcp_mem->eased_ns = event->time_ns;
	tcp_mem->eased_last_ns = event->time_ns;
	if (!tcp_mem_is_over(tcp_mem->eased_ns, event->time_ns))
		return;
	if (bpftune_propose(b, TCP_MEM, tcp_mem->initial, TCP_MEM_EASED, event,
			    "TCP has %" PRIu64 " pages, for %" PRIu64
			    " s less than half of where the first limits begin to press",
			    (uint64_t)use->allocated, (uint64_t)(event->time_ns - tcp_mem->eased_ns) / 1000000000) < 0)
		return;
	tcp_mem->ours[2] = tcp_mem->eased_ns = 0;
	forget_ease(b);
}

static void event(struct bpftune *b, void *state, const struct bpftune_event *event)
{
	if (event->scenario == TCP_MEM_EASED)
		eased(b, state, event);
	else
		stressed(b, state, event);
}

static void fini(struct bpftune *b, void *state)
{
	(void)b;
	free(state);
}

BPFTUNE_TUNER(tcp_mem, BPFTUNE_NOTHING_OWN,
	.summary = "memory of all TCP sockets together",
	.tunables = tunables,
	.n_tunables = ARRAY_SIZE(tunables),
	.scenarios = scenarios,
	.n_scenarios = ARRAY_SIZE(scenarios),
	.init = init,
	.event = event,
	.fini = fini);
