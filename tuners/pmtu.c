// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pmtu: has TCP look for the size of segments that a path takes, in a namespace whose connections to a remote are stuck
 * with large ones while small ones are acknowledged. Kept if they move on with smaller ones.
 */
#include <errno.h>
#include <string.h>
#include <syslog.h>

#include "ipc/cleanup.h"
#include "tuners/decide_pmtu.h"
#include "tuners/keep.h"
#include "tuners/pmtu.h"
#include "tuners/pmtu.skel.h"
#include "tuners/pmtu_look.h"
#include "tuners/tuner.h"

#define LOOK_MS 1000   /* at those that were stuck */
#define LOOK_SHARE 100 /* of its time at most a worker spends looking for who is stuck */
#define MINUTE_NS (60 * 1000000000ULL)
#define KNOWN_VERSION 1

enum {
	MTU_PROBING
};

static const struct bpftune_tunable tunables[] = {
	[MTU_PROBING] = { "net.ipv4.tcp_mtu_probing", BPFTUNE_SCOPE_NETNS, 1,
			  "whether TCP tries smaller segments when large ones are lost: never (0), when stuck (1)",
			  .max = 2 },
};

static const struct bpftune_scenario scenarios[] = {
	[PMTU_BLACK_HOLE] = { "black_hole",
			      "Segments of full size are lost again and again while small ones are acknowledged." },
	[PMTU_OF_NO_USE] = { "of_no_use", "Connections that were stuck have not moved on with smaller segments." },
};

/* It does nothing to a connection that is not stuck, so it stays. */
static const struct bpftune_remedy remedies[] = {
	[MTU_PROBING] = { .scenario = PMTU_BLACK_HOLE,
			  .tunable = MTU_PROBING,
			  .is_measured = true,
			  .is_lasting = true },
};

/* What outlives this worker: bpftune_remember(). */
struct known {
	uint64_t held_until_ns; /* CLOCK_MONOTONIC */
	uint64_t n_useless;
};

struct pmtu {
	struct known known;
	struct pmtu_look look;	/* when probing was turned on */
	uint64_t since_ns;	/* 0: it was not this worker that turned it on */
	uint64_t look_again_ns; /* for who is stuck: not before that */
};

static int init(struct bpftune *b, void **state)
{
	struct pmtu *pmtu = *state;
	size_t size;
	const void *known = bpftune_remembered(b, KNOWN_VERSION, &size);
	long long from;

	if (known && size == sizeof(pmtu->known))
		memcpy(&pmtu->known, known, size);
	if (!bpftune_step_from(b, MTU_PROBING, &from)) /* the worker before this one has left it to be judged */
		bpftune_wake(b, LOOK_MS);
	return 0;
}

static bool is_black_hole(struct pmtu *pmtu, const struct pmtu_stuck *stuck, struct pmtu_look *ret_look)
{
	uint64_t begun_ns = keep_now_ns();
	int err;

	if (begun_ns < pmtu->look_again_ns || begun_ns < pmtu->known.held_until_ns)
		return false;
	ret_look->remote = stuck->remote;
	err = pmtu_look(ret_look);
	pmtu->look_again_ns = keep_now_ns() + LOOK_SHARE * (keep_now_ns() - begun_ns);
	return !err && pmtu_is_black_hole(&ret_look->counts);
}

static void event(struct bpftune *b, void *state, const struct bpftune_event *event)
{
	long long value[BPFTUNE_INTS_MAX];
	char name[REMOTE_TEXT_BYTES];
	struct pmtu *pmtu = state;
	struct pmtu_stuck stuck;
	struct pmtu_look look;

	if (b->shares_netns) { /* the setting is the host's */
		bpftune_request(b, event);
		return;
	}
	memcpy(&stuck, event->payload, sizeof(stuck));
	if (bpftune_value_ints(b, MTU_PROBING, value) < 0 || value[0] || !is_black_hole(pmtu, &stuck, &look) ||
	    bpftune_go_to(
		    b, MTU_PROBING, 1, PMTU_BLACK_HOLE, event,
		    "%u connections to %s are stuck with segments of %u bytes, each sent %u times or more, while %u "
		    "there and %u elsewhere had an acknowledgement within a second",
		    look.counts.stuck, remote_text(&stuck.remote, name), stuck.mss, PMTU_TIMEOUTS + 1,
		    look.counts.answering, look.counts.moving) < 0)
		return;
	pmtu->look = look;
	pmtu->since_ns = keep_now_ns();
	bpftune_wake(b, LOOK_MS);
}

static void tell(struct bpftune *b, const struct pmtu *pmtu, uint32_t passes)
{
	char name[REMOTE_TEXT_BYTES];
	uint32_t lost = pmtu->look.watched[0].mss;

	remote_text(&pmtu->look.remote, name);
	bpftune_learnt(b, name, NULL, "segments of %u bytes arrive, those of %u were lost", passes, lost);
	bpftune_log(
		b, LOG_NOTICE,
		"connections to %s move on with segments of %u bytes; those of %u were lost, and nobody said that they "
		"are too large: the MTU of the path is smaller than that of the device, or ICMP is dropped",
		name, passes, lost);
}

static void give_up(struct bpftune *b, struct pmtu *pmtu)
{
	uint64_t hold_ns = pmtu_hold_ns(pmtu->known.n_useless);
	char name[REMOTE_TEXT_BYTES];

	if (bpftune_take_back(
		    b, MTU_PROBING, PMTU_OF_NO_USE, NULL, 0,
		    "the connections to %s that were stuck have ended, are still stuck, or moved on with segments "
		    "as large as before; not again for %u min",
		    remote_text(&pmtu->look.remote, name), (unsigned int)(hold_ns / MINUTE_NS)) < 0) {
		bpftune_wake(b, LOOK_MS);
		return;
	}
	pmtu->known.held_until_ns = keep_now_ns() + hold_ns;
	pmtu->known.n_useless++;
	bpftune_remember(b, KNOWN_VERSION, &pmtu->known, sizeof(pmtu->known));
}

/* The worker before this one has turned it on, and nobody knows for whom: it is as if that had not been. */
static void give_up_unjudged(struct bpftune *b)
{
	if (bpftune_take_back(
		    b, MTU_PROBING, PMTU_OF_NO_USE, NULL, 0,
		    "the worker that turned it on has ended before it saw whether that is of use; whoever is stuck then "
		    "is looked at anew") < 0)
		bpftune_wake(b, LOOK_MS);
}

/* Once a second, while that is to be judged. */
static void wake(struct bpftune *b, void *state)
{
	struct pmtu *pmtu = state;
	struct pmtu_outcome outcome;
	uint32_t passes;
	long long from;
	int err = bpftune_step_from(b, MTU_PROBING, &from);

	if (err == -EBUSY)
		bpftune_wake(b, LOOK_MS);
	if (err)
		return;
	if (!pmtu->since_ns) {
		give_up_unjudged(b);
		return;
	}
	passes = pmtu_look_again(&pmtu->look);
	outcome = (struct pmtu_outcome){ pmtu->look.n_watched, passes != 0, keep_now_ns() - pmtu->since_ns };
	switch (pmtu_judge(&outcome)) {
	case PMTU_WAIT:
		bpftune_wake(b, LOOK_MS);
		break;
	case PMTU_HELPED:
		bpftune_keep_step(b, MTU_PROBING);
		tell(b, pmtu, passes);
		break;
	case PMTU_USELESS:
		give_up(b, pmtu);
		break;
	}
}

BPFTUNE_TUNER(pmtu, BPFTUNE_NOTHING_OWN, .summary = "paths that lose large segments without a word",
	      .tunables = tunables, .n_tunables = ARRAY_SIZE(tunables), .scenarios = scenarios,
	      .n_scenarios = ARRAY_SIZE(scenarios), .remedies = remedies, .n_remedies = ARRAY_SIZE(remedies),
	      .state_size = sizeof(struct pmtu), .init = init, .event = event, .wake = wake);
