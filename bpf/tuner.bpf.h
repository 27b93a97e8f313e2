/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every BPF object of bpftune has: the supervisor's maps, its tuner's number, the licence; and how a program of a
 * tuner is run by an observer, asks whether an event is wanted, keeps its rate, and emits it. The only header that defines
 * maps and variables: the supervisor puts its own maps in their place (bpftune_host_load()).
 */
#ifndef BPFTUNE_BPF_TUNER_H
#define BPFTUNE_BPF_TUNER_H

#include "bpf/kernel.h"
#include "bpf/observe.h"
#include "bpf/sizes.h"
#include "ipc/event.h"

#define NSEC_PER_USEC 1000ULL
#define NSEC_PER_MSEC 1000000ULL
#define NSEC_PER_SEC 1000000000ULL

#define MAP(name, map_type, n, key_type, value_type)		\
	struct {						\
		__uint(type, map_type);				\
		__uint(max_entries, n);				\
		__type(key, key_type);				\
		__type(value, value_type);			\
	} name SEC(".maps")

/* A record of each socket, freed with the socket. Up to 56 bytes take 128 of the kernel's memory. */
#define SK_STORAGE(name, flags, value_type)			\
	struct {						\
		__uint(type, BPF_MAP_TYPE_SK_STORAGE);		\
		__uint(map_flags, BPF_F_NO_PREALLOC | (flags));	\
		__type(key, int);				\
		__type(value, value_type);			\
	} name SEC(".maps")

/*
 * What the worker decided: bpftune_learnt(). Only the supervisor adds and removes entries. It is no LRU map: there the verdicts of
 * many instances would push out those of others, and nobody would know. This map refuses what it has no room for.
 */
#define VERDICTS(n, value_type)						\
	struct {							\
		__uint(type, BPF_MAP_TYPE_HASH);			\
		__uint(map_flags, BPF_F_NO_PREALLOC);			\
		__uint(max_entries, n);					\
		__type(key, struct bpftune_verdict_key);		\
		__type(value, value_type);				\
	} verdicts SEC(".maps")

#define GOLDEN_RATIO_64 0x61C8864680B583EBULL /* include/linux/hash.h */

struct rate_key {
	__u64 netns_cookie;
	__u64 about; /* the tuner's own: an instance, a port, a value; 0: none */
	__u16 tuner, scenario;
	__u32 instance; /* as event->instance; ids are small numbers */
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, BPFTUNE_EVENTS_BYTES);
} events SEC(".maps");

MAP(gates, BPF_MAP_TYPE_HASH, BPFTUNE_NETNS_MAX, __u64, struct bpftune_gate); /* by netns cookie */
MAP(lost, BPF_MAP_TYPE_ARRAY, 1, __u32, __u64);
MAP(rates, BPF_MAP_TYPE_LRU_HASH, BPFTUNE_RATES_MAX, struct rate_key, __u64);
MAP(sharers_rates, BPF_MAP_TYPE_ARRAY, BPFTUNE_SHARERS_RATES * BPFTUNE_GATE_RATES, __u32, __u64);
MAP(paired, BPF_MAP_TYPE_HASH, BPFTUNE_NETNS_MAX, __u64, struct bpftune_pair); /* by the id of a cgroup in cgroup2 */
MAP(noticed, BPF_MAP_TYPE_ARRAY, 1, __u32, struct bpftune_noticed);
MAP(control, BPF_MAP_TYPE_ARRAY, 1, __u32, struct bpftune_control);
MAP(runs, BPF_MAP_TYPE_PERCPU_ARRAY, BPFTUNE_N_CHAINS * BPFTUNE_SLOTS_MAX, __u32, struct bpftune_runs);
SK_STORAGE(flows, 0, struct flow);

MAP(chain_look, BPF_MAP_TYPE_PROG_ARRAY, BPFTUNE_SLOTS_MAX, __u32, __u32);
MAP(chain_ack, BPF_MAP_TYPE_PROG_ARRAY, BPFTUNE_SLOTS_MAX, __u32, __u32);
MAP(chain_start, BPF_MAP_TYPE_PROG_ARRAY, BPFTUNE_SLOTS_MAX, __u32, __u32);
MAP(chain_accept, BPF_MAP_TYPE_PROG_ARRAY, BPFTUNE_SLOTS_MAX, __u32, __u32);
MAP(chain_end, BPF_MAP_TYPE_PROG_ARRAY, BPFTUNE_SLOTS_MAX, __u32, __u32);
MAP(chain_loss, BPF_MAP_TYPE_PROG_ARRAY, BPFTUNE_SLOTS_MAX, __u32, __u32);
MAP(chain_listen, BPF_MAP_TYPE_PROG_ARRAY, BPFTUNE_SLOTS_MAX, __u32, __u32);
MAP(chain_syn, BPF_MAP_TYPE_PROG_ARRAY, BPFTUNE_SLOTS_MAX, __u32, __u32);
MAP(chain_rcv_space, BPF_MAP_TYPE_PROG_ARRAY, BPFTUNE_SLOTS_MAX, __u32, __u32);
MAP(chain_drop_backlog, BPF_MAP_TYPE_PROG_ARRAY, BPFTUNE_SLOTS_MAX, __u32, __u32);
MAP(chain_drop_netfilter, BPF_MAP_TYPE_PROG_ARRAY, BPFTUNE_SLOTS_MAX, __u32, __u32);
MAP(chain_drop_unspecified, BPF_MAP_TYPE_PROG_ARRAY, BPFTUNE_SLOTS_MAX, __u32, __u32);
MAP(chain_udp_drop, BPF_MAP_TYPE_PROG_ARRAY, BPFTUNE_SLOTS_MAX, __u32, __u32);
MAP(udp_drops, BPF_MAP_TYPE_PERCPU_ARRAY, 1 << BPFTUNE_UDP_DROPS_BITS, __u32, struct bpftune_udp_drops);

const volatile __u16 tuner;
const volatile __u64 host_cookie;

char _license[] SEC("license") = "GPL";

/* --- subscribers -------------------------------------------------------------------------------- */

/* Calls whoever is first in the chain from that slot on, and does not come back; an empty slot falls through. */
#define CHAIN_CALL(ctx, chain, from)					\
	do {								\
		_Pragma("unroll")					\
		for (__u32 slot_ = 0; slot_ < BPFTUNE_SLOTS_MAX; slot_++) \
			if (slot_ >= (from))				\
				bpf_tail_call_static(ctx, &(chain), slot_); \
	} while (0)

/* kernel.bpf_stats_enabled books a program that is tail-called on the one that calls. */
static __always_inline void count_run(enum bpftune_chain chain, __u64 begun_ns)
{
	__u32 key = chain * BPFTUNE_SLOTS_MAX + (tuner & (BPFTUNE_SLOTS_MAX - 1));
	struct bpftune_runs *count = bpf_map_lookup_elem(&runs, &key);

	if (!count)
		return;
	count->runs++;
	if (!begun_ns)
		return;
	count->timed++;
	count->ns += bpf_ktime_get_ns() - begun_ns;
}

static __always_inline const struct bpftune_control *control_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&control, &zero);
}

static __always_inline __u64 run_begins(void)
{
	const struct bpftune_control *now = control_get();

	return now && now->is_timed ? bpf_ktime_get_ns() : 0;
}

/* For an accepted connection, the chain of accepted connections comes after the chain of wanted ones. */
#define CHAIN_GO_ON(ctx, chain) CHAIN_CALL(ctx, chain, tuner + 1U)
#define CHAIN_GO_ON_TO_ACCEPT(ctx, chain)				\
	do {								\
		CHAIN_CALL(ctx, chain, tuner + 1U);			\
		if ((ctx)->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)	\
			CHAIN_CALL(ctx, chain_accept, 0);		\
	} while (0)

/*
 * A program that an observer calls; section and chain say when. What follows the macro is its body: a return from there
 * leads to the next tuner's.
 */
#define SUBSCRIBER(section, chain, index, name, ctx_type, go_on)	\
	static __always_inline void name##_body(ctx_type *ctx);		\
	SEC(section) int name(ctx_type *ctx)				\
	{								\
		__u64 begun_ns = run_begins();				\
									\
		name##_body(ctx);					\
		count_run(index, begun_ns);				\
		go_on(ctx, chain);					\
		return 1;						\
	}								\
	static __always_inline void name##_body(ctx_type *ctx)
#define SOCKOPS_SUBSCRIBER(section, chain, index, name) \
	SUBSCRIBER("sockops/" section, chain, index, name, struct bpf_sock_ops, CHAIN_GO_ON)

/* A flow is due: at most once a round trip and millisecond. look_of() gives its record. */
#define ON_LOOK(name) SOCKOPS_SUBSCRIBER("look", chain_look, BPFTUNE_CHAIN_LOOK, name)
/* An acknowledgement with a round trip of a flow whose `wants_acks` is set, while no look is due. */
#define ON_ACK(name) SOCKOPS_SUBSCRIBER("ack", chain_ack, BPFTUNE_CHAIN_ACK, name)
/*
 * A connection is set up. Called only where a tuner has decided about something, where another program has set the window,
 * or where the application has fixed the receive buffer.
 */
#define ON_START(name)                                                                                                 \
	SUBSCRIBER("sockops/start", chain_start, BPFTUNE_CHAIN_START, name, struct bpf_sock_ops, CHAIN_GO_ON_TO_ACCEPT)
/* A connection is accepted. */
#define ON_ACCEPT(name) SOCKOPS_SUBSCRIBER("accept", chain_accept, BPFTUNE_CHAIN_ACCEPT, name)
/* The end of one that was far away, or was looked at. */
#define ON_END(name) SOCKOPS_SUBSCRIBER("end", chain_end, BPFTUNE_CHAIN_END, name)
/* A segment of such a one is sent again. */
#define ON_LOSS(name) SOCKOPS_SUBSCRIBER("loss", chain_loss, BPFTUNE_CHAIN_LOSS, name)
/* A socket begins to listen. */
#define ON_LISTEN(name) SOCKOPS_SUBSCRIBER("listen", chain_listen, BPFTUNE_CHAIN_LISTEN, name)
/* A SYN is about to be answered, where there are verdicts: there is no socket yet. */
#define ON_SYN(name) SOCKOPS_SUBSCRIBER("syn", chain_syn, BPFTUNE_CHAIN_SYN, name)
/* An application has read from a socket whose receive buffer is large for its namespace, or of a size of its own. */
#define ON_RCV_SPACE(name)                                                                                             \
	SUBSCRIBER("raw_tp/tcp_rcv_space_adjust", chain_rcv_space, BPFTUNE_CHAIN_RCV_SPACE, name,                      \
		   struct bpf_raw_tracepoint_args, CHAIN_GO_ON)

/*
 * A packet is dropped (raw_tp/kfree_skb: the skb, where from, the reason), and the reason is: a CPU's backlog is full;
 * netfilter; none that the kernel names. The observer has looked at nothing but the reason.
 */
#define DROP_SUBSCRIBER(section, chain, index, name)                                                                   \
	SUBSCRIBER("raw_tp/kfree_skb/" section, chain, index, name, struct bpf_raw_tracepoint_args, CHAIN_GO_ON)
#define ON_DROP_BACKLOG(name) DROP_SUBSCRIBER("backlog", chain_drop_backlog, BPFTUNE_CHAIN_DROP_BACKLOG, name)
#define ON_DROP_NETFILTER(name) DROP_SUBSCRIBER("netfilter", chain_drop_netfilter, BPFTUNE_CHAIN_DROP_NETFILTER, name)
#define ON_DROP_UNSPECIFIED(name)                                                                                      \
	DROP_SUBSCRIBER("unspecified", chain_drop_unspecified, BPFTUNE_CHAIN_DROP_UNSPECIFIED, name)

/*
 * Datagrams do not fit into the receive buffer of a UDP socket (args[1]; net/ipv4/udp.c: __udp_queue_rcv_skb(); of IPv6 since
 * the tracepoint has the datagram as an argument, from 6.9 on): for a socket and CPU at most once in a jiffy.
 */
#define ON_UDP_DROP(name)                                                                                              \
	SUBSCRIBER("raw_tp/udp_fail_queue_rcv_skb", chain_udp_drop, BPFTUNE_CHAIN_UDP_DROP, name,                      \
		   struct bpf_raw_tracepoint_args, CHAIN_GO_ON)

static __always_inline struct bpftune_udp_drops *udp_drops_of(const struct sock *sk)
{
	__u32 key = (__u64)sk * GOLDEN_RATIO_64 >> (64 - BPFTUNE_UDP_DROPS_BITS);

	return bpf_map_lookup_elem(&udp_drops, &key);
}

/* For such a program: how many, since the chain was last called for the socket here. */
static __always_inline __u32 udp_drops_told(const struct sock *sk)
{
	const struct bpftune_udp_drops *drops = udp_drops_of(sk);

	return drops ? drops->told : 1;
}

/*
 * Set on sockets that were accepted: which side a socket is on is not to be seen later, and this bit of the socket costs no
 * memory. A callback at each timeout comes with it, which is rare and ends at once.
 */
#define FLOW_ACCEPTED_CB_FLAG BPF_SOCK_OPS_RTO_CB_FLAG

/*
 * Reads of a kernel's structure without a call of a helper, as each return from one costs up to 15 ns where processors need
 * to be kept from speculating. From Linux 6.2 on; before, and outside of a hook that runs often, BPF_CORE_READ().
 */
extern void *bpf_rdonly_cast(const void *object, __u32 btf_id) __ksym __weak;

#define CAN_CAST (bpf_rdonly_cast != 0)
#define CAST(type, address) ((const type *)bpf_rdonly_cast(address, bpf_core_type_id_kernel(type)))
#define READ(type, address, field) \
	(CAN_CAST ? CAST(type, address)->field : BPF_CORE_READ((const type *)(address), field))

static __always_inline struct tcp_sock *tcp_sock_of(struct bpf_sock_ops *ctx)
{
	return ctx->sk ? bpf_skc_to_tcp_sock(ctx->sk) : NULL;
}

/* To be read only. */
static __always_inline const struct tcp_sock *tcp_sock_seen(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;

	if (!sk)
		return NULL;
	return CAN_CAST ? CAST(struct tcp_sock, sk) : bpf_skc_to_tcp_sock(sk);
}

static __always_inline _Bool is_fixed(const struct sock *sk, __u32 lock)
{
	return BPF_CORE_READ_BITFIELD(sk, sk_userlocks) & lock;
}

static __always_inline __u64 cookie_of(const struct sock *sk)
{
	return sk->__sk_common.skc_net.net->net_cookie;
}

/* Until there is such a socket, no receiver is asked whether it is one. */
static __always_inline _Bool has_fixed_receivers(void)
{
	__u32 zero = 0;
	const struct bpftune_noticed *now = bpf_map_lookup_elem(&noticed, &zero);

	return now && now->fixed_receivers;
}

static __always_inline void note_fixed_receiver(void)
{
	__u32 zero = 0;
	struct bpftune_noticed *now = bpf_map_lookup_elem(&noticed, &zero);

	if (now && !now->fixed_receivers)
		now->fixed_receivers = 1;
}

/* --- containers that share the host's namespace -------------------------------------------------- */

/* The instance whose cgroup it is or is in; 0: none. */
static __always_inline __u64 sharer_of_cgroup(struct cgroup *cgroup)
{
	for (int i = 0; i < BPFTUNE_CGROUP_LEVELS_MAX && cgroup; i++) {
		__u64 id = BPF_CORE_READ(cgroup, kn, id);
		const struct bpftune_pair *pair = bpf_map_lookup_elem(&paired, &id);

		if (pair && pair->sharer)
			return pair->sharer;
		cgroup = BPF_CORE_READ(cgroup, self.parent, cgroup);
	}
	return 0;
}

/* By the socket's cgroup, which accept(2) takes from the listener. 0: what the socket's namespace says is all there is. */
static __always_inline __u64 sharer_of(const struct sock *sk, __u64 netns_cookie)
{
	const struct bpftune_control *now = control_get();

	if (netns_cookie != host_cookie || !now || !now->sharers)
		return 0;
	return sharer_of_cgroup(BPF_CORE_READ(sk, sk_cgrp_data.cgroup));
}

/* What the observer filled in for this look; NULL: this flow is not due, only what the whole machine shares. */
static __always_inline struct flow *look_of(struct tcp_sock *tp)
{
	struct flow *flow = bpf_sk_storage_get(&flows, tp, NULL, 0);

	return flow && flow->looked_us == tp->tcp_mstamp ? flow : NULL;
}

/* --- gates and rates ---------------------------------------------------------------------------- */

/* True when this instance wants nothing of the tuner (manual, paused, off). */
static __always_inline _Bool tuner_is_off(__u64 netns_cookie)
{
	const struct bpftune_gate *gate = bpf_map_lookup_elem(&gates, &netns_cookie);

	return gate && (gate->tuners_off >> (tuner & (BPFTUNE_TUNERS_MAX - 1)) & 1);
}

/* The tuners that are on there and have decided about something, a bit each. */
static __always_inline __u64 verdicts_of(__u64 netns_cookie)
{
	const struct bpftune_control *now = control_get();
	const struct bpftune_gate *gate = now && now->verdicts ? bpf_map_lookup_elem(&gates, &netns_cookie) : NULL;

	return gate ? gate->verdicts & ~gate->tuners_off : 0;
}

static __always_inline _Bool has_verdicts(__u64 netns_cookie)
{
	return verdicts_of(netns_cookie) >> (tuner & (BPFTUNE_TUNERS_MAX - 1)) & 1;
}

/* At most one a key in interval_ns. Two CPUs at one moment may both pass: the worker copes. */
static __always_inline _Bool rate_of_map_allows(void *map, const void *key, __u64 interval_ns)
{
	__u64 now = bpf_ktime_get_ns();
	__u64 *last = bpf_map_lookup_elem(map, key);

	if (last && now - *last < interval_ns)
		return 0;
	bpf_map_update_elem(map, key, &now, BPF_ANY);
	return 1;
}

/* At most `burst` at once, and one more every interval_ns. Two CPUs at one moment may both pass. */
static __always_inline _Bool spend(__u64 *spent_to, __u64 interval_ns, __u32 burst)
{
	__u64 now = bpf_ktime_get_ns(), full = now > burst * interval_ns ? now - burst * interval_ns : 0;
	__u64 then = (*spent_to > full ? *spent_to : full) + interval_ns;

	if (then > now)
		return 0;
	*spent_to = then;
	return 1;
}

static __always_inline _Bool rate_allows(__u64 netns_cookie, __u64 about, __u16 scenario, __u64 interval_ns)
{
	const struct rate_key key = { netns_cookie, about, tuner, scenario, 0 };

	return rate_of_map_allows(&rates, &key, interval_ns);
}

/* --- events ------------------------------------------------------------------------------------- */

#define TUNER_EVENTS_NS (2 * NSEC_PER_MSEC)
#define TUNER_EVENTS_BURST 256

/*
 * Where it is kept what this tuner's events about an instance have cost. Not in `rates`: whoever has more ports than that has
 * entries makes it forget. Namespaces of which the supervisor does not know have one such place together.
 */
static __always_inline __u64 *spent_by(__u64 netns_cookie, __u64 instance)
{
	__u32 of_tuner = tuner % BPFTUNE_GATE_RATES, zero = 0;
	__u32 of_sharer = instance % BPFTUNE_SHARERS_RATES * BPFTUNE_GATE_RATES + of_tuner;
	struct bpftune_noticed *now;
	struct bpftune_gate *gate;

	if (instance)
		return bpf_map_lookup_elem(&sharers_rates, &of_sharer);
	gate = bpf_map_lookup_elem(&gates, &netns_cookie);
	if (gate) {
		barrier_var(gate);
		return &gate->spent_to[of_tuner];
	}
	now = bpf_map_lookup_elem(&noticed, &zero);
	if (!now)
		return NULL;
	barrier_var(now); /* or clang adds before it compares, which verifiers refuse: the array's element may be absent */
	return &now->unknown_spent_to;
}

/* A zeroed event to fill in and bpf_ringbuf_submit(), or NULL, counted, when the ring is full. */
static __always_inline struct bpftune_event *event_reserve(__u64 netns_cookie, __u16 scenario)
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

/*
 * As event_reserve(), of a tuner: NULL also where the tuner has had too many events about that instance, however many ports,
 * remotes or sockets they are about. `instance` is what sharer_of() says.
 */
static __always_inline struct bpftune_event *tuner_event(__u64 netns_cookie, __u64 instance, __u16 scenario)
{
	__u64 *spent_to = spent_by(netns_cookie, instance);
	struct bpftune_event *event = NULL;

	if (spent_to && spend(spent_to, TUNER_EVENTS_NS, TUNER_EVENTS_BURST))
		event = event_reserve(netns_cookie, scenario);
	if (event)
		event->instance = instance;
	return event;
}

static __always_inline void emit_for(__u64 netns_cookie, __u64 instance, __u64 about, __u16 scenario, const void *payload,
				     __u32 bytes, __u64 interval_ns)
{
	const struct rate_key key = { netns_cookie, about, tuner, scenario, (__u32)instance };
	struct bpftune_event *event;

	if (tuner_is_off(netns_cookie) || !rate_of_map_allows(&rates, &key, interval_ns))
		return;
	event = tuner_event(netns_cookie, instance, scenario);
	if (!event)
		return;
	__builtin_memcpy(event->payload, payload, bytes);
	bpf_ringbuf_submit(event, 0);
}

/* An event with that payload, if the tuner is on and no event of that scenario and namespace came in interval_ns. */
static __always_inline void emit(__u64 netns_cookie, __u64 about, __u16 scenario, const void *payload, __u32 bytes,
				 __u64 interval_ns)
{
	emit_for(netns_cookie, 0, about, scenario, payload, bytes, interval_ns);
}

/*
 * The same about a socket: the namespace is the socket's. If a container that shares the host's namespace has made the socket,
 * the event goes to the container's worker, which can write nothing: it calls bpftune_request(), and the host's worker then
 * sees the container in event->asker. A socket of skb->sk is the sender's, also on the receiver's side of a veth.
 */
static __always_inline void emit_of(const struct sock *sk, __u64 about, __u16 scenario, const void *payload, __u32 bytes,
				    __u64 interval_ns)
{
	const struct net *net = READ(struct sock, sk, __sk_common.skc_net.net);
	__u64 cookie = READ(struct net, net, net_cookie);

	emit_for(cookie, sharer_of(sk, cookie), about, scenario, payload, bytes, interval_ns);
}

#endif
