// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ipfrag: raises ipfrag_high_thresh of a namespace that drops IPv4 fragments for want of memory. The frame reads the
 * counters, makes the step, undoes it where it does not help, and takes it back when it is needed no more.
 */
#include <unistd.h>

#include "ipc/cleanup.h"
#include "ipfrag.h"
#include "ipfrag.skel.h"
#include "tuners/tuner.h"

#define MOST_BYTES (32 * 1024 * 1024) /* eight times the kernel's default */
#define SHARE 256

enum {
	HIGH_THRESH
};

static const struct bpftune_tunable tunables[] = {
	[HIGH_THRESH] = { "net.ipv4.ipfrag_high_thresh", BPFTUNE_SCOPE_NETNS, 1,
			  "memory of IPv4 fragments that wait for others (bytes)", .min = 1, .max = INT64_MAX },
};

static const struct bpftune_scenario scenarios[] = {
	[IPFRAG_FULL] = { "memory_full",
			  "IPv4 fragments were dropped, as those that wait for others held all the memory that they may." },
};

/* This memory is charged to no container: a small share of what the machine could give. */
static int64_t cap(const struct bpftune *b, const void *state, int64_t current)
{
	int64_t share = (int64_t)bpftune_available_pages() * sysconf(_SC_PAGESIZE) / SHARE;

	(void)b, (void)state, (void)current;
	return share < MOST_BYTES ? share : MOST_BYTES;
}

static const struct bpftune_remedy remedies[] = {
	{
		.scenario = IPFRAG_FULL,
		.tunable = HIGH_THRESH,
		/* What is full stays full for ipfrag_time, 30 s: only what a step adds is of use at once. */
		.step_percent = 400,
		.trouble = { "Ip", "ReasmFails" },
		.work = { "Ip", "ReasmReqds" },
		.cap = cap,
	},
};

BPFTUNE_TUNER(ipfrag, BPFTUNE_NOTHING_OWN,
	.summary = "memory of IPv4 fragments that wait for others",
	.tunables = tunables,
	.n_tunables = ARRAY_SIZE(tunables),
	.scenarios = scenarios,
	.n_scenarios = ARRAY_SIZE(scenarios),
	.remedies = remedies,
	.n_remedies = ARRAY_SIZE(remedies));
