// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * frag: raises ipfrag_high_thresh or ip6frag_high_thresh of a namespace that drops fragments for want of memory. The
 * frame reads the counters, makes the step, undoes it where it does not help, and takes it back when it is needed no
 * more.
 */
#include <unistd.h>

#include "ipc/cleanup.h"
#include "tuners/frag.h"
#include "tuners/frag.skel.h"
#include "tuners/tuner.h"

#define MOST_BYTES (32 * 1024 * 1024) /* eight times the kernel's default */
#define SHARE 512

enum {
	IPV4_HIGH,
	IPV6_HIGH,
	IPV4_LOW,
	IPV6_LOW
};

#define BYTES(name, summary)                                                      \
	{                                                                         \
		name, BPFTUNE_SCOPE_NETNS, 1, summary, .min = 1, .max = INT64_MAX \
	}

/*
 * The low thresholds are never written: since Linux 4.17 they only bound what may be written to the high ones. Whoever
 * writes to one has other plans.
 */
static const struct bpftune_tunable tunables[] = {
	[IPV4_HIGH] = BYTES("net.ipv4.ipfrag_high_thresh", "memory of IPv4 fragments that wait for others (bytes)"),
	[IPV6_HIGH] = BYTES("net.ipv6.ip6frag_high_thresh", "memory of IPv6 fragments that wait for others (bytes)"),
	[IPV4_LOW] = BYTES("net.ipv4.ipfrag_low_thresh", "the least that the limit for IPv4 may be (bytes)"),
	[IPV6_LOW] = BYTES("net.ipv6.ip6frag_low_thresh", "the least that the limit for IPv6 may be (bytes)"),
};

static const struct bpftune_scenario scenarios[] = {
	[FRAG_IPV4_FULL] = { "ipv4_memory_full",
			     "IPv4 fragments were dropped, as those that wait for others held all the memory that they may." },
	[FRAG_IPV6_FULL] = { "ipv6_memory_full",
			     "IPv6 fragments were dropped, as those that wait for others held all the memory that they may." },
};

/* This memory is charged to no container: a small share of what the machine could give. */
static int64_t cap(const struct bpftune *b, const void *state, int64_t current)
{
	int64_t share = (int64_t)bpftune_available_pages() * sysconf(_SC_PAGESIZE) / SHARE;

	(void)b, (void)state, (void)current;
	return share < MOST_BYTES ? share : MOST_BYTES;
}

/* What is full stays full for ipfrag_time, 30 s: only what a step adds is of use at once. So a step is a large one. */
static const struct bpftune_remedy remedies[] = {
	{ .scenario = FRAG_IPV4_FULL,
	  .tunable = IPV4_HIGH,
	  .step_percent = 400,
	  .trouble = { "Ip", "ReasmFails" },
	  .besides = { "Ip", "ReasmTimeout" }, /* what was lost on the way */
	  .work = { "Ip", "ReasmReqds" },
	  .cap = cap },
	{ .scenario = FRAG_IPV6_FULL,
	  .tunable = IPV6_HIGH,
	  .step_percent = 400,
	  .trouble = { "snmp6", "Ip6ReasmFails" },
	  .besides = { "snmp6", "Ip6ReasmTimeout" },
	  .work = { "snmp6", "Ip6ReasmReqds" },
	  .cap = cap },
};

BPFTUNE_TUNER(frag, BPFTUNE_NOTHING_OWN, .summary = "memory of fragments that wait for others", .tunables = tunables,
	      .n_tunables = ARRAY_SIZE(tunables), .scenarios = scenarios, .n_scenarios = ARRAY_SIZE(scenarios),
	      .remedies = remedies, .n_remedies = ARRAY_SIZE(remedies));
