// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Notices flows that tcp_wmem[2] or tcp_rmem[2] holds back: as the kernel accounts it on the send
 * side (tcp_sock.chrono_stat), as the window shows it on the receive side. One such flow of a namespace and
 * direction is then followed for a while, so that what a change brought can be measured.
 */
#include "bpf/receiver.bpf.h"
#include "bpf/sender.bpf.h"
#include "bpf/tcp_memory.bpf.h"
#include "bpf/tuner.bpf.h"
#include "tuners/tcp_buffer.h"

#define FILLED_LOOKS 32
#define LIMITED_MIN_PERCENT 10
#define FOLLOW_ROUND_TRIPS 20 /* after it was last limited or the limit changed: a verdict needs 12, or a second, */
#define FOLLOW_MIN_NS (10 * NSEC_PER_SEC) /* not counting the flow's pauses */
#define FOLLOW_MAX_NS (10 * NSEC_PER_SEC) /* at an unchanged limit: then another flow's turn may come, */
#define NEXT_MAX_NS NSEC_PER_SEC	  /* so long the next flow's turn is kept for it */
#define SILENT_ROUND_TRIPS 4		  /* or after it was not looked at for so long */
#define SILENT_MIN_NS (500 * NSEC_PER_MSEC)
#define CLOSELY_NS (5 * NSEC_PER_SEC)	  /* after the limit changed */
#define MEMORY_RATE_NS (500 * NSEC_PER_MSEC)
#define GROWN_RATE_NS NSEC_PER_SEC /* of each size, so that each doubling is told of at once */
#define GROWN_DOUBLINGS 8
#define CLOSE_RATE_NS (25 * NSEC_PER_MSEC)
#define SLOW_RATE_NS (500 * NSEC_PER_MSEC)
#define CGROUP_LEVELS 8
#define MAX_WINDOW 65535 /* before scaling: net/ipv4/tcp_output.c: tcp_select_window() */

const volatile __u32 page_bytes;

/* Namespaces that gave back, by the decision of their workers. */
VERDICTS(4096, struct tcp_buffer_lowered);

/*
 * The flow that is followed, in a namespace and direction, and the one whose turn is next: of the limited ones, that which
 * is limited for most of the time, not that which is looked at most often. Two CPUs may write to one at once: then an event
 * is missing, or one too many.
 */
struct followed {
	__u64 flow, next_flow;
	__u64 since_ns; /* at this limit */
	__u64 limited_ns; /* last */
	__u64 until_ns, told_ns;
	__u64 silent_ns; /* if it is not looked at before */
	__u64 next_ns; /* how long the next one was limited, less what others were */
	__u32 turn; /* tells it from when the same flow was followed before */
	__u32 limit_bytes;
	__u32 looks, limited; /* round trips */
	__u32 ticks, busy;    /* a receiver's time, us */
	__u32 ooopack;	      /* tcp_sock.rcv_ooopack at the last look */
};

MAP(followed, BPF_MAP_TYPE_LRU_HASH, 4096, struct rate_key, struct followed);

/* A socket's send-side account at the last look, in jiffies. */
struct chrono {
	__u32 looked_at;
	__u32 sndbuf_limited;
	__u32 looks_left; /* in which a buffer that is filled again counts as full */
	__u32 unused;
};

SK_STORAGE(chronos, 0, struct chrono);

/* --- memory ------------------------------------------------------------------------------------- */

static __always_inline __u32 saturated(__u64 pages)
{
	return pages < TCP_BUFFER_UNLIMITED_PAGES ? pages : TCP_BUFFER_UNLIMITED_PAGES;
}

static __always_inline void read_use(struct sock *sk, struct tcp_buffer_use *ret_use)
{
	struct tcp_memory memory = {};

	read_tcp_memory(sk, page_bytes, &memory);
	ret_use->pressure_pages = memory.mem[1];
	ret_use->allocated_pages = memory.allocated;
}

static __always_inline void add_tcp_memory(struct sock *sk, struct tcp_buffer_seen *seen)
{
	struct tcp_buffer_use use = {};

	read_use(sk, &use);
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
	struct bpftune_event *event = tuner_event(cookie, instance, scenario);
	struct tcp_buffer_seen *payload;

	if (!event)
		return;
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

/* Weighed by the time for which each is limited: the majority's (Boyer and Moore). */
static __always_inline void be_next(struct followed *f, __u64 flow, __u64 limited_ns)
{
	if (f->next_flow == flow) {
		f->next_ns += limited_ns;
	} else if (f->next_ns >= limited_ns) {
		f->next_ns -= limited_ns;
	} else {
		f->next_flow = flow;
		f->next_ns = limited_ns - f->next_ns;
	}
}

static __always_inline __u64 earlier(__u64 a, __u64 b)
{
	return a < b ? a : b;
}

/* The turn of the followed one is over, and this flow has the next: it waits longest, or the one that does has ended. */
static __always_inline _Bool is_next(const struct followed *f, __u64 flow, __u64 now)
{
	__u64 over_ns = f->until_ns;

	if (f->flow != flow)
		over_ns = earlier(over_ns, earlier(f->silent_ns, f->since_ns + FOLLOW_MAX_NS));
	return now > over_ns && (f->flow == flow || !f->next_flow || f->next_flow == flow || now > over_ns + NEXT_MAX_NS);
}

/*
 * Whether this flow is the one of its namespace and direction that is followed: a limited one becomes it when
 * there is none, or its turn has come. `limited_ns`: for how long it was limited since its last look. NULL: it is not.
 */
static __always_inline struct followed *follow(const struct rate_key *key, const struct tcp_buffer_seen *seen,
					       __u64 limited_ns)
{
	_Bool limited = seen->flags & TCP_BUFFER_LIMITED_NOW;
	struct followed *f = bpf_map_lookup_elem(&followed, key);
	__u64 now = bpf_ktime_get_ns();

	if (f && limited && f->flow != seen->flow)
		be_next(f, seen->flow, limited_ns);
	if (!f || is_next(f, seen->flow, now)) {
		struct followed fresh = { .flow = seen->flow, .since_ns = now, .turn = now / NSEC_PER_MSEC,
					  .limit_bytes = seen->limit_bytes };

		if (!limited || tuner_is_off(key->netns_cookie))
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
	return !tuner_is_off(key->netns_cookie);
}

/* A receiver's time: a pause is none of it, but data that came out of order were late. */
static __always_inline void add_time(struct followed *f, const struct tcp_sock *tp, const struct reading *reading)
{
	__u32 ooopack = BPF_CORE_READ(tp, rcv_ooopack);

	f->ticks += reading->for_us;
	f->busy += ooopack == f->ooopack ? reading->for_us - reading->pause_us : reading->for_us;
	f->ooopack = ooopack;
}

/* Other flows' buffers may be as large: the worker counts them. */
static __always_inline void tell_grown(struct sock *sk, __u64 cookie, __u32 size_bytes, __u32 watched_bytes)
{
	struct bpftune_event *event;
	__u64 doublings = 0;

	for (int i = 1; i < GROWN_DOUBLINGS; i++)
		if (size_bytes >> i >= watched_bytes)
			doublings = i;
	if (tuner_is_off(cookie) || !rate_allows(cookie, doublings, TCP_BUFFER_GROWN, GROWN_RATE_NS))
		return;
	event = tuner_event(cookie, 0, TCP_BUFFER_GROWN);
	if (!event)
		return;
	((struct tcp_buffer_grown *)event->payload)->container_pages = container_pages(sk);
	bpf_ringbuf_submit(event, 0);
}

/* Limits may have to come down, or may go back to what they were. `size_bytes`: of the socket's buffer. */
static __always_inline void tell_of_memory(struct sock *sk, __u64 cookie, __u32 size_bytes)
{
	const struct bpftune_verdict_key whose = { .netns_cookie = cookie };
	const struct tcp_buffer_lowered *lowered = bpf_map_lookup_elem(&verdicts, &whose);
	__u16 scenario = TCP_BUFFER_MEMORY_SHORT;
	struct tcp_buffer_use use = {};

	if (lowered && lowered->watched_bytes && size_bytes >= lowered->watched_bytes)
		tell_grown(sk, cookie, size_bytes, lowered->watched_bytes);
	read_use(sk, &use);
	if (lowered && (lowered->to_bytes[0] || lowered->to_bytes[1]) && use.allocated_pages < use.pressure_pages / 2)
		scenario = TCP_BUFFER_MEMORY_EASED;
	else if (use.allocated_pages < use.pressure_pages / 5 * 4)
		return;
	emit(cookie, 0, scenario, &use, sizeof(use), MEMORY_RATE_NS);
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
 * Whether its buffer limited this sender since the last look, a jiffy ago or more. It had data to send, a window to send
 * them in and no buffer space to keep them in for a part of the time (net/ipv4/tcp_output.c: tcp_cwnd_validate()); or it
 * waits for space now; or it was met waiting lately, and its buffer is as full as that of one that waits at each turn.
 */
static __always_inline _Bool is_limited(struct tcp_sock *tp, struct chrono *chrono, const struct flow *flow)
{
	struct chrono last = *chrono;

	chrono->looked_at = flow->jiffies;
	chrono->sndbuf_limited = flow->sndbuf_limited;
	if (waits_for_space(tp)) {
		chrono->looks_left = FILLED_LOOKS;
		return 1;
	}
	if (last.looked_at && 100 * (flow->sndbuf_limited - last.sndbuf_limited) >=
				      LIMITED_MIN_PERCENT * (flow->jiffies - last.looked_at))
		return 1;
	if (!last.looks_left)
		return 0;
	chrono->looks_left = last.looks_left - 1;
	return is_filled_again(tp);
}

/* What has met the limit, or is followed as it did, has a record. */
static __always_inline struct chrono *chrono_of(struct tcp_sock *tp, const struct tcp_buffer_seen *seen)
{
	return bpf_sk_storage_get(&chronos, tp, NULL,
				  seen->size_bytes < seen->limit_bytes ? 0 : BPF_SK_STORAGE_GET_F_CREATE);
}

static __always_inline void look_at_sender(struct tcp_sock *tp, struct sock *sk, __u64 cookie, struct flow *flow)
{
	struct rate_key key = { .netns_cookie = cookie, .about = flow->instance, .scenario = TCP_BUFFER_SEND_LIMITED };
	struct tcp_buffer_seen seen = {};
	struct chrono *chrono;
	struct followed *f;

	if (is_fixed(sk, SOL_SOCKET_USERLOCK_SNDBUF))
		return;
	seen.limit_bytes = sk->__sk_common.skc_net.net->ipv4.sysctl_tcp_wmem[2];
	seen.size_bytes = sk->sk_sndbuf;
	chrono = chrono_of(tp, &seen);
	if (!chrono)
		return;
	seen.ticks = flow->jiffies;
	if (seen.ticks == chrono->looked_at) {
		flow->is_limited = 1; /* the kernel's account is of whole jiffies: nothing can be told yet */
		return;
	}
	seen.flow = flow_of(sk);
	seen.srtt_us = tp->srtt_us >> 3;
	seen.sndbuf_limited = flow->sndbuf_limited;
	if (is_limited(tp, chrono, flow) && seen.size_bytes >= seen.limit_bytes)
		seen.flags = TCP_BUFFER_LIMITED_NOW;
	f = follow(&key, &seen, flow->interval_us * NSEC_PER_USEC);
	if (f || seen.flags)
		flow->is_limited = 1;
	if (!f || !is_time(&key, f))
		return;
	seen.busy = flow->busy;
	seen.rwnd_limited = flow->rwnd_limited;
	seen.bytes = tp->bytes_acked;
	seen.min_rtt_us = BPF_CORE_READ(tp, rtt_min.s[0].v);
	seen.held_bytes = sk->sk_wmem_queued;
	seen.data_bytes = tp->write_seq - tp->snd_una;
	seen.turn = f->turn;
	seen.looks = f->looks;
	seen.limited = f->limited;
	tell(sk, key.netns_cookie, flow->instance, TCP_BUFFER_SEND_LIMITED, &seen);
}

ON_LOOK(tcp_buffer_sender)
{
	struct tcp_sock *tp = tcp_sock_of(ctx);
	struct flow *flow;
	__u64 cookie;

	if (!tp)
		return;
	cookie = cookie_of((struct sock *)tp);
	tell_of_memory((struct sock *)tp, cookie, ((struct sock *)tp)->sk_sndbuf);
	flow = look_of(tp);
	if (flow)
		look_at_sender(tp, (struct sock *)tp, cookie, flow);
}

/* --- receivers ---------------------------------------------------------------------------------- */

/* That was agreed at the connection's setup. */
static __always_inline _Bool is_largest(const struct tcp_sock *tp, __u32 window)
{
	__u64 window_max = (__u64)MAX_WINDOW << BPF_CORE_READ_BITFIELD_PROBED(tp, rx_opt.rcv_wscale);

	return window >= window_max / 16 * 15;
}

ON_RCV_SPACE(tcp_buffer_receiver)
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
		return;
	seen.srtt_us = reading.rtt_us;
	net = BPF_CORE_READ(sk, __sk_common.skc_net.net);
	key.netns_cookie = BPF_CORE_READ(net, net_cookie);
	seen.size_bytes = BPF_CORE_READ(sk, sk_rcvbuf);
	tell_of_memory(sk, key.netns_cookie, seen.size_bytes);
	if (BPF_CORE_READ_BITFIELD_PROBED(sk, sk_userlocks) & SOL_SOCKET_USERLOCK_RCVBUF)
		return;
	key.about = sharer_of(sk, key.netns_cookie);
	seen.flow = flow_of(sk);
	seen.limit_bytes = BPF_CORE_READ(net, ipv4.sysctl_tcp_rmem[2]);
	if (seen.size_bytes < seen.limit_bytes && !is_followed(&key, seen.flow))
		return;
	if (!BPF_CORE_READ(net, ipv4.sysctl_tcp_moderate_rcvbuf))
		seen.flags = TCP_BUFFER_MODERATE_OFF;
	if (seen.size_bytes >= seen.limit_bytes && reading.is_filled && !is_largest(tp, reading.window))
		seen.flags |= TCP_BUFFER_LIMITED_NOW;
	f = follow(&key, &seen, reading.for_us * NSEC_PER_USEC);
	if (!f)
		return;
	add_time(f, tp, &reading);
	if (!is_time(&key, f))
		return;
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
	tell(sk, key.netns_cookie, key.about, TCP_BUFFER_RECEIVE_LIMITED, &seen);
}
