/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every BPF program of bpftune does alike: ask whether an event is wanted, keep its rate, emit it. The maps
 * here are one for all: at load, the supervisor's are put in the place of a tuner's own (bpftune_host_load()).
 */
#ifndef BPFTUNE_BPF_TUNER_H
#define BPFTUNE_BPF_TUNER_H

#include "bpf/kernel.h"
#include "ipc/event.h"

#define BPFTUNE_EVENTS_BYTES (256 * 1024)
#define BPFTUNE_NETNS_MAX 8192
#define NSEC_PER_USEC 1000ULL
#define NSEC_PER_MSEC 1000000ULL
#define NSEC_PER_SEC 1000000000ULL

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, BPFTUNE_EVENTS_BYTES);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BPFTUNE_NETNS_MAX);
	__type(key, __u64); /* netns cookie */
	__type(value, struct bpftune_gate);
} gates SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64); /* events that found the ring buffer full */
} lost SEC(".maps");

struct rate_key {
	__u64 netns_cookie;
	__u64 instance; /* 0 but for a program attached to one instance's cgroup */
	__u64 scenario;
};

/* True when this instance wants nothing of the tuner (manual, paused, off). */
static __always_inline _Bool tuner_is_off(__u64 netns_cookie, __u16 tuner)
{
	const struct bpftune_gate *gate = bpf_map_lookup_elem(&gates, &netns_cookie);

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
static __always_inline struct bpftune_event *event_reserve(__u64 netns_cookie, __u16 tuner, __u16 scenario)
{
	struct bpftune_event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event) {
		__u32 zero = 0;
		__u64 *count = bpf_map_lookup_elem(&lost, &zero);

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
