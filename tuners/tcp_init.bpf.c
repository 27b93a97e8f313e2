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

/* What was told of one service, or, with the service all zero, of all of an instance. */
struct service_rate_key {
	__u64 netns_cookie;
	__u64 instance;
	struct remote remote;
	__u16 port;
	__u16 scenario;
	__u32 zero;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct service_rate_key);
	__type(value, __u64);
} rates SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct bpftune_verdict_key);
	__type(value, struct tcp_init_verdict);
} verdicts SEC(".maps");

/* A connection that we saw from its start. Of the two programs that see it, the first makes this, and the first to
 * see the end takes it: neither is told twice. */
struct start {
	__u64 instance;
	__u32 given;
	__u16 port;
	_Bool accepted;
	_Bool has_own_cwnd, has_own_rwnd; /* by its route, or of another program: not to be learnt from */
	_Bool lost;			  /* that was told */
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct start);
} starts SEC(".maps");

/* Whose cgroup the container's program is attached to: written by the supervisor at attach. */
struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_STORAGE);
	__type(key, struct bpf_cgroup_storage_key);
	__type(value, __u64); /* instance id */
} instance_ids SEC(".maps");

const volatile __u16 tuner;
const volatile __u64 host_cookie;

static __always_inline __u16 service_port(__u16 port)
{
	return port < EPHEMERAL_PORT ? port : 0;
}

static __always_inline const struct tcp_init_verdict *look_verdict_up(__u64 cookie, __u64 instance,
								      const struct remote *remote, __u16 port)
{
	struct tcp_init_service service = { .remote = *remote, .port = port };
	struct bpftune_verdict_key key = { .netns_cookie = cookie, .instance = cookie == host_cookie ? instance : 0 };

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

/* --- the end ------------------------------------------------------------------------------------ */

/* What an administrator has set on the socket's route (ip route ... initcwnd); 0: nothing. */
static __always_inline __u32 route_metric(const struct sock *sk, unsigned int metric)
{
	const struct dst_entry *dst = BPF_CORE_READ(sk, sk_dst_cache);
	const struct dst_metrics *metrics;

	if (!dst)
		return 0;
	metrics = (const struct dst_metrics *)(BPF_CORE_READ(dst, _metrics) & ~DST_METRICS_FLAGS);
	return BPF_CORE_READ(metrics, metrics[metric - 1]);
}

static __always_inline void fill_outcome(struct bpf_sock_ops *ctx, struct tcp_sock *tp, const struct start *start,
					 struct tcp_init_outcome *outcome)
{
	__u32 dsack_dups = tp->dsack_dups;

	outcome->bytes_received = ctx->bytes_received;
	outcome->cwnd = start->has_own_cwnd ? 0 : ctx->snd_cwnd;
	outcome->given = start->given;
	outcome->retransmitted = ctx->total_retrans > dsack_dups ? ctx->total_retrans - dsack_dups : 0;
	outcome->out_of_order = tp->rcv_ooopack;
	outcome->data_segs_out = ctx->data_segs_out;
	outcome->srtt_us = ctx->srtt_us >> 3;
	outcome->min_rtt_us = ctx->rtt_min;
	if (start->accepted && !start->has_own_rwnd)
		outcome->rcv_space_bytes = tp->rcvq_space.space;
	outcome->mss = tp->advmss;
	outcome->port = start->port;
}

static __always_inline void tell(struct tcp_sock *tp, const struct start *start, __u16 scenario,
				 struct tcp_init_outcome *outcome)
{
	const struct sock *sk = (const struct sock *)tp;
	__u64 cookie = BPF_CORE_READ(sk, __sk_common.skc_net.net, net_cookie);
	struct service_rate_key all = { .netns_cookie = cookie, .instance = start->instance, .scenario = scenario };
	struct service_rate_key key = all;
	struct bpftune_event *event;

	if (tuner_is_off(&gates, cookie, tuner) || !remote_of(sk, &outcome->remote))
		return;
	key.remote = outcome->remote;
	key.port = outcome->port;
	if (!rate_allows(&rates, &key, RATE_NS) || !rate_allows(&rates, &all, INSTANCE_RATE_NS))
		return;
	event = event_reserve(&events, &lost, cookie, tuner, scenario);
	if (!event)
		return;
	event->instance = start->instance;
	outcome->decided = look_verdict_up(cookie, start->instance, &outcome->remote, outcome->port) != NULL;
	*(struct tcp_init_outcome *)event->payload = *outcome;
	bpf_ringbuf_submit(event, 0);
}

/* A loss is worth telling at once: others may be about to start. */
static __always_inline void at_retransmit(struct bpf_sock_ops *ctx)
{
	struct tcp_init_outcome outcome = {};
	struct tcp_sock *tp = ctx->sk ? bpf_skc_to_tcp_sock(ctx->sk) : NULL;
	struct start *start = tp ? bpf_sk_storage_get(&starts, tp, NULL, 0) : NULL;

	/* A probe for a lost tail is a retransmit, too, but as yet nothing is lost: tcp_send_loss_probe(). */
	if (!start || start->lost || !tp->lost)
		return;
	start->lost = 1;
	fill_outcome(ctx, tp, start, &outcome);
	tell(tp, start, TCP_INIT_LOSS, &outcome);
}

static __always_inline void at_end(struct bpf_sock_ops *ctx)
{
	struct tcp_init_outcome outcome = {};
	struct tcp_sock *tp = ctx->sk ? bpf_skc_to_tcp_sock(ctx->sk) : NULL;
	struct start *found = tp ? bpf_sk_storage_get(&starts, tp, NULL, 0) : NULL, start;

	if (!found)
		return;
	start = *found;
	bpf_sk_storage_delete(&starts, tp);
	fill_outcome(ctx, tp, &start, &outcome);
	if (outcome.retransmitted || outcome.out_of_order)
		tell(tp, &start, TCP_INIT_LOSS, &outcome);
	else if ((outcome.cwnd > 2 * TCP_INIT_CWND && outcome.data_segs_out > 2 * TCP_INIT_CWND) ||
		 outcome.rcv_space_bytes > TCP_INIT_RWND_BYTES)
		tell(tp, &start, TCP_INIT_WINDOW_REACHED, &outcome);
}

/* --- the start ---------------------------------------------------------------------------------- */

/*
 * Between tcp_init_transfer()'s choice of the window and the first segment; another window than the kernel's own is
 * somebody else's choice (a route's, another program's), or the consequence of a SYN that was lost.
 */
static __always_inline __u32 give_cwnd(struct bpf_sock_ops *ctx, struct tcp_sock *tp, __u64 cookie,
				       const struct start *start)
{
	const struct tcp_init_verdict *verdict;
	struct remote remote;
	__u32 cwnd;

	if (ctx->snd_cwnd != TCP_INIT_CWND || ctx->total_retrans || !remote_of((const struct sock *)tp, &remote))
		return 0;
	verdict = find_verdict(cookie, start->instance, &remote, start->port);
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

static __always_inline void at_start(struct bpf_sock_ops *ctx, __u64 instance, _Bool accepted)
{
	struct tcp_sock *tp = ctx->sk ? bpf_skc_to_tcp_sock(ctx->sk) : NULL;
	__u32 srtt_us = ctx->srtt_us >> 3;
	struct start *start;
	__u64 cookie;

	if (!tp || (srtt_us && srtt_us < TCP_INIT_MIN_RTT_US))
		return;
	cookie = BPF_CORE_READ((struct sock *)tp, __sk_common.skc_net.net, net_cookie);
	if (tuner_is_off(&gates, cookie, tuner) || bpf_sk_storage_get(&starts, tp, NULL, 0))
		return;
	start = bpf_sk_storage_get(&starts, tp, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!start)
		return;
	start->instance = instance;
	start->accepted = accepted;
	start->port = service_port(accepted ? local_port_of((struct sock *)tp) : remote_port_of((struct sock *)tp));
	/* Now: at the end the socket may have no route any more. A smaller window is that of a SYN that was lost. */
	start->has_own_cwnd = route_metric((struct sock *)tp, RTAX_INITCWND) || ctx->snd_cwnd > TCP_INIT_CWND;
	start->has_own_rwnd = route_metric((struct sock *)tp, RTAX_INITRWND);
	start->given = give_cwnd(ctx, tp, cookie, start);
	bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG |
					       BPF_SOCK_OPS_RETRANS_CB_FLAG);
}

/*
 * The answer to a SYN: net/ipv4/tcp_minisocks.c: tcp_openreq_init_rwin(). There is no socket yet. For a SYN of our own
 * a reply could only make the window smaller: net/ipv4/tcp_output.c: tcp_select_initial_window().
 */
static __always_inline void at_syn(struct bpf_sock_ops *ctx, __u64 instance)
{
	const struct tcp_init_verdict *verdict;
	struct remote remote;
	__u64 cookie;

	if (ctx->is_fullsock || ctx->reply || !remote_of_ops(ctx, &remote))
		return;
	cookie = bpf_get_netns_cookie(ctx);
	if (tuner_is_off(&gates, cookie, tuner))
		return;
	verdict = find_verdict(cookie, instance, &remote, service_port(ctx->local_port));
	if (verdict && verdict->rwnd)
		ctx->reply = verdict->rwnd;
}

static __always_inline void handle(struct bpf_sock_ops *ctx, __u64 instance)
{
	switch (ctx->op) {
	case BPF_SOCK_OPS_RWND_INIT:
		at_syn(ctx, instance);
		break;
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		at_start(ctx, instance, 0);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		at_start(ctx, instance, 1);
		break;
	case BPF_SOCK_OPS_RETRANS_CB:
		at_retransmit(ctx);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		if (ctx->args[1] == BPF_TCP_CLOSE)
			at_end(ctx);
		break;
	}
}

SEC("sockops")
int tcp_init_connections(struct bpf_sock_ops *ctx)
{
	handle(ctx, 0);
	return 1;
}

/* Attached to the cgroup of each container, and run before the root's: compute_effective_progs(). */
SEC("sockops")
int tcp_init_connections_container(struct bpf_sock_ops *ctx)
{
	__u64 *instance = bpf_get_local_storage(&instance_ids, 0);

	if (*instance)
		handle(ctx, *instance);
	return 1;
}

char _license[] SEC("license") = "GPL";
