// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Notices flows that tcp_wmem[2] or tcp_rmem[2] holds back: as the kernel accounts it on the send
 * side (tcp_sock.chrono_stat), as the window shows it on the receive side. One such flow of a namespace and
 * direction is then followed for a while, so that what a change brought can be measured.
 */
#include "bpf/receiver.bpf.h"
#include "bpf/sender.bpf.h"
#include "bpf/tuner.bpf.h"
#include "tuners/tcp_buffer.h"

#define JUST_NOW_JIFFIES 25
#define FILLED_LOOKS 32
#define LIMITED_MIN_PERCENT 10
#define FOLLOW_ROUND_TRIPS 20 /* after it was last limited or the limit changed: a verdict needs 12, or a second, */
#define FOLLOW_MIN_NS (10 * NSEC_PER_SEC) /* not counting the flow's pauses */
#define FOLLOW_MAX_NS (10 * NSEC_PER_SEC) /* at an unchanged limit: then another flow's turn may come, */
#define SILENT_ROUND_TRIPS 4		  /* or after it was not looked at for so long */
#define SILENT_MIN_NS (500 * NSEC_PER_MSEC)
#define CLOSELY_NS (5 * NSEC_PER_SEC)	  /* after the limit changed */
#define MEMORY_RATE_NS (500 * NSEC_PER_MSEC)
#define CLOSE_RATE_NS (25 * NSEC_PER_MSEC)
#define SLOW_RATE_NS (500 * NSEC_PER_MSEC)
#define CGROUP_LEVELS 8
#define MAX_WINDOW 65535 /* before scaling: net/ipv4/tcp_output.c: tcp_select_window() */

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, BPFTUNE_EVENTS_BYTES);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BPFTUNE_NETNS_MAX);
	__type(key, __u64);
	__type(value, struct bpftune_gate);
} gates SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} lost SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct rate_key);
	__type(value, __u64);
} rates SEC(".maps");

/* Namespaces that gave back, by the decision of their workers. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct bpftune_verdict_key);
	__type(value, struct tcp_buffer_lowered);
} verdicts SEC(".maps");

/* The flow that is followed. Two CPUs may write to one at once: then an event is missing, or one too many. */
struct followed {
	__u64 flow;
	__u64 since_ns; /* at this limit */
	__u64 limited_ns; /* last */
	__u64 until_ns, told_ns;
	__u64 silent_ns; /* if it is not looked at before */
	__u32 turn; /* tells it from when the same flow was followed before */
	__u32 limit_bytes;
	__u32 looks, limited; /* round trips */
	__u32 ticks, busy;    /* a receiver's time, us */
	__u32 ooopack;	      /* tcp_sock.rcv_ooopack at the last look */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct rate_key);
	__type(value, struct followed);
} followed SEC(".maps");

/* A socket's send-side account at the last look, in jiffies; and when its container's program last looked, 0: never. */
struct chrono {
	__u32 looked_at;
	__u32 sndbuf_limited;
	__u32 looks_left; /* in which a buffer that is filled again counts as full */
	__u32 container_looked_at;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct chrono);
} chronos SEC(".maps");

/* Whose cgroup the container's program is attached to: written by the supervisor at attach. */
struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_STORAGE);
	__type(key, struct bpf_cgroup_storage_key);
	__type(value, __u64); /* instance id */
} instance_ids SEC(".maps");

const volatile __u16 tuner;

/* --- memory ------------------------------------------------------------------------------------- */

static __always_inline __u32 saturated(__u64 pages)
{
	return pages < TCP_BUFFER_UNLIMITED_PAGES ? pages : TCP_BUFFER_UNLIMITED_PAGES;
}

static __always_inline void read_tcp_memory(struct sock *sk, struct tcp_buffer_use *ret_use)
{
	struct proto *prot = BPF_CORE_READ(sk, __sk_common.skc_prot);
	long *tcp_mem = BPF_CORE_READ(prot, sysctl_mem), pressure = 0;
	long allocated = BPF_CORE_READ(prot, memory_allocated, counter);

	bpf_probe_read_kernel(&pressure, sizeof(pressure), &tcp_mem[1]);
	ret_use->pressure_pages = pressure;
	ret_use->allocated_pages = allocated > 0 ? allocated : 0;
}

static __always_inline void add_tcp_memory(struct sock *sk, struct tcp_buffer_seen *seen)
{
	struct tcp_buffer_use use = {};

	read_tcp_memory(sk, &use);
	seen->mem_pressure_pages = saturated(use.pressure_pages);
	seen->mem_allocated_pages = saturated(use.allocated_pages);
}

/* What the socket's memory is charged to, and what that is charged to. */
static __always_inline __u32 container_pages(struct sock *sk)
{
	struct page_counter *counter;
	struct mem_cgroup *memcg;
	__u64 pages = TCP_BUFFER_UNLIMITED_PAGES, max;

	if (!bpf_core_field_exists(sk->sk_memcg))
		return pages;
	memcg = BPF_CORE_READ(sk, sk_memcg);
	counter = memcg ? __builtin_preserve_access_index(&memcg->memory) : NULL;
	for (int i = 0; i < CGROUP_LEVELS && counter; i++) {
		max = BPF_CORE_READ(counter, max);
		if (max < pages)
			pages = max;
		counter = BPF_CORE_READ(counter, parent);
	}
	return pages;
}

/* --- telling ------------------------------------------------------------------------------------ */

static __always_inline void tell(struct sock *sk, __u64 cookie, __u64 instance, __u16 scenario,
				 const struct tcp_buffer_seen *seen)
{
	struct bpftune_event *event = event_reserve(&events, &lost, cookie, tuner, scenario);
	struct tcp_buffer_seen *payload;

	if (!event)
		return;
	event->instance = instance;
	payload = (struct tcp_buffer_seen *)event->payload;
	*payload = *seen;
	add_tcp_memory(sk, payload);
	payload->container_pages = container_pages(sk);
	bpf_ringbuf_submit(event, 0);
}

static __always_inline _Bool is_followed(const struct rate_key *key, __u64 flow)
{
	const struct followed *f = bpf_map_lookup_elem(&followed, key);

	return f && f->flow == flow;
}

static __always_inline __u64 round_trips_ns(const struct tcp_buffer_seen *seen, __u32 n, __u64 min_ns)
{
	__u64 ns = n * NSEC_PER_USEC * seen->srtt_us;

	return ns > min_ns ? ns : min_ns;
}

/*
 * Whether this flow is the one of its namespace and direction that is followed: a limited one becomes it when
 * there is none. NULL: it is not.
 */
static __always_inline struct followed *follow(const struct rate_key *key, const struct tcp_buffer_seen *seen)
{
	_Bool limited = seen->flags & TCP_BUFFER_LIMITED_NOW;
	struct followed *f = bpf_map_lookup_elem(&followed, key);
	__u64 now = bpf_ktime_get_ns();

	if (!f || now > f->until_ns ||
	    (f->flow != seen->flow && (now > f->silent_ns || now - f->since_ns > FOLLOW_MAX_NS))) {
		struct followed fresh = { .flow = seen->flow, .since_ns = now, .turn = now / NSEC_PER_MSEC,
					  .limit_bytes = seen->limit_bytes };

		if (!limited || tuner_is_off(&gates, key->netns_cookie, tuner))
			return NULL;
		bpf_map_update_elem(&followed, key, &fresh, BPF_ANY);
		f = bpf_map_lookup_elem(&followed, key);
		if (!f)
			return NULL;
	}
	if (f->flow != seen->flow)
		return NULL;
	f->silent_ns = now + round_trips_ns(seen, SILENT_ROUND_TRIPS, SILENT_MIN_NS);
	if (f->limit_bytes != seen->limit_bytes) {
		f->limit_bytes = seen->limit_bytes;
		f->since_ns = now;
	}
	if (limited)
		f->limited_ns = now;
	f->until_ns = (f->since_ns > f->limited_ns ? f->since_ns : f->limited_ns) +
		      round_trips_ns(seen, FOLLOW_ROUND_TRIPS, FOLLOW_MIN_NS);
	f->looks++;
	f->limited += limited;
	return f;
}

static __always_inline _Bool is_time(const struct rate_key *key, struct followed *f)
{
	__u64 now = bpf_ktime_get_ns();

	if (now - f->told_ns < (now - f->since_ns < CLOSELY_NS ? CLOSE_RATE_NS : SLOW_RATE_NS))
		return 0;
	f->told_ns = now;
	return !tuner_is_off(&gates, key->netns_cookie, tuner);
}

/* A receiver's time: a pause is none of it, but data that came out of order were late. */
static __always_inline void add_time(struct followed *f, const struct tcp_sock *tp, const struct reading *reading)
{
	__u32 ooopack = BPF_CORE_READ(tp, rcv_ooopack);

	f->ticks += reading->for_us;
	f->busy += ooopack == f->ooopack ? reading->for_us - reading->pause_us : reading->for_us;
	f->ooopack = ooopack;
}

/* Limits may have to come down, or may go back to what they were. */
static __always_inline void tell_if_memory_is_short(struct sock *sk, __u64 cookie)
{
	struct rate_key key = { .netns_cookie = cookie, .scenario = TCP_BUFFER_MEMORY_SHORT };
	const struct bpftune_verdict_key whose = { .netns_cookie = cookie };
	const struct tcp_buffer_lowered *lowered = bpf_map_lookup_elem(&verdicts, &whose);
	struct tcp_buffer_use use = {};
	struct bpftune_event *event;

	read_tcp_memory(sk, &use);
	if (lowered && use.allocated_pages < use.pressure_pages / 2)
		key.scenario = TCP_BUFFER_MEMORY_EASED;
	else if (use.allocated_pages < use.pressure_pages / 5 * 4)
		return;
	if (tuner_is_off(&gates, cookie, tuner) || !rate_allows(&rates, &key, MEMORY_RATE_NS))
		return;
	event = event_reserve(&events, &lost, cookie, tuner, key.scenario);
	if (!event)
		return;
	if (lowered)
		use.lowered = *lowered;
	*(struct tcp_buffer_use *)event->payload = use;
	bpf_ringbuf_submit(event, 0);
}

static __always_inline __u64 flow_of(struct sock *sk)
{
	return (__u64)BPF_CORE_READ(sk, __sk_common.skc_portpair) << 32 | BPF_CORE_READ(sk, __sk_common.skc_hash);
}

/* --- senders ------------------------------------------------------------------------------------ */

/* poll(2) wakes a writer when a third is free, and that fills it at once: net/core/stream.c: sk_stream_write_space(). */
static __always_inline _Bool is_filled_again(struct tcp_sock *tp)
{
	struct sock *sk = (struct sock *)tp;

	return (__u32)sk->sk_wmem_queued >= (__u32)sk->sk_sndbuf / 8 * 5 && could_send_more(tp);
}

/*
 * Whether its buffer limited this sender since the last look, once a jiffy. It had data to send, a window to send them
 * in and no buffer space to keep them in for a part of the time (net/ipv4/tcp_output.c: tcp_cwnd_validate()); or it
 * waits for space now; or it was met waiting lately, and its buffer is as full as that of one that waits at each turn.
 */
static __always_inline _Bool is_limited(struct tcp_sock *tp, const struct tcp_buffer_seen *seen)
{
	struct chrono *chrono = bpf_sk_storage_get(&chronos, tp, NULL, BPF_SK_STORAGE_GET_F_CREATE), last;

	if (!chrono)
		return 0;
	last = *chrono;
	if (seen->ticks == last.looked_at)
		return 0;
	chrono->looked_at = seen->ticks;
	chrono->sndbuf_limited = seen->sndbuf_limited;
	if (waits_for_space(tp)) {
		chrono->looks_left = FILLED_LOOKS;
		return 1;
	}
	if (last.looked_at && 100 * (seen->sndbuf_limited - last.sndbuf_limited) >=
				      LIMITED_MIN_PERCENT * (seen->ticks - last.looked_at))
		return 1;
	if (!last.looks_left)
		return 0;
	chrono->looks_left = last.looks_left - 1;
	return is_filled_again(tp);
}

/*
 * True for the root's program when the container's has just run for the same round trip. Not the same jiffy: a virtual
 * machine's CPU may have been taken away in between.
 */
static __always_inline _Bool is_the_containers(struct tcp_sock *tp, __u64 instance, __u32 now)
{
	struct chrono *chrono = bpf_sk_storage_get(&chronos, tp, NULL, instance ? BPF_SK_STORAGE_GET_F_CREATE : 0);

	if (!instance)
		return chrono && chrono->container_looked_at && now - chrono->container_looked_at < JUST_NOW_JIFFIES;
	if (!chrono)
		return 1; /* nor could the root's know that this one looked */
	chrono->container_looked_at = now ? now : 1;
	return 0;
}

static __always_inline void look_at_sender(struct bpf_sock_ops *ctx, __u64 instance)
{
	struct rate_key key = { .instance = instance, .scenario = TCP_BUFFER_SEND_LIMITED };
	struct tcp_buffer_seen seen = {};
	struct tcp_sock *tp;
	struct followed *f;
	struct sock *sk;
	struct net *net;

	if (!ctx->sk)
		return;
	tp = bpf_skc_to_tcp_sock(ctx->sk);
	if (!tp)
		return;
	sk = (struct sock *)tp;
	net = sk->__sk_common.skc_net.net;
	key.netns_cookie = net->net_cookie;
	if (!instance)
		tell_if_memory_is_short(sk, key.netns_cookie);
	if (BPF_CORE_READ_BITFIELD(sk, sk_userlocks) & SOL_SOCKET_USERLOCK_SNDBUF)
		return;
	seen.limit_bytes = net->ipv4.sysctl_tcp_wmem[2];
	seen.size_bytes = sk->sk_sndbuf;
	if (seen.size_bytes < seen.limit_bytes && !bpf_sk_storage_get(&chronos, tp, NULL, 0))
		return; /* it never met the limit, so it is not followed either */
	seen.ticks = bpf_jiffies64();
	if (is_the_containers(tp, instance, seen.ticks))
		return;
	seen.flow = flow_of(sk);
	seen.srtt_us = tp->srtt_us >> 3;
	seen.sndbuf_limited = chrono_jiffies(tp, TCP_CHRONO_SNDBUF_LIMITED, seen.ticks);
	if (seen.size_bytes >= seen.limit_bytes && is_limited(tp, &seen))
		seen.flags = TCP_BUFFER_LIMITED_NOW;
	f = follow(&key, &seen);
	if (!f || !is_time(&key, f))
		return;
	seen.busy = busy_jiffies(tp, seen.ticks);
	seen.rwnd_limited = chrono_jiffies(tp, TCP_CHRONO_RWND_LIMITED, seen.ticks);
	seen.bytes = tp->bytes_acked;
	seen.min_rtt_us = BPF_CORE_READ(tp, rtt_min.s[0].v);
	seen.held_bytes = sk->sk_wmem_queued;
	seen.data_bytes = tp->write_seq - tp->snd_una;
	seen.turn = f->turn;
	seen.looks = f->looks;
	seen.limited = f->limited;
	tell(sk, key.netns_cookie, instance, TCP_BUFFER_SEND_LIMITED, &seen);
}

static __always_inline void handle(struct bpf_sock_ops *ctx, __u64 instance)
{
	switch (ctx->op) {
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_RTT_CB_FLAG);
		break;
	case BPF_SOCK_OPS_RTT_CB:
		look_at_sender(ctx, instance);
		break;
	}
}

SEC("sockops")
int tcp_buffer_sender(struct bpf_sock_ops *ctx)
{
	handle(ctx, 0);
	return 1;
}

/*
 * Attached to the cgroup of each container, and run before the root's (kernel/bpf/cgroup.c:
 * compute_effective_progs()): that one then finds that the socket was looked at just now, and is silent.
 */
SEC("sockops")
int tcp_buffer_sender_container(struct bpf_sock_ops *ctx)
{
	__u64 *instance = bpf_get_local_storage(&instance_ids, 0);

	if (*instance)
		handle(ctx, *instance);
	return 1;
}

/* --- receivers ---------------------------------------------------------------------------------- */

/* That was agreed at the connection's setup. */
static __always_inline _Bool is_largest(const struct tcp_sock *tp, __u32 window)
{
	__u64 window_max = (__u64)MAX_WINDOW << BPF_CORE_READ_BITFIELD_PROBED(tp, rx_opt.rcv_wscale);

	return window >= window_max / 16 * 15;
}

SEC("raw_tp/tcp_rcv_space_adjust")
int tcp_buffer_receiver(struct bpf_raw_tracepoint_args *ctx)
{
	struct rate_key key = { .scenario = TCP_BUFFER_RECEIVE_LIMITED };
	struct sock *sk = (struct sock *)ctx->args[0];
	struct tcp_sock *tp = (struct tcp_sock *)sk;
	struct tcp_buffer_seen seen = {};
	struct reading reading = {};
	struct followed *f;
	struct net *net;

	look_at_reading(tp, &reading);
	if (!reading.rtt_us)
		return 0;
	seen.srtt_us = reading.rtt_us;
	net = BPF_CORE_READ(sk, __sk_common.skc_net.net);
	key.netns_cookie = BPF_CORE_READ(net, net_cookie);
	tell_if_memory_is_short(sk, key.netns_cookie);
	if (BPF_CORE_READ_BITFIELD_PROBED(sk, sk_userlocks) & SOL_SOCKET_USERLOCK_RCVBUF)
		return 0;
	seen.flow = flow_of(sk);
	seen.limit_bytes = BPF_CORE_READ(net, ipv4.sysctl_tcp_rmem[2]);
	seen.size_bytes = BPF_CORE_READ(sk, sk_rcvbuf);
	if (seen.size_bytes < seen.limit_bytes && !is_followed(&key, seen.flow))
		return 0;
	if (!BPF_CORE_READ(net, ipv4.sysctl_tcp_moderate_rcvbuf))
		seen.flags = TCP_BUFFER_MODERATE_OFF;
	if (seen.size_bytes >= seen.limit_bytes && reading.is_filled && !is_largest(tp, reading.window))
		seen.flags |= TCP_BUFFER_LIMITED_NOW;
	f = follow(&key, &seen);
	if (!f)
		return 0;
	add_time(f, tp, &reading);
	if (!is_time(&key, f))
		return 0;
	seen.ticks = f->ticks;
	seen.busy = f->busy;
	seen.data_bytes = reading.bytes < reading.window ? reading.bytes : reading.window;
	if (reading.window)
		seen.held_bytes = (__u64)seen.size_bytes * seen.data_bytes / reading.window;
	seen.turn = f->turn;
	seen.looks = f->looks;
	seen.limited = f->limited;
	seen.bytes = BPF_CORE_READ(tp, bytes_received);
	seen.min_rtt_us = BPF_CORE_READ(tp, rtt_min.s[0].v);
	tell(sk, key.netns_cookie, 0, TCP_BUFFER_RECEIVE_LIMITED, &seen);
	return 0;
}

char _license[] SEC("license") = "GPL";
