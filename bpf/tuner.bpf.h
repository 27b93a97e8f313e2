/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every BPF program of bpftune does alike: ask whether an event is wanted, keep its rate, emit it.
 * The maps are the including file's own; `events`, `gates` and `lost` are replaced at load by the
 * supervisor's (bpftune_host_load()).
 */
#ifndef BPFTUNE_BPF_TUNER_H
#define BPFTUNE_BPF_TUNER_H

#include "bpf/kernel.h"
#include "bpf/sizes.h"
#include "ipc/event.h"

#define NSEC_PER_USEC 1000ULL
#define NSEC_PER_MSEC 1000000ULL
#define NSEC_PER_SEC 1000000000ULL

struct rate_key {
	__u64 netns_cookie;
	__u64 instance; /* 0 but for a program attached to one instance's cgroup */
	__u64 scenario;
};

/* True when this instance wants nothing of the tuner (manual, paused, off). */
static __always_inline _Bool tuner_is_off(void *gates, __u64 netns_cookie, __u16 tuner)
{
	const struct bpftune_gate *gate = bpf_map_lookup_elem(gates, &netns_cookie);

	return gate && (gate->tuners_off >> (tuner & (BPFTUNE_TUNERS_MAX - 1)) & 1);
}

/* At most one a key in interval_ns. Two CPUs at one moment may both pass: the worker copes. */
static __always_inline _Bool rate_allows(void *rates, const void *key, __u64 interval_ns)
{
	__u64 now = bpf_ktime_get_ns();
	__u64 *last = bpf_map_lookup_elem(rates, key);

	if (last && now - *last < interval_ns)
		return 0;
	bpf_map_update_elem(rates, key, &now, BPF_ANY);
	return 1;
}

/* A zeroed event to fill in and bpf_ringbuf_submit(), or NULL, counted, when the ring is full. */
static __always_inline struct bpftune_event *event_reserve(void *events, void *lost, __u64 netns_cookie,
							   __u16 tuner, __u16 scenario)
{
	struct bpftune_event *event = bpf_ringbuf_reserve(events, sizeof(*event), 0);

	if (!event) {
		__u32 zero = 0;
		__u64 *count = bpf_map_lookup_elem(lost, &zero);

		if (count)
			__sync_fetch_and_add(count, 1);
		return NULL;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->netns_cookie = netns_cookie;
	event->time_ns = bpf_ktime_get_ns();
	event->tuner = tuner;
	event->scenario = scenario;
	return event;
}

#endif
