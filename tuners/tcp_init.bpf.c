// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Tells how connections ended, and starts new ones with the windows that were decided for their service: the receive
 * window in the answer to their SYN, the congestion window when they are set up. That is a jump, after RFC 9959: the
 * window goes out over a round trip, and if it loses, the connection retreats.
 */
#include "bpf/remote.bpf.h"
#include "bpf/tuner.bpf.h"
#include "tuners/jump.bpf.h"
#include "tuners/tcp_init.h"

#define RTAX_INITCWND 11 /* include/uapi/linux/rtnetlink.h */
#define RTAX_INITRWND 14
#define DST_METRICS_FLAGS 3UL /* include/net/dst.h */
#define FIRST_WINDOW_BYTES_MAX (1 << 20)
#define OFFERS_CUT_MAX 8
#define RATE_NS (1000 * NSEC_PER_MSEC)
#define LEARNING_RATE_NS (100 * NSEC_PER_MSEC) /* while there is no verdict: it takes some connections */
#define INSTANCE_RATE_NS (2 * NSEC_PER_MSEC)

/* What was told of one service, or, with the port zero, of a path. */
struct told_key {
	__u64 netns_cookie;
	__u64 instance;
	struct remote remote;
	__u16 port;
	__u16 scenario;
	__u32 zero;
};

struct path_key {
	__u64 netns_cookie;
	__u64 instance;
	struct remote remote;
};

MAP(told, BPF_MAP_TYPE_LRU_HASH, 4096, struct told_key, __u64);
MAP(paths, BPF_MAP_TYPE_LRU_HASH, 4096, struct path_key, struct tcp_init_counted);

VERDICTS(BPFTUNE_VERDICTS_MAX, struct tcp_init_verdict);

/* What is not to be seen of a connection later: made where there is anything to say. */
struct start {
	struct jump jump;      /* its window is a verdict's */
	_Bool has_others_cwnd; /* another program's */
	_Bool lost;	       /* of its first window, and that was counted */
};

SK_STORAGE(starts, 0, struct start);

/* Accepted connections that were to be offered more than TCP_INIT_RWND_BYTES, and were, or were not: Linux up to 6.9 */
__u32 offers_kept, offers_cut; /* not static: else the compiler makes a bool of one, and BTF does not say so */

static __always_inline _Bool is_offer_cut(void)
{
	return !offers_kept && offers_cut >= OFFERS_CUT_MAX;
}

/* --- services ----------------------------------------------------------------------------------- */

/* A port that the remote's kernel would have chosen if it were set as ours is: nobody's service. */
static __always_inline _Bool is_ephemeral(const struct sock *sk, __u16 port)
{
	const struct net *net = BPF_CORE_READ(sk, __sk_common.skc_net.net);
	__u32 range;

	if (bpf_core_field_exists(struct local_ports___6_7, range)) {
		const struct net___6_7 *older = (const struct net___6_7 *)net;

		return port >= BPF_CORE_READ(older, ipv4.ip_local_ports.range[0]) &&
		       port <= BPF_CORE_READ(older, ipv4.ip_local_ports.range[1]);
	}
	range = BPF_CORE_READ(net, ipv4.ip_local_ports.range);
	return port >= (range & 0xffff) && port <= range >> 16;
}

static __always_inline __u16 service_port(const struct sock *sk, _Bool accepted)
{
	__u16 port = accepted ? local_port_of(sk) : remote_port_of(sk);

	return accepted || !is_ephemeral(sk, port) ? port : 0;
}

static __always_inline const struct tcp_init_verdict *look_verdict_up(__u64 cookie, __u64 instance,
								      const struct remote *remote, __u16 port)
{
	struct tcp_init_service service = { .remote = *remote, .port = port };
	struct bpftune_verdict_key key = { .netns_cookie = cookie, .instance = instance };

	__builtin_memcpy(key.key, &service, sizeof(key.key));
	return bpf_map_lookup_elem(&verdicts, &key);
}

/* What was decided for this service, if it still holds. */
static __always_inline const struct tcp_init_verdict *find_verdict(__u64 cookie, __u64 instance,
								   const struct remote *remote, __u16 port)
{
	const struct tcp_init_verdict *verdict = look_verdict_up(cookie, instance, remote, port);

	return verdict && bpf_ktime_get_ns() < verdict->valid_until_ns ? verdict : NULL;
}

/* --- what was seen ------------------------------------------------------------------------------ */

/*
 * What an administrator has set on the socket's route (ip route ... initcwnd); 0: nothing. Without a route, as after
 * timeouts, nobody knows: then nothing is to be learnt.
 */
static __always_inline __u32 route_metric(const struct sock *sk, unsigned int metric)
{
	const struct dst_entry *dst = BPF_CORE_READ(sk, sk_dst_cache);
	const struct dst_metrics *metrics;

	if (!dst)
		return ~0U;
	metrics = (const struct dst_metrics *)(BPF_CORE_READ(dst, _metrics) & ~DST_METRICS_FLAGS);
	return BPF_CORE_READ(metrics, metrics[metric - 1]);
}

static __always_inline void fill_outcome(struct bpf_sock_ops *ctx, struct tcp_sock *tp, const struct start *start,
					 struct tcp_init_outcome *outcome)
{
	const struct sock *sk = (const struct sock *)tp;
	_Bool accepted = ctx->bpf_sock_ops_cb_flags & FLOW_ACCEPTED_CB_FLAG;
	__u32 dsack_dups = tp->dsack_dups;

	outcome->bytes_received = ctx->bytes_received;
	outcome->given = start->jump.window;
	if (!start->has_others_cwnd && !start->lost && !route_metric(sk, RTAX_INITCWND))
		outcome->cwnd = ctx->snd_cwnd;
	outcome->retransmitted = ctx->total_retrans > dsack_dups ? ctx->total_retrans - dsack_dups : 0;
	outcome->data_segs_out = ctx->data_segs_out;
	outcome->srtt_us = ctx->srtt_us >> 3;
	outcome->min_rtt_us = ctx->rtt_min;
	if (accepted && !route_metric(sk, RTAX_INITRWND))
		outcome->rcv_space_bytes = tp->rcvq_space.space;
	outcome->mss = tp->advmss;
	outcome->port = service_port(sk, accepted);
	outcome->is_offer_cut = is_offer_cut();
}

/* One start more of the path, and what was counted by now. */
static __always_inline void count(__u64 cookie, __u64 instance, const struct remote *remote, const struct start *start,
				  _Bool is_start, struct tcp_init_counted *ret_counted)
{
	struct path_key key = { .netns_cookie = cookie, .instance = instance, .remote = *remote };
	struct tcp_init_counted none = {}, *path = bpf_map_lookup_elem(&paths, &key);

	if (!path && is_start) {
		bpf_map_update_elem(&paths, &key, &none, BPF_NOEXIST);
		path = bpf_map_lookup_elem(&paths, &key);
	}
	if (!path)
		return;
	if (is_start) {
		__sync_fetch_and_add(&path->starts, 1);
		if (start->lost)
			__sync_fetch_and_add(&path->lost, 1);
		if (start->lost && start->jump.window)
			__sync_fetch_and_add(&path->jumps_lost, 1);
	}
	*ret_counted = *path;
}

static __always_inline _Bool is_told(const struct told_key *key, __u64 interval_ns)
{
	return !rate_of_map_allows(&told, key, interval_ns) ||
	       !rate_allows(key->netns_cookie, key->instance, key->scenario, INSTANCE_RATE_NS);
}

static __always_inline void tell(__u64 cookie, __u64 instance, __u16 scenario, struct tcp_init_outcome *outcome)
{
	struct told_key key = { .netns_cookie = cookie, .instance = instance, .scenario = scenario };
	struct bpftune_event *event;

	key.remote = outcome->remote;
	key.port = scenario == TCP_INIT_LOSS ? 0 : outcome->port;
	outcome->decided = look_verdict_up(cookie, instance, &outcome->remote, outcome->port) != NULL;
	if (is_told(&key, outcome->decided && scenario != TCP_INIT_LOSS ? RATE_NS : LEARNING_RATE_NS))
		return;
	event = tuner_event(cookie, instance, scenario);
	if (!event)
		return;
	event->key_bytes = __builtin_offsetof(struct tcp_init_outcome, port) + sizeof(outcome->port);
	*(struct tcp_init_outcome *)event->payload = *outcome;
	bpf_ringbuf_submit(event, 0);
}

static __always_inline _Bool is_near(const struct bpf_sock_ops *ctx)
{
	__u32 srtt_us = ctx->srtt_us >> 3;

	return srtt_us && srtt_us < TCP_INIT_MIN_RTT_US;
}

/* The whole of the first window went out: a connection that sends less shows nothing of the path. */
static __always_inline _Bool is_start(const struct bpf_sock_ops *ctx, const struct start *start)
{
	return ctx->data_segs_out >= TCP_INIT_CWND && !start->has_others_cwnd;
}

static __always_inline _Bool is_of_interest(const struct tcp_init_outcome *outcome)
{
	return (outcome->cwnd > 2 * TCP_INIT_CWND && outcome->data_segs_out > 2 * TCP_INIT_CWND) ||
	       outcome->rcv_space_bytes > TCP_INIT_RWND_BYTES;
}

ON_END(tcp_init_end)
{
	struct tcp_sock *tp = is_near(ctx) ? NULL : tcp_sock_of(ctx);
	struct tcp_init_outcome outcome = {};
	struct start *start, none = {};
	__u64 cookie, instance;

	if (!tp || (ctx->data_segs_out < TCP_INIT_CWND && ctx->bytes_received <= TCP_INIT_RWND_BYTES))
		return;
	cookie = cookie_of((struct sock *)tp);
	if (tuner_is_off(cookie) || !remote_of((struct sock *)tp, &outcome.remote))
		return;
	instance = sharer_of((struct sock *)tp, cookie);
	start = bpf_sk_storage_get(&starts, tp, NULL, 0);
	start = start ? start : &none;
	fill_outcome(ctx, tp, start, &outcome);
	count(cookie, instance, &outcome.remote, start, is_start(ctx, start) && !start->lost, &outcome.counted);
	if (is_of_interest(&outcome))
		tell(cookie, instance, TCP_INIT_WINDOW_REACHED, &outcome);
}

/* --- the first window --------------------------------------------------------------------------- */

/* Whether what is sent again (args: the sequence number) is of the first window. */
static __always_inline _Bool is_of_first_window(const struct bpf_sock_ops *ctx, const struct tcp_sock *tp,
						__u32 segments)
{
	__u32 first = tp->snd_una - (__u32)tp->bytes_acked;

	return ctx->args[0] - first < segments * tp->mss_cache;
}

/* A loss is worth telling at once: others may be about to start. */
ON_LOSS(tcp_init_loss)
{
	struct tcp_init_outcome outcome = {};
	struct tcp_sock *tp = ctx->bytes_acked > FIRST_WINDOW_BYTES_MAX ? NULL : tcp_sock_of(ctx);
	__u64 cookie, instance;
	struct start *start;
	__u32 window;

	/* A probe for a lost tail is a retransmit, too, but as yet nothing is lost: tcp_send_loss_probe(). */
	if (!tp || !tp->lost || is_near(ctx))
		return;
	start = bpf_sk_storage_get(&starts, tp, NULL, 0);
	window = start && start->jump.window ? start->jump.window : TCP_INIT_CWND;
	if (ctx->data_segs_out < TCP_INIT_CWND || !is_of_first_window(ctx, tp, window))
		return;
	start = bpf_sk_storage_get(&starts, tp, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!start || start->lost || start->has_others_cwnd)
		return;
	cookie = cookie_of((struct sock *)tp);
	if (tuner_is_off(cookie) || !remote_of((struct sock *)tp, &outcome.remote))
		return;
	start->lost = 1;
	jump_retreat(ctx, tp, &start->jump);
	instance = sharer_of((struct sock *)tp, cookie);
	fill_outcome(ctx, tp, start, &outcome);
	count(cookie, instance, &outcome.remote, start, 1, &outcome.counted);
	tell(cookie, instance, TCP_INIT_LOSS, &outcome);
}

ON_ACK(tcp_init_ack)
{
	struct tcp_sock *tp = tcp_sock_of(ctx);
	struct start *start = tp ? bpf_sk_storage_get(&starts, tp, NULL, 0) : NULL;

	if (start)
		jump_acknowledged(ctx, tp, &start->jump);
}

/* --- the start ---------------------------------------------------------------------------------- */

/*
 * Between tcp_init_transfer()'s choice of the window and the first segment; another window than the kernel's own is
 * somebody else's choice (a route's, another program's), or the consequence of a SYN that was lost.
 */
static __always_inline void give_cwnd(struct bpf_sock_ops *ctx, struct tcp_sock *tp, struct start *start,
				      const struct tcp_init_verdict *verdict)
{
	__u32 cwnd = verdict->cwnd;

	if (ctx->snd_cwnd != TCP_INIT_CWND || ctx->total_retrans ||
	    !tcp_init_is_same_path(verdict->rtt_us, ctx->srtt_us >> 3))
		return;
	if (cwnd > ctx->snd_ssthresh)
		cwnd = ctx->snd_ssthresh;
	if (cwnd > tp->snd_cwnd_clamp)
		cwnd = tp->snd_cwnd_clamp;
	if (cwnd > TCP_INIT_CWND)
		jump_begin(ctx, tp, &start->jump, cwnd);
}

/* Whether the kernel offers as much as tcp_init_syn() asks it to. A remote that knows no larger windows shows nothing.
 */
static __always_inline void note_offer(struct bpf_sock_ops *ctx, const struct tcp_sock *tp,
				       const struct tcp_init_verdict *verdict)
{
	if (ctx->op != BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB || !verdict->rwnd ||
	    !BPF_CORE_READ_BITFIELD_PROBED(tp, rx_opt.wscale_ok))
		return;
	if (tp->rcv_wnd > TCP_INIT_RWND_BYTES)
		offers_kept = 1;
	else if (offers_cut < OFFERS_CUT_MAX)
		offers_cut++;
}

static __always_inline const struct tcp_init_verdict *find_verdict_of(struct bpf_sock_ops *ctx, struct tcp_sock *tp)
{
	const struct sock *sk = (const struct sock *)tp;
	_Bool accepted = ctx->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB;
	__u64 cookie = cookie_of(sk);
	struct remote remote;

	if (!has_verdicts(cookie) || !remote_of(sk, &remote))
		return NULL;
	return find_verdict(cookie, sharer_of(sk, cookie), &remote, service_port(sk, accepted));
}

ON_START(tcp_init_start)
{
	struct tcp_sock *tp = is_near(ctx) ? NULL : tcp_sock_of(ctx);
	_Bool has_others_cwnd = ctx->snd_cwnd > TCP_INIT_CWND;
	const struct tcp_init_verdict *verdict;
	struct start *start;

	if (!tp)
		return;
	verdict = find_verdict_of(ctx, tp);
	if (verdict)
		note_offer(ctx, tp, verdict);
	if (!has_others_cwnd && !(verdict && verdict->cwnd))
		return;
	start = bpf_sk_storage_get(&starts, tp, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!start)
		return;
	start->has_others_cwnd = has_others_cwnd;
	if (verdict)
		give_cwnd(ctx, tp, start, verdict);
}

/* What the kernel would offer by itself: net/ipv4/tcp.h: tcp_full_space(). Before scaling_ratio no more than a SYN can.
 */
static __always_inline __u32 kernels_offer(const struct sock *listener)
{
	const struct tcp_sock *tp = (const struct tcp_sock *)listener;

	if (!bpf_core_field_exists(tp->scaling_ratio))
		return TCP_INIT_RWND_BYTES;
	return (__u64)BPF_CORE_READ(listener, sk_rcvbuf) * BPF_CORE_READ(tp, scaling_ratio) >> 8;
}

/*
 * The answer to a SYN: net/ipv4/tcp_minisocks.c: tcp_openreq_init_rwin(). There is no socket yet. The kernel offers
 * what it is told, also if that is less than its own. For a SYN of our own a reply could only make the window smaller:
 * net/ipv4/tcp_output.c: tcp_select_initial_window().
 */
ON_SYN(tcp_init_syn)
{
	const struct bpf_sock_ops_kern *kern = (const struct bpf_sock_ops_kern *)ctx;
	const struct tcp_init_verdict *verdict;
	struct remote remote;
	struct sock *listener;
	__u64 cookie;

	if (ctx->reply || is_offer_cut() || !remote_of_ops(ctx, &remote))
		return;
	cookie = bpf_get_netns_cookie(ctx);
	if (!has_verdicts(cookie))
		return;
	listener = BPF_CORE_READ(kern, sk, __sk_common.skc_listener);
	verdict = find_verdict(cookie, sharer_of(listener, cookie), &remote, ctx->local_port);
	if (verdict && verdict->rwnd && verdict->rwnd_bytes > kernels_offer(listener))
		ctx->reply = verdict->rwnd;
}
