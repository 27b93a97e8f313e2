// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * idle: has the kernel keep congestion windows over idle times in a namespace whose connections get them back each time
 * without a loss, and has it restart them again if windows that are kept lose.
 */
#include <inttypes.h>
#include <string.h>

#include "ipc/cleanup.h"
#include "tuners/decide_idle.h"
#include "tuners/idle.h"
#include "tuners/idle.skel.h"
#include "tuners/tuner.h"

#define SECOND_NS UINT64_C(1000000000)
#define RESTARTED_MIN 3 /* once is no habit */
#define HABIT_NS (600 * SECOND_NS)
#define KNOWN_VERSION 1

enum {
	AFTER_IDLE
};

static const struct bpftune_tunable tunables[] = {
	[AFTER_IDLE] = { "net.ipv4.tcp_slow_start_after_idle", BPFTUNE_SCOPE_NETNS, 1,
			 "whether windows are made small after idle times (1) or kept (0)", .max = 1 },
};

static const struct bpftune_scenario scenarios[] = {
	[IDLE_RESTARTED] = { "window_restarted",
			     "Connections had their window made small after an idle time, and it grew again without a loss." },
	[IDLE_KEPT] = { "window_kept", "A connection went on after an idle time with the window from before." },
	[IDLE_LOST] = { "kept_window_lost", "Windows that were kept over an idle time lost segments." },
	[IDLE_NOT_NEEDED] = { "not_needed", "No connection has kept a large window over an idle time for a while." },
};

static const struct bpftune_remedy remedies[] = {
	[AFTER_IDLE] = { .scenario = IDLE_NOT_NEEDED, .tunable = AFTER_IDLE, .direction = BPFTUNE_DOWN },
};

struct idle {
	unsigned int restarted; /* windows that were restarted for nothing */
	uint64_t since_ns;	/* the first of them */
	struct idle_kept kept;	/* since windows are kept */
	uint32_t n_undone;	/* how often they have lost; outlives this worker */
};

static int init(struct bpftune *b, void **state)
{
	struct idle *idle = *state;
	size_t size;
	const void *known = bpftune_remembered(b, KNOWN_VERSION, &size);

	if (known && size == sizeof(idle->n_undone))
		memcpy(&idle->n_undone, known, size);
	return 0;
}

static void restarted(struct bpftune *b, struct idle *idle, const struct idle_seen *seen,
		      const struct bpftune_event *event)
{
	char name[REMOTE_TEXT_BYTES];

	if (!idle->restarted || event->time_ns - idle->since_ns > HABIT_NS) {
		idle->restarted = 0;
		idle->since_ns = event->time_ns;
	}
	if (++idle->restarted < RESTARTED_MIN ||
	    bpftune_try(
		    b, AFTER_IDLE, IDLE_RESTARTED, event, NULL,
		    "after %u ms without data the window of a connection to %s was made %u segments of %u, and grew again "
		    "without a loss, at %u.%u ms a round trip; that was the %u. in %" PRIu64 " s",
		    seen->idle_ms, remote_text(&seen->remote, name), seen->after, seen->before, seen->rtt_us / 1000,
		    seen->rtt_us % 1000 / 100, idle->restarted, (uint64_t)(event->time_ns - idle->since_ns) / SECOND_NS) < 0)
		return;
	idle->restarted = 0;
	idle->kept = (struct idle_kept){ 0 };
}

static void kept(struct bpftune *b, struct idle *idle, const struct idle_seen *seen, const struct bpftune_event *event)
{
	unsigned int hold_s = idle_hold_s(idle->n_undone);
	long long first[BPFTUNE_INTS_MAX];
	char name[REMOTE_TEXT_BYTES];

	if (bpftune_tried_from(b, AFTER_IDLE, first) < 0)
		return; /* it is somebody else who has windows kept */
	bpftune_try(b, AFTER_IDLE, IDLE_KEPT, event, NULL, "windows are kept over idle times"); /* still needed */
	idle_add(&idle->kept, seen->segs, seen->lost);
	if (!idle_is_harmful(&idle->kept) ||
	    bpftune_take_back(b, AFTER_IDLE, IDLE_LOST, event, hold_s,
			      "%u of %u windows that were kept over idle times, at last one to %s, have lost %" PRIu64
			      " of %" PRIu64 " segments; no more for %u min",
			      idle->kept.lossy, idle->kept.windows, remote_text(&seen->remote, name), idle->kept.lost,
			      idle->kept.segs, hold_s / 60) < 0)
		return;
	idle->n_undone++;
	bpftune_remember(b, KNOWN_VERSION, &idle->n_undone, sizeof(idle->n_undone));
}

static void event(struct bpftune *b, void *state, const struct bpftune_event *event)
{
	struct idle_seen seen;

	if (b->shares_netns) { /* the windows' setting is the host's */
		bpftune_request(b, event);
		return;
	}
	memcpy(&seen, event->payload, sizeof(seen));
	if (event->scenario == IDLE_RESTARTED)
		restarted(b, state, &seen, event);
	else if (event->scenario == IDLE_KEPT)
		kept(b, state, &seen, event);
}

BPFTUNE_TUNER(idle, BPFTUNE_NOTHING_OWN, .summary = "congestion windows of connections that idle between requests",
	      .tunables = tunables, .n_tunables = ARRAY_SIZE(tunables), .scenarios = scenarios,
	      .n_scenarios = ARRAY_SIZE(scenarios), .remedies = remedies, .n_remedies = ARRAY_SIZE(remedies),
	      .state_size = sizeof(struct idle), .init = init, .event = event);
