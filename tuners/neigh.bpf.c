// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Notices neighbour tables that are full or nearly, and neighbours that garbage collection removes while they are of
 * use. The tables are the whole machine's (net/core/neighbour.c). Each program ends early while a table has fewer than
 * gc_thresh1 entries: then nothing is collected.
 */
#include "bpf/tuner.bpf.h"
#include "tuners/neigh.h"

#define AF_INET6 10
#define IFF_NOARP 0x80	    /* include/uapi/linux/if.h */
#define NUD_ANSWERED 0x1e   /* include/uapi/linux/neighbour.h: NUD_REACHABLE, STALE, DELAY, PROBE */
#define NUD_UNANSWERED 0x21 /* NUD_INCOMPLETE, FAILED; or 0, NUD_NONE */
#define PERIOD_NS (5000 * NSEC_PER_MSEC)
#define CHURN_MIN 16
#define RATE_NS (250 * NSEC_PER_MSEC)
#define RATE_OF_ALL_NS (5 * NSEC_PER_MSEC) /* however many namespaces there are */
#define IN_USE_RATE_NS (60000 * NSEC_PER_MSEC)

VERDICTS(8, __u64[3]); /* on key 0 and 1: the ARP table, the IPv6 table is raised */

struct counted_key {
	__u64 netns_cookie, is_ipv6;
};

struct counted {
	__u64 since_ns;
	struct neigh_counts now, past;
};

MAP(counted_by, BPF_MAP_TYPE_LRU_HASH, 1024, struct counted_key, struct counted);

struct neigh_key {
	__u64 device; /* its address: names the namespace, too */
	__u64 is_ipv6;
	__u32 address[4];
};

/* Neighbours that were removed while they were of use; until when (jiffies) that was too early. */
MAP(removed, BPF_MAP_TYPE_LRU_HASH, 4096, struct neigh_key, __u64);

/* False: the table has few entries. */
static __always_inline _Bool read_table(const struct neigh_table *tbl, struct neigh_use *ret_use)
{
	ret_use->entries = BPF_CORE_READ(tbl, gc_entries.counter);
	ret_use->thresh[0] = BPF_CORE_READ(tbl, gc_thresh1);
	if (ret_use->entries < ret_use->thresh[0])
		return 0;
	ret_use->thresh[1] = BPF_CORE_READ(tbl, gc_thresh2);
	ret_use->thresh[2] = BPF_CORE_READ(tbl, gc_thresh3);
	ret_use->is_ipv6 = BPF_CORE_READ(tbl, family) == AF_INET6;
	return 1;
}

/* NULL: it was not known until now, and is from now on. */
static __always_inline struct counted *counted_of(const struct counted_key *key)
{
	struct counted *counted = bpf_map_lookup_elem(&counted_by, key), new = { .since_ns = bpf_ktime_get_ns() };
	__u64 now_ns = new.since_ns;
	_Bool is_next;

	if (!counted) {
		bpf_map_update_elem(&counted_by, key, &new, BPF_NOEXIST);
		return bpf_map_lookup_elem(&counted_by, key);
	}
	if (now_ns - counted->since_ns < PERIOD_NS)
		return counted;
	is_next = now_ns - counted->since_ns < 2 * PERIOD_NS; /* else nothing was new in the last one */
	counted->past.created = is_next ? (counted->past.created + counted->now.created) / 2 : 0;
	counted->past.answered = is_next ? (counted->past.answered + counted->now.answered) / 2 : 0;
	__builtin_memset(&counted->now, 0, sizeof(counted->now));
	counted->since_ns = now_ns;
	return counted;
}

/* False: it has no link-layer address of its own (multicast, broadcast), so nobody answers for it. */
static __always_inline _Bool read_address(struct neigh_key *key, const void *address)
{
	bpf_probe_read_kernel(key->address, key->is_ipv6 ? 16 : 4, address);
	return key->is_ipv6 ? *(__u8 *)key->address != 0xff : *(__u8 *)key->address < 224;
}

static __always_inline _Bool was_removed_too_early(const struct neigh_key *key)
{
	const __u64 *until = bpf_map_lookup_elem(&removed, key);
	_Bool is_too_early = until && bpf_jiffies64() < *until;

	if (until)
		bpf_map_delete_elem(&removed, key);
	return is_too_early;
}

/* After each change of the thresholds at once. */
static __always_inline _Bool tell(const struct counted_key *of, __u16 scenario, const struct neigh_use *use,
				  __u64 interval_ns)
{
	__u64 about = (__u64)use->thresh[2] << 32 | (__u32)use->thresh[1] << 1 | use->is_ipv6;
	struct bpftune_event *event;

	if (!rate_allows(of->netns_cookie, about, scenario, interval_ns) ||
	    !rate_allows(0, about, scenario, RATE_OF_ALL_NS) || tuner_is_off(host_cookie) ||
	    tuner_is_off(of->netns_cookie))
		return 0;
	event = tuner_event(of->netns_cookie, 0, scenario);
	if (!event)
		return 0;
	event->key_bytes = sizeof(use->is_ipv6);
	*(struct neigh_use *)event->payload = *use;
	bpf_ringbuf_submit(event, 0);
	return 1;
}

SEC("raw_tp/neigh_create")
int neigh_created(struct bpf_raw_tracepoint_args *ctx)
{
	const struct net_device *dev = (const struct net_device *)ctx->args[1];
	_Bool is_refused = !ctx->args[3], is_exempt = ctx->args[4] & 1;
	struct neigh_key key = { .device = ctx->args[1] };
	struct counted_key of = {};
	struct neigh_use use = {};
	struct counted *counted;

	if (is_exempt || !read_table((const struct neigh_table *)ctx->args[0], &use) ||
	    BPF_CORE_READ(dev, flags) & IFF_NOARP)
		return 0;
	key.is_ipv6 = of.is_ipv6 = use.is_ipv6;
	if (!read_address(&key, (const void *)ctx->args[2]))
		return 0;
	of.netns_cookie = BPF_CORE_READ(dev, nd_net.net, net_cookie);
	counted = counted_of(&of);
	if (!counted)
		return 0;
	if (is_refused)
		counted->now.refused++;
	else
		counted->now.created++;
	if (!is_refused && was_removed_too_early(&key))
		counted->now.remade++;
	use.now = counted->now;
	use.past = counted->past;
	use.now_ms = (bpf_ktime_get_ns() - counted->since_ns) / NSEC_PER_MSEC;
	if (is_refused)
		tell(&of, NEIGH_FULL, &use, RATE_NS);
	else if (use.entries > use.thresh[2] - (use.thresh[2] >> 3))
		tell(&of, NEIGH_NEARLY_FULL, &use, RATE_NS);
	else if (use.now.remade >= CHURN_MIN && tell(&of, NEIGH_CHURN, &use, RATE_NS))
		counted->now.remade = 0;
	else if (use.entries > use.thresh[2] >> 2 && has_verdicts(host_cookie))
		tell(&of, NEIGH_IN_USE, &use, IN_USE_RATE_NS);
	return 0;
}

/* The state is the one before: in most calls an entry that was known is confirmed, and the program ends. */
SEC("raw_tp/neigh_update")
int neigh_answered(struct bpf_raw_tracepoint_args *ctx)
{
	const struct neighbour *n = (const struct neighbour *)ctx->args[0];
	struct counted_key of = {};
	struct neigh_use use = {};
	struct counted *counted;

	if (!(ctx->args[2] & NUD_ANSWERED) || BPF_CORE_READ(n, nud_state) & ~NUD_UNANSWERED ||
	    !read_table(BPF_CORE_READ(n, tbl), &use))
		return 0;
	of.is_ipv6 = use.is_ipv6;
	of.netns_cookie = BPF_CORE_READ(n, dev, nd_net.net, net_cookie);
	counted = counted_of(&of);
	if (counted)
		counted->now.answered++;
	return 0;
}

/* Also when a device goes down: then the table is nearly empty at once. */
SEC("raw_tp/neigh_cleanup_and_release")
int neigh_removed(struct bpf_raw_tracepoint_args *ctx)
{
	const struct neighbour *n = (const struct neighbour *)ctx->args[0];
	struct neigh_key key = {};
	struct neigh_use use = {};
	__u64 until;

	if (!(BPF_CORE_READ(n, nud_state) & NUD_ANSWERED) || !read_table(BPF_CORE_READ(n, tbl), &use))
		return 0;
	key.device = (__u64)BPF_CORE_READ(n, dev);
	key.is_ipv6 = use.is_ipv6;
	if (!read_address(&key, __builtin_preserve_access_index(&n->primary_key)))
		return 0;
	until = bpf_jiffies64() + BPF_CORE_READ(n, parms, reachable_time);
	bpf_map_update_elem(&removed, &key, &until, BPF_ANY);
	return 0;
}
