// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Tells how connections ended, and starts new ones with the windows that were decided for their service: the
 * congestion window when they are set up, the receive window in the answer to their SYN.
 */
#include "bpf/remote.bpf.h"
#include "bpf/tuner.bpf.h"
#include "tuners/tcp_init.h"

#define SOL_TCP 6
#define EPHEMERAL_PORT 32768 /* net.ipv4.ip_local_port_range begins there */
#define RTAX_INITCWND 11     /* include/uapi/linux/rtnetlink.h */
#define RTAX_INITRWND 14
#define DST_METRICS_FLAGS 3UL /* include/net/dst.h */
#define RATE_NS (1000 * NSEC_PER_MSEC)
#define INSTANCE_RATE_NS (2 * NSEC_PER_MSEC)

/* What was told of one service, or, with the service all zero, of all of an instance. */
struct service_rate_key {
	__u64 netns_cookie;
	__u64 instance;
	struct remote remote;
	__u16 port;
	__u16 scenario;
	__u32 zero;
};

MAP(services, BPF_MAP_TYPE_LRU_HASH, 4096, struct service_rate_key, __u64);

VERDICTS(BPFTUNE_VERDICTS_MAX, struct tcp_init_verdict);

/* What is not to be seen of a connection later: made where there is anything to say. */
struct start {
	__u32 given;
	_Bool has_others_cwnd; /* another program's */
	_Bool lost;	       /* that was told */
};

SK_STORAGE(starts, 0, struct start);

static __always_inline __u16 service_port(__u16 port)
{
	return port < EPHEMERAL_PORT ? port : 0;
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
	outcome->given = start->given;
	if (!start->has_others_cwnd && !route_metric(sk, RTAX_INITCWND))
		outcome->cwnd = ctx->snd_cwnd;
	outcome->retransmitted = ctx->total_retrans > dsack_dups ? ctx->total_retrans - dsack_dups : 0;
	outcome->out_of_order = tp->rcv_ooopack;
	outcome->data_segs_out = ctx->data_segs_out;
	outcome->srtt_us = ctx->srtt_us >> 3;
	outcome->min_rtt_us = ctx->rtt_min;
	if (accepted && !route_metric(sk, RTAX_INITRWND))
		outcome->rcv_space_bytes = tp->rcvq_space.space;
	outcome->mss = tp->advmss;
	outcome->port = service_port(accepted ? local_port_of(sk) : remote_port_of(sk));
}

static __always_inline void tell(struct tcp_sock *tp, __u16 scenario, struct tcp_init_outcome *outcome)
{
	const struct sock *sk = (const struct sock *)tp;
	__u64 cookie = cookie_of(sk), instance = sharer_of(sk, cookie);
	struct service_rate_key key = { .netns_cookie = cookie, .instance = instance, .scenario = scenario };
	struct bpftune_event *event;

	if (tuner_is_off(cookie) || !remote_of(sk, &outcome->remote))
		return;
	key.remote = outcome->remote;
	key.port = outcome->port;
	if (!rate_of_map_allows(&services, &key, RATE_NS) || !rate_allows(cookie, instance, scenario, INSTANCE_RATE_NS))
		return;
	event = tuner_event(cookie, instance, scenario);
	if (!event)
		return;
	event->key_bytes = __builtin_offsetof(struct tcp_init_outcome, port) + sizeof(outcome->port);
	outcome->decided = look_verdict_up(cookie, instance, &outcome->remote, outcome->port) != NULL;
	*(struct tcp_init_outcome *)event->payload = *outcome;
	bpf_ringbuf_submit(event, 0);
}

static __always_inline _Bool is_near(const struct bpf_sock_ops *ctx)
{
	__u32 srtt_us = ctx->srtt_us >> 3;

	return srtt_us && srtt_us < TCP_INIT_MIN_RTT_US;
}

/* A loss is worth telling at once: others may be about to start. */
ON_LOSS(tcp_init_loss)
{
	struct tcp_init_outcome outcome = {};
	struct tcp_sock *tp = tcp_sock_of(ctx);
	struct start *start;

	/* A probe for a lost tail is a retransmit, too, but as yet nothing is lost: tcp_send_loss_probe(). */
	if (!tp || !tp->lost || is_near(ctx))
		return;
	start = bpf_sk_storage_get(&starts, tp, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!start || start->lost)
		return;
	start->lost = 1;
	fill_outcome(ctx, tp, start, &outcome);
	tell(tp, TCP_INIT_LOSS, &outcome);
}

ON_END(tcp_init_end)
{
	struct tcp_init_outcome outcome = {};
	struct tcp_sock *tp = tcp_sock_of(ctx);
	struct start *start, none = {};

	if (!tp || is_near(ctx))
		return;
	start = bpf_sk_storage_get(&starts, tp, NULL, 0);
	fill_outcome(ctx, tp, start ? start : &none, &outcome);
	if (outcome.retransmitted || outcome.out_of_order)
		tell(tp, TCP_INIT_LOSS, &outcome);
	else if ((outcome.cwnd > 2 * TCP_INIT_CWND && outcome.data_segs_out > 2 * TCP_INIT_CWND) ||
		 outcome.rcv_space_bytes > TCP_INIT_RWND_BYTES)
		tell(tp, TCP_INIT_WINDOW_REACHED, &outcome);
}

/* --- the start ---------------------------------------------------------------------------------- */

/*
 * Between tcp_init_transfer()'s choice of the window and the first segment; another window than the kernel's own is
 * somebody else's choice (a route's, another program's), or the consequence of a SYN that was lost.
 */
static __always_inline __u32 give_cwnd(struct bpf_sock_ops *ctx, struct tcp_sock *tp, __u64 cookie)
{
	const struct sock *sk = (const struct sock *)tp;
	_Bool accepted = ctx->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB;
	const struct tcp_init_verdict *verdict;
	struct remote remote;
	__u32 cwnd;

	if (ctx->snd_cwnd != TCP_INIT_CWND || ctx->total_retrans || !remote_of(sk, &remote))
		return 0;
	verdict = find_verdict(cookie, sharer_of(sk, cookie), &remote,
			       service_port(accepted ? local_port_of(sk) : remote_port_of(sk)));
	if (!verdict)
		return 0;
	cwnd = verdict->cwnd;
	if (cwnd > ctx->snd_ssthresh)
		cwnd = ctx->snd_ssthresh;
	if (cwnd > tp->snd_cwnd_clamp)
		cwnd = tp->snd_cwnd_clamp;
	if (cwnd <= TCP_INIT_CWND || bpf_setsockopt(ctx, SOL_TCP, TCP_BPF_IW, &cwnd, sizeof(cwnd)))
		return 0;
	return cwnd;
}

ON_START(tcp_init_start)
{
	struct tcp_sock *tp = tcp_sock_of(ctx);
	_Bool has_others_cwnd = ctx->snd_cwnd > TCP_INIT_CWND;
	struct start *start;
	__u32 given = 0;
	__u64 cookie;

	if (!tp || is_near(ctx))
		return;
	cookie = cookie_of((struct sock *)tp);
	if (has_verdicts(cookie))
		given = give_cwnd(ctx, tp, cookie);
	if (!given && !has_others_cwnd)
		return;
	start = bpf_sk_storage_get(&starts, tp, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!start)
		return;
	start->given = given;
	start->has_others_cwnd = has_others_cwnd;
}

/*
 * The answer to a SYN: net/ipv4/tcp_minisocks.c: tcp_openreq_init_rwin(). There is no socket yet. For a SYN of our own
 * a reply could only make the window smaller: net/ipv4/tcp_output.c: tcp_select_initial_window().
 */
ON_SYN(tcp_init_syn)
{
	const struct bpf_sock_ops_kern *kern = (const struct bpf_sock_ops_kern *)ctx;
	const struct tcp_init_verdict *verdict;
	struct remote remote;
	struct sock *listener;
	__u64 cookie;

	if (ctx->reply || !remote_of_ops(ctx, &remote))
		return;
	cookie = bpf_get_netns_cookie(ctx);
	if (!has_verdicts(cookie))
		return;
	listener = BPF_CORE_READ(kern, sk, __sk_common.skc_listener);
	verdict = find_verdict(cookie, sharer_of(listener, cookie), &remote, service_port(ctx->local_port));
	if (verdict && verdict->rwnd)
		ctx->reply = verdict->rwnd;
}
