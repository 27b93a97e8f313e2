// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * conntrack: raises nf_conntrack_max where a namespace's table of connections is full of such that have traffic both
 * ways, and new ones are refused. The limit is the machine's, and each namespace is held against it by itself: the
 * host's worker raises it, for a container by no more than its share of memory, and while the container needs that.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "tuners/conntrack.h"
#include "tuners/conntrack.skel.h"
#include "tuners/conntrack_table.h"
#include "tuners/decide_conntrack.h"
#include "tuners/keep.h"
#include "tuners/tuner.h"

#define SECOND_NS 1000000000ULL
#define CALM_NS (2 * SECOND_NS) /* the program tells of drops five times a second */
#define LOG_AGAIN_NS (60 * SECOND_NS)
#define LOOK_AGAIN_MS (20 * 60 * 1000) /* a claim is kept for an hour */
#define MEMORY_VERSION 1

enum {
	MAX
};

static const struct bpftune_tunable tunables[] = {
	[MAX] = { "net.netfilter.nf_conntrack_max", BPFTUNE_SCOPE_HOST, 1,
		  "most connections that are tracked, in each namespace", .higher_is_base = true,
		  .may_be_absent = true },
};

static const struct bpftune_scenario scenarios[] = {
	[CONNTRACK_TABLE_FULL] = { "table_full",
				   "New connections were refused, as the table was full of connections with traffic both ways." },
	[CONNTRACK_IN_USE] = { "in_use", "A table for which the limit was raised is still as large." },
	[CONNTRACK_NOT_NEEDED] = { "not_needed",
				   "Whoever needed a higher limit has ended, or has had no need of it for an hour." },
};

struct conntrack {
	struct conntrack_window window;
	uint64_t flood_told_ns;
	uint64_t first_max; /* the limit when this namespace first asked for more; 0: it has not */

	/* The host's worker: */
	uint64_t buckets, full_told_ns;
	uint64_t stepped_for, trouble_ns; /* who caused the last step, and when it last asked */
};

static int64_t whole(const struct bpftune *b, const void *state)
{
	(void)b, (void)state;
	return conntrack_whole(sysconf(_SC_PHYS_PAGES), sysconf(_SC_PAGESIZE));
}

static int64_t cap(const struct bpftune *b, const void *state, int64_t current)
{
	const struct conntrack *conntrack = state;

	(void)b, (void)current;
	return conntrack_cap(conntrack->buckets);
}

static const struct bpftune_remedy remedies[] = {
	[MAX] = {
		.scenario = CONNTRACK_NOT_NEEDED,
		.tunable = MAX,
		.step_percent = 400,
		.trouble = { .name = "of 1000 new connections refused" },
		.work = { .name = "tracked" },
		.is_lasting = true, /* while somebody claims it */
		.cap = cap,
		.whole = whole,
	},
};

static void tell_flood(struct bpftune *b, struct conntrack *conntrack, const struct conntrack_use *use)
{
	static const char text[] =
		"%" PRIu64 " packets of new connections were refused and %" PRIu64
		" entries evicted; by that, %u %% of the %" PRIu64
		" entries have had no traffic both ways, as in a flood or a scan: nf_conntrack_max stays %" PRIu64;
	unsigned int percent = conntrack_unanswered_percent(use);
	uint64_t now_ns = keep_now_ns();

	bpftune_learnt(b, "table", NULL, text, (uint64_t)use->dropped, (uint64_t)use->evicted, percent,
		       (uint64_t)use->entries, (uint64_t)use->max);
	if (conntrack->flood_told_ns && now_ns - conntrack->flood_told_ns < LOG_AGAIN_NS)
		return;
	conntrack->flood_told_ns = now_ns;
	bpftune_log(b, LOG_WARNING, text, (uint64_t)use->dropped, (uint64_t)use->evicted, percent,
		    (uint64_t)use->entries, (uint64_t)use->max);
}

/* --- the machine's limit ------------------------------------------------------------------------ */

static void tell_full(struct bpftune *b, struct conntrack *conntrack, const struct bpftune_event *event,
		      const struct conntrack_use *use)
{
	if (conntrack->full_told_ns && event->time_ns - conntrack->full_told_ns < LOG_AGAIN_NS)
		return;
	conntrack->full_told_ns = event->time_ns;
	bpftune_log_event(b, event, LOG_WARNING,
			  "the table of connections is full, and nf_conntrack_max stays %" PRIu64
			  ": all containers together may have %" PRId64
			  " entries more (a 32nd of the memory), each its share, and %" PRIu64
			  " buckets (nf_conntrack_buckets) hold %" PRId64 " at a good speed",
			  (uint64_t)use->max, whole(b, conntrack), conntrack->buckets,
			  conntrack_cap(conntrack->buckets));
}

/* A table is full. While the step that another's table has caused waits for its verdict, this one's says nothing of
 * that. */
static void serve(struct bpftune *b, struct conntrack *conntrack, const struct bpftune_event *event,
		  const struct conntrack_use *use)
{
	/* The limit was the same all the time: nothing of that was before the last step. */
	const struct bpftune_measured measured = { keep_now_ns(), conntrack_refused(use), use->entries };
	long long value[BPFTUNE_INTS_MAX], first[BPFTUNE_INTS_MAX], from;
	int err;

	bpftune_read_again(b, MAX); /* the module may be younger than this worker */
	if (bpftune_value_ints(b, MAX, value) < 0 || conntrack_read_buckets(&conntrack->buckets) < 0)
		return;
	if (bpftune_tried_from(b, MAX, first) < 0)
		memcpy(first, value, sizeof(first));
	if (event->scenario == CONNTRACK_IN_USE) {
		bpftune_claim(b, MAX, event, conntrack_kept(use->entries) - first[0]);
		return;
	}
	if (use->max != (uint64_t)value[0])
		return; /* it was raised since */
	if (conntrack->stepped_for == event->asker)
		conntrack->trouble_ns = keep_now_ns();
	else if (!bpftune_step_from(b, MAX, &from))
		return;
	bpftune_claim(b, MAX, event, 4 * value[0] - first[0]);
	err = bpftune_try(b, MAX, CONNTRACK_TABLE_FULL, event, &measured,
			  "%" PRIu64 " packets of new connections were refused, as %" PRIu64 " of %" PRIu64
			  " connections are tracked, about %u %% of them without traffic both ways",
			  (uint64_t)use->dropped, (uint64_t)use->entries, (uint64_t)use->max,
			  conntrack_unanswered_percent(use));
	if (!err) {
		conntrack->stepped_for = event->asker;
		conntrack->trouble_ns = keep_now_ns();
	} else if (err == -ENOSPC) {
		tell_full(b, conntrack, event, use);
	}
}

static void ask(struct bpftune *b, struct conntrack *conntrack, const struct bpftune_event *event,
		const struct conntrack_use *use)
{
	struct bpftune_event request = *event;

	if (b->id == BPFTUNE_HOST_ID) {
		serve(b, conntrack, event, use);
		return;
	}
	memcpy(request.payload, use, sizeof(*use));
	bpftune_request(b, &request);
}

static void begin_asking(struct bpftune *b, struct conntrack *conntrack, uint64_t max)
{
	if (!conntrack->first_max) {
		conntrack->first_max = max;
		bpftune_remember(b, MEMORY_VERSION, &max, sizeof(max));
	}
	bpftune_wake(b, LOOK_AGAIN_MS);
}

static int init(struct bpftune *b, void **state)
{
	struct conntrack *conntrack = *state;
	size_t size = 0;
	const void *memory = bpftune_remembered(b, MEMORY_VERSION, &size);

	if (b->id == BPFTUNE_HOST_ID && !*bpftune_value(b, MAX))
		bpftune_log(b, LOG_INFO,
			    "there is no net.netfilter.nf_conntrack_max: the kernel tracks no connections");
	if (memory && size == sizeof(conntrack->first_max)) {
		memcpy(&conntrack->first_max, memory, size);
		bpftune_wake(b, LOOK_AGAIN_MS);
	}
	return 0;
}

static void event(struct bpftune *b, void *state, const struct bpftune_event *event)
{
	struct conntrack *conntrack = state;
	struct conntrack_use use;

	if (event->asker) {
		memcpy(&use, event->payload, sizeof(use));
		serve(b, conntrack, event, &use);
		return;
	}
	if (!conntrack_look(&conntrack->window, keep_now_ns(), &use))
		return;
	switch (conntrack_judge(&use)) {
	case CONNTRACK_NEED:
		bpftune_learnt(b, "table", NULL,
			       "%" PRIu64 " of %" PRIu64 " connections were tracked, and %" PRIu64
			       " packets of new ones refused",
			       (uint64_t)use.entries, (uint64_t)use.max, (uint64_t)use.dropped);
		begin_asking(b, conntrack, use.max);
		ask(b, conntrack, event, &use);
		break;
	case CONNTRACK_FLOOD:
		tell_flood(b, conntrack, &use);
		break;
	case CONNTRACK_WAIT:
	case CONNTRACK_OTHER:
		break;
	}
}

/* Whoever asked for the last step was refused no more: the step has helped. */
static void tick(struct bpftune *b, void *state)
{
	struct conntrack *conntrack = state;
	uint64_t now_ns = keep_now_ns();

	if (b->id == BPFTUNE_HOST_ID && now_ns - conntrack->trouble_ns > CALM_NS)
		bpftune_relieved(b, MAX, now_ns - CALM_NS / 2);
}

/* A claim is to last as long as the table is large, though nothing is refused. */
static void wake(struct bpftune *b, void *state)
{
	const struct bpftune_event in_use = { .scenario = CONNTRACK_IN_USE, .time_ns = keep_now_ns() };
	struct conntrack *conntrack = state;
	struct conntrack_use use;

	if (conntrack_read(&use) || use.max <= conntrack->first_max) {
		conntrack->first_max = 0;
		bpftune_remember(b, MEMORY_VERSION, NULL, 0);
		return;
	}
	ask(b, conntrack, &in_use, &use);
	bpftune_wake(b, LOOK_AGAIN_MS);
}

BPFTUNE_TUNER(conntrack, BPFTUNE_NOTHING_OWN, .summary = "the table of tracked connections", .tunables = tunables,
	      .n_tunables = ARRAY_SIZE(tunables), .scenarios = scenarios, .n_scenarios = ARRAY_SIZE(scenarios),
	      .remedies = remedies, .n_remedies = ARRAY_SIZE(remedies), .state_size = sizeof(struct conntrack),
	      .init = init, .event = event, .tick = tick, .wake = wake);
