// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * neigh: raises the limits of the neighbour tables (ARP, and IPv6's), which all namespaces of the machine share, where
 * neighbours that exist find a table full or nearly, or are collected while they are of use. Only gc_thresh3 lets a
 * table take more memory: a container has its share of that. gc_thresh1 and gc_thresh2 follow.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "tuners/decide_neigh.h"
#include "tuners/keep.h"
#include "tuners/neigh.h"
#include "tuners/neigh.skel.h"
#include "tuners/tuner.h"

#define LOG_AGAIN_NS (60 * 1000000000ULL)
#define LOG_OTHER_NS (1000000000ULL)	      /* about another container */
#define WRITTEN_AFTER_NS (3 * 1000000000ULL)  /* at most, by the worker and the supervisor */
#define CHURNED_FOR_NS (3600 * 1000000000ULL) /* as long as a claim counts */

/* A remedy's number is its tunable's. Those of the IPv6 table follow those of the ARP table. */
enum {
	THRESH1,
	THRESH2,
	THRESH3,
	N_THRESH
};

static const struct bpftune_tunable tunables[] = {
	{ "net.ipv4.neigh.default.gc_thresh1", BPFTUNE_SCOPE_HOST, 1, "ARP table: no entry is collected below" },
	{ "net.ipv4.neigh.default.gc_thresh2", BPFTUNE_SCOPE_HOST, 1,
	  "ARP table: stale entries are collected at once above" },
	{ "net.ipv4.neigh.default.gc_thresh3", BPFTUNE_SCOPE_HOST, 1, "ARP table: most entries" },
	{ "net.ipv6.neigh.default.gc_thresh1", BPFTUNE_SCOPE_HOST, 1, "IPv6 neighbours: no entry is collected below" },
	{ "net.ipv6.neigh.default.gc_thresh2", BPFTUNE_SCOPE_HOST, 1,
	  "IPv6 neighbours: stale entries are collected at once above" },
	{ "net.ipv6.neigh.default.gc_thresh3", BPFTUNE_SCOPE_HOST, 1, "IPv6 neighbours: most entries" },
};

static const struct bpftune_scenario scenarios[] = {
	[NEIGH_FULL] = { "table_full", "A neighbour table was full, and a neighbour that exists found no room in it." },
	[NEIGH_NEARLY_FULL] = { "nearly_full",
				"A neighbour table was full to seven eighths, of neighbours that exist." },
	[NEIGH_CHURN] = { "churn",
			  "Neighbours were removed from a table for want of room, and had to be looked for again at once." },
	[NEIGH_IN_USE] = { "in_use", "A raised neighbour table has more entries than it had room for before." },
	[NEIGH_UNANSWERED] = { "unanswered", "A neighbour table fills up with addresses that nobody answers for." },
	[NEIGH_IN_PROPORTION] = { "in_proportion", "gc_thresh3 has changed, and gc_thresh1 and gc_thresh2 follow." },
	[NEIGH_NOT_NEEDED] = { "not_needed",
			       "Whoever needed a larger table has ended, or has had no need of it for an hour." },
};

static int64_t whole(const struct bpftune *b, const void *state)
{
	(void)b, (void)state;
	return neigh_whole(sysconf(_SC_PHYS_PAGES), sysconf(_SC_PAGESIZE));
}

/* Whether the neighbours exist is what judges a claim, so nothing judges a step. */
#define FOLLOWS(thresh)                                                                                       \
	{                                                                                                     \
		.scenario = NEIGH_IN_PROPORTION, .tunable = (thresh), .is_measured = true, .is_lasting = true \
	}
#define CLAIMED(thresh)                                                                 \
	{                                                                               \
		.scenario = NEIGH_NOT_NEEDED, .tunable = (thresh), .step_percent = 400, \
		.is_lasting = true, /* while somebody claims it */                      \
			.whole = whole, .adds_up = true                                 \
	}
static const struct bpftune_remedy remedies[] = {
	FOLLOWS(THRESH1),
	FOLLOWS(THRESH2),
	CLAIMED(THRESH3),
	FOLLOWS(N_THRESH + THRESH1),
	FOLLOWS(N_THRESH + THRESH2),
	CLAIMED(N_THRESH + THRESH3),
};

/* When it was last said, about whom, that the table is not raised for that reason. */
struct told {
	uint64_t asker, time_ns;
};

struct table {
	uint64_t churned_ns;		 /* when entries were last collected that were of use; 0: never */
	int64_t churned_first[N_THRESH]; /* the values before any step, then */
	struct told full, unanswered;
	bool is_raised; /* as the programs were told */
};

struct neigh {
	struct table tables[2];
};

static const char *const names[] = { "ARP table", "IPv6 table" };

/* The three values, and those from before the first step. 0 or -errno. */
static int read_thresholds(struct bpftune *b, unsigned int n, int64_t ret_first[N_THRESH], int64_t ret_value[N_THRESH])
{
	long long value[BPFTUNE_INTS_MAX], first[BPFTUNE_INTS_MAX];

	for (unsigned int i = 0; i < N_THRESH; i++) {
		if (bpftune_value_ints(b, n * N_THRESH + i, value) < 0)
			return -EINVAL;
		ret_value[i] = value[0];
		ret_first[i] = bpftune_tried_from(b, n * N_THRESH + i, first) < 0 ? value[0] : first[0];
	}
	return 0;
}

/* gc_thresh2 first on the way up. */
static void follow(struct bpftune *b, const struct neigh *neigh, unsigned int n, unsigned int scenario,
		   const struct bpftune_event *cause, const char *reason)
{
	int64_t first[N_THRESH], value[N_THRESH], wanted[N_THRESH - 1];
	long long from;

	if (read_thresholds(b, n, first, value) < 0)
		return;
	neigh_in_proportion(first, value[THRESH3], neigh->tables[n].churned_ns, wanted);
	for (int i = THRESH2; i >= THRESH1; i--) {
		if (!bpftune_step_from(b, n * N_THRESH + i, &from))
			bpftune_keep_step(b, n * N_THRESH + i);
		if (wanted[i] != value[i])
			bpftune_go_to(b, n * N_THRESH + i, wanted[i], scenario, cause, "%s; gc_thresh3 is %" PRId64,
				      reason, value[THRESH3]);
	}
}

static bool is_news(struct told *told, const struct bpftune_event *event)
{
	uint64_t again_ns = told->asker == event->asker ? LOG_AGAIN_NS : LOG_OTHER_NS;

	if (told->time_ns && event->time_ns < told->time_ns + again_ns)
		return false;
	*told = (struct told){ event->asker, event->time_ns };
	return true;
}

static void describe(const struct neigh_use *use, char text[static BPFTUNE_TEXT_BYTES])
{
	snprintf(text, BPFTUNE_TEXT_BYTES,
		 "the %s has %d entries of at most %d; this namespace makes %" PRIu64
		 " a second: of %u new ones %u have "
		 "answered, %u were refused",
		 names[use->is_ipv6], use->entries, use->thresh[THRESH3], neigh_per_second(&use->now, use->now_ms),
		 use->now.created + use->past.created, use->now.answered + use->past.answered, use->now.refused);
}

/* gc_thresh3: by the asker's claim, as far as its share goes. */
static void raise_limit(struct bpftune *b, struct table *table, const struct bpftune_event *event,
			const struct neigh_use *use, int64_t first)
{
	unsigned int remedy = use->is_ipv6 * N_THRESH + THRESH3;
	char text[BPFTUNE_TEXT_BYTES];

	describe(use, text);
	bpftune_claim(b, remedy, event, neigh_more(first, use->thresh[THRESH3]));
	if (bpftune_try(b, remedy, event->scenario, event, NULL, "%s", text) == -ENOSPC && is_news(&table->full, event))
		bpftune_log_event(b, event, LOG_WARNING,
				  "%s; that is not raised any further: all may have %" PRId64
				  " entries more together, a container its share of that",
				  text, whole(b, NULL));
}

/* More room would hold more addresses that nobody has. What was made for this namespace goes back. */
static void refuse(struct bpftune *b, struct table *table, const struct bpftune_event *event,
		   const struct neigh_use *use)
{
	char text[BPFTUNE_TEXT_BYTES];

	describe(use, text);
	bpftune_disclaim(b, use->is_ipv6 * N_THRESH + THRESH3, NEIGH_UNANSWERED, event, "of no use: %s", text);
	if (is_news(&table->unanswered, event))
		bpftune_log_event(b, event, LOG_NOTICE,
				  "%s; the table is not raised for addresses that nobody answers for", text);
}

static void churned(struct bpftune *b, struct neigh *neigh, const struct bpftune_event *event,
		    const struct neigh_use *use, const int64_t first[N_THRESH])
{
	struct table *table = &neigh->tables[use->is_ipv6];
	char text[BPFTUNE_TEXT_BYTES];

	snprintf(text, sizeof(text),
		 "the %s has %d entries of at most %d, and %u that were collected were made again within their "
		 "base_reachable_time, in %u ms",
		 names[use->is_ipv6], use->entries, use->thresh[THRESH3], use->now.remade, use->now_ms);
	table->churned_ns = event->time_ns;
	memcpy(table->churned_first, first, sizeof(table->churned_first));
	follow(b, neigh, use->is_ipv6, NEIGH_CHURN, event, text);
}

static void event(struct bpftune *b, void *state, const struct bpftune_event *event)
{
	int64_t first[N_THRESH], value[N_THRESH];
	struct neigh *neigh = state;
	struct neigh_use use;
	struct table *table;

	if (b->id != BPFTUNE_HOST_ID) {
		bpftune_request(b, event);
		return;
	}
	memcpy(&use, event->payload, sizeof(use));
	if (use.is_ipv6 > 1 || read_thresholds(b, use.is_ipv6, first, value) < 0)
		return;
	table = &neigh->tables[use.is_ipv6];
	for (int i = 0; i < N_THRESH; i++)
		if (value[i] != use.thresh[i])
			return; /* it was raised since */
	if (event->scenario == NEIGH_IN_USE) {
		if (value[THRESH3] > first[THRESH3])
			bpftune_claim(b, use.is_ipv6 * N_THRESH + THRESH3, event, 0); /* it counts for another hour */
		if (table->churned_ns && value[THRESH2] > first[THRESH2] && use.entries > first[THRESH2])
			table->churned_ns = event->time_ns;
	} else if (event->scenario == NEIGH_CHURN && value[THRESH2] < neigh_thresh2_max(value[THRESH3])) {
		churned(b, neigh, event, &use, first);
	} else {
		switch (neigh_judge(&use.now, &use.past)) {
		case NEIGH_RAISE:
			raise_limit(b, table, event, &use, first[THRESH3]);
			break;
		case NEIGH_OF_NO_USE:
			refuse(b, table, event, &use);
			break;
		case NEIGH_WAIT:
			break;
		}
	}
}

/* Tells the programs whether a table is raised: then they tell whether it is in use. */
static void tell_raised(struct bpftune *b, struct table *table, unsigned int n)
{
	struct bpftune_verdict verdict = { .key = { n }, .value = { 1 } };
	int64_t first[N_THRESH], value[N_THRESH];
	bool is_raised;

	if (read_thresholds(b, n, first, value) < 0)
		return;
	is_raised = memcmp(first, value, sizeof(first)) != 0;
	if (is_raised && !table->is_raised)
		bpftune_learnt(b, names[n], &verdict, "raised from %" PRId64 " %" PRId64 " %" PRId64, first[THRESH1],
			       first[THRESH2], first[THRESH3]);
	else if (!is_raised && table->is_raised)
		bpftune_forget(b, names[n]);
	table->is_raised = is_raised;
}

/* Or somebody else has set a threshold since: then it is not known whether there would be churn. */
static bool is_churn_over(struct bpftune *b, const struct table *table, unsigned int n)
{
	uint64_t since_ns = table->churned_ns, now_ns = keep_now_ns();
	int64_t first[N_THRESH], value[N_THRESH];

	return read_thresholds(b, n, first, value) < 0 || memcmp(first, table->churned_first, sizeof(first)) ||
	       (value[THRESH2] == first[THRESH2] && now_ns > since_ns + WRITTEN_AFTER_NS) ||
	       now_ns > since_ns + CHURNED_FOR_NS;
}

static void tick(struct bpftune *b, void *state)
{
	struct neigh *neigh = state;

	for (unsigned int n = 0; b->id == BPFTUNE_HOST_ID && n < ARRAY_SIZE(neigh->tables); n++) {
		struct table *table = &neigh->tables[n];

		if (table->churned_ns && is_churn_over(b, table, n))
			table->churned_ns = 0;
		follow(b, neigh, n, NEIGH_IN_PROPORTION, NULL, "in proportion");
		tell_raised(b, table, n);
	}
}

/* What the worker before this one has raised because of churn may be needed as long as a claim that it has left. */
static int init(struct bpftune *b, void **state)
{
	int64_t first[N_THRESH], value[N_THRESH], wanted[N_THRESH - 1];
	struct neigh *neigh = *state;

	for (unsigned int n = 0; b->id == BPFTUNE_HOST_ID && n < ARRAY_SIZE(neigh->tables); n++) {
		struct table *table = &neigh->tables[n];

		if (read_thresholds(b, n, first, value) < 0)
			continue;
		neigh_in_proportion(first, value[THRESH3], false, wanted);
		if (value[THRESH2] > wanted[THRESH2]) {
			table->churned_ns = keep_now_ns();
			memcpy(table->churned_first, first, sizeof(first));
		}
		tell_raised(b, table, n);
	}
	return 0;
}

BPFTUNE_TUNER(neigh, BPFTUNE_NOTHING_OWN, .summary = "neighbour tables that are full, or too small for what is in use",
	      .tunables = tunables, .n_tunables = ARRAY_SIZE(tunables), .scenarios = scenarios,
	      .n_scenarios = ARRAY_SIZE(scenarios), .remedies = remedies, .n_remedies = ARRAY_SIZE(remedies),
	      .state_size = sizeof(struct neigh), .init = init, .event = event, .tick = tick);
