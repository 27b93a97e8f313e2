// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Observers: a hook that runs often has one program, the supervisor's. The program ends after a few loads unless a
 * socket is due for a look. Then it calls the tuners' programs one after another. So another tuner makes no request
 * dearer.
 */
#include "bpf/remote.bpf.h"
#include "bpf/sender.bpf.h"
#include "bpf/tuner.bpf.h"

#define LOOK_BYTES 65536      /* a smaller transfer is over before anything can be done */
#define LOOK_MIN_US 1000      /* between two looks at a flow, besides a round trip */
#define LOOK_MAX_US 100000    /* between two looks while nothing limits the flow */
#define MACHINE_LOOK_US 10000 /* between a namespace's looks at what the whole machine shares: TCP's memory */
#define MACHINE_GAP_US 100    /* between two such looks, however many namespaces there are: */
#define MACHINE_WAIT_US 1000000 /* but who has waited for so long has the next one at once */
#define ENOMEM 12	      /* include/uapi/asm-generic/errno-base.h */
#define INITIAL_CWND 10	      /* include/net/tcp.h: TCP_INIT_CWND */
#define WINDOW_SHARE 16	      /* a receiver that its window limits reads at least half of the window in a round trip */
#define LIMIT_SHARE 4	      /* a smaller share of its limit does not limit, also just after a step of four times */

/* In bytes: no receive buffer below this is near its limit, in any namespace that has set up a connection. */
__u32 rcvbuf_bound = ~0U;
static __u64 machine_ask_us, machine_wanted_us; /* from when on to ask for TCP's memory; until when looks are wanted */
static __u64 machine_look_us;			/* not before that */
MAP(machine_looks, BPF_MAP_TYPE_LRU_HASH, BPFTUNE_RATES_MAX, __u64, __u64); /* the last one, by netns cookie */

/* --- connections -------------------------------------------------------------------------------- */

/* Between two sockets of this machine there is no path whose limits could be found. */
static __always_inline _Bool is_local(const struct sock *sk)
{
	__u32 to = READ(struct sock, sk, __sk_common.skc_daddr);

	if (READ(struct sock, sk, __sk_common.skc_family) == AF_INET)
		return (to & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000) ||
		       to == READ(struct sock, sk, __sk_common.skc_rcv_saddr);
	if (!bpf_core_field_exists(sk->__sk_common.skc_v6_daddr))
		return 0;
	for (int i = 0; i < 4; i++)
		if (READ(struct sock, sk, __sk_common.skc_v6_daddr.in6_u.u6_addr32[i]) !=
		    READ(struct sock, sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[i]))
			return 0;
	return 1;
}

static __always_inline _Bool is_far(__u32 srtt_us)
{
	return !srtt_us || srtt_us >> 3 >= BPFTUNE_FAR_US; /* 0: its SYN was lost */
}

static __always_inline void note_receive_limit(const struct sock *sk)
{
	__u32 share = (__u32)sk->__sk_common.skc_net.net->ipv4.sysctl_tcp_rmem[2] / LIMIT_SHARE;

	if (share < rcvbuf_bound)
		rcvbuf_bound = share;
	if (is_fixed(sk, SOL_SOCKET_USERLOCK_RCVBUF))
		note_fixed_receiver();
}

/*
 * A tuner has decided about something in this namespace, another program has given the connection a window, or the
 * application has fixed its receive buffer.
 */
static __always_inline _Bool is_wanted_at_start(struct bpf_sock_ops *ctx, const struct sock *sk)
{
	return ctx->snd_cwnd > INITIAL_CWND || is_fixed(sk, SOL_SOCKET_USERLOCK_RCVBUF) || verdicts_of(cookie_of(sk));
}

static __always_inline void at_start(struct bpf_sock_ops *ctx, _Bool accepted)
{
	const struct sock *sk = (const struct sock *)tcp_sock_seen(ctx);
	int flags = BPF_SOCK_OPS_RTT_CB_FLAG | (accepted ? FLOW_ACCEPTED_CB_FLAG : 0);

	if (!sk)
		return;
	if (!is_local(sk)) {
		note_receive_limit(sk);
		if (is_far(ctx->srtt_us))
			flags |= BPF_SOCK_OPS_STATE_CB_FLAG | BPF_SOCK_OPS_RETRANS_CB_FLAG;
	}
	bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | flags);
	if (is_wanted_at_start(ctx, sk))
		CHAIN_CALL(ctx, chain_start, 0);
	if (accepted)
		CHAIN_CALL(ctx, chain_accept, 0);
}

/* --- round trips -------------------------------------------------------------------------------- */

/* Whether any tuner could have something to do with it. */
static __always_inline _Bool is_of_interest(struct bpf_sock_ops *ctx, const struct sock *sk)
{
	if (ctx->bytes_acked < LOOK_BYTES || is_local(sk))
		return 0;
	if (ctx->rtt_min >= BPFTUNE_FAR_US || ctx->total_retrans)
		return 1;
	if ((__u32)sk->sk_sndbuf >= (__u32)sk->__sk_common.skc_net.net->ipv4.sysctl_tcp_wmem[2] / LIMIT_SHARE)
		return 1;
	return is_fixed(sk, SOL_SOCKET_USERLOCK_SNDBUF);
}

/* It is far away, was looked at, or a tuner decided about it: a bit of the socket, which costs no lookup. */
static __always_inline _Bool is_asked_for(struct bpf_sock_ops *ctx)
{
	return ctx->bpf_sock_ops_cb_flags & BPF_SOCK_OPS_STATE_CB_FLAG;
}

static __always_inline struct flow *flow_get(struct bpf_sock_ops *ctx, struct tcp_sock *tp, _Bool is_wanted)
{
	struct flow *flow;

	if (is_wanted)
		return bpf_sk_storage_get(&flows, tp, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	/* A tuner that decided about it has it looked at from its beginning, however near it is. */
	flow = is_asked_for(ctx) ? bpf_sk_storage_get(&flows, tp, NULL, 0) : NULL;
	return flow && (flow->is_early || flow->wants_acks) ? flow : NULL;
}

static __always_inline _Bool is_due(const struct tcp_sock *tp, const struct flow *flow, _Bool is_wanted)
{
	return (is_wanted || flow->is_early) && tp->tcp_mstamp >= flow->looked_us + flow->interval_us;
}

static __always_inline void look(struct bpf_sock_ops *ctx, struct tcp_sock *tp, struct flow *flow)
{
	__u32 round_trip_us = LOOK_MIN_US + (tp->srtt_us >> 3), now = bpf_jiffies64();
	const struct bpftune_control *control = control_get();

	/* A flow that nothing limits is looked at later and later. */
	if (flow->is_limited || round_trip_us >= LOOK_MAX_US || flow->interval_us < round_trip_us)
		flow->interval_us = round_trip_us;
	else
		flow->interval_us = 2 * flow->interval_us < LOOK_MAX_US ? 2 * flow->interval_us : LOOK_MAX_US;
	flow->is_limited = 0;
	flow->since_us = tp->tcp_mstamp - flow->looked_us;
	flow->looked_us = tp->tcp_mstamp;
	flow->jiffies = now;
	flow->busy = busy_jiffies(tp, now);
	flow->rwnd_limited = chrono_jiffies(tp, TCP_CHRONO_RWND_LIMITED, now);
	flow->sndbuf_limited = chrono_jiffies(tp, TCP_CHRONO_SNDBUF_LIMITED, now);
	if (control && flow->sharers != control->sharers) {
		flow->sharers = control->sharers;
		flow->instance = sharer_of((struct sock *)tp, cookie_of((struct sock *)tp));
	}
	bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG |
					       BPF_SOCK_OPS_RETRANS_CB_FLAG);
}

/*
 * For how long from now on looks at the machine's memory are wanted: always while TCP has half of what makes the kernel
 * press for memory; for a part of the time while a tuner may want to undo something.
 */
static __always_inline __u32 memory_wanted_us(const struct sock *sk)
{
	const struct bpftune_control *control = control_get();
	const struct proto *proto = sk->__sk_common.skc_prot;
	long pressure = 0;

	bpf_probe_read_kernel(&pressure, sizeof(pressure), &proto->sysctl_mem[1]);
	if (proto->memory_allocated->counter >= pressure >> 1)
		return 2 * MACHINE_LOOK_US; /* past the next time that this is asked */
	return control && control->verdicts ? MACHINE_LOOK_US / 8 : 0;
}

/*
 * A namespace's worker hears of the machine's memory by its own sockets only. So each namespace has turns of its own:
 * with one for all, a connection that makes a round trip every 20 us would have them all.
 */
static __always_inline _Bool is_machines_turn(const struct tcp_sock *tp)
{
	const struct sock *sk = (const struct sock *)tp;
	__u64 cookie, now = tp->tcp_mstamp, *last;
	__s64 for_us;

	if (now >= machine_ask_us) {
		/* Not in step with anybody's round trips. */
		machine_ask_us = now + MACHINE_LOOK_US / 2 + bpf_get_prandom_u32() % MACHINE_LOOK_US;
		machine_wanted_us = now + memory_wanted_us(sk);
	}
	if (now >= machine_wanted_us)
		return 0;
	cookie = cookie_of(sk);
	last = bpf_map_lookup_elem(&machine_looks, &cookie);
	for_us = last ? (__s64)(now - *last) : MACHINE_WAIT_US;
	if (for_us < MACHINE_LOOK_US || (now < machine_look_us && for_us < MACHINE_WAIT_US))
		return 0;
	bpf_map_update_elem(&machine_looks, &cookie, &now, BPF_ANY);
	machine_look_us = now + MACHINE_GAP_US;
	return 1;
}

static __always_inline void at_round_trip(struct bpf_sock_ops *ctx)
{
	const struct tcp_sock *seen = tcp_sock_seen(ctx);
	_Bool is_machines, is_wanted;
	struct tcp_sock *tp;
	struct flow *flow;

	if (!seen)
		return;
	is_machines = is_machines_turn(seen);
	is_wanted = is_of_interest(ctx, (const struct sock *)seen);
	if (!is_machines && !is_wanted && !is_asked_for(ctx))
		return;
	tp = tcp_sock_of(ctx);
	if (!tp)
		return;
	flow = flow_get(ctx, tp, is_wanted);
	if (flow && is_due(tp, flow, is_wanted)) {
		look(ctx, tp, flow);
	} else if (flow && flow->wants_acks) {
		CHAIN_CALL(ctx, chain_ack, 0);
		return;
	} else if (!is_machines) {
		return;
	}
	CHAIN_CALL(ctx, chain_look, 0);
}

SEC("sockops")
int observe_sockops(struct bpf_sock_ops *ctx)
{
	switch (ctx->op) {
	case BPF_SOCK_OPS_RTT_CB:
		at_round_trip(ctx);
		break;
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		at_start(ctx, 0);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		at_start(ctx, 1);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		if (ctx->args[1] == BPF_TCP_CLOSE)
			CHAIN_CALL(ctx, chain_end, 0);
		break;
	case BPF_SOCK_OPS_RETRANS_CB:
		CHAIN_CALL(ctx, chain_loss, 0);
		break;
	case BPF_SOCK_OPS_RWND_INIT:
		if (!ctx->is_fullsock && verdicts_of(bpf_get_netns_cookie(ctx)))
			CHAIN_CALL(ctx, chain_syn, 0);
		break;
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
		CHAIN_CALL(ctx, chain_listen, 0);
		break;
	}
	return 1;
}

/* --- reads -------------------------------------------------------------------------------------- */

static __always_inline _Bool is_rcvbuf_fixed(const struct sock *sk)
{
	if (CAN_CAST)
		return is_fixed(CAST(struct sock, sk), SOL_SOCKET_USERLOCK_RCVBUF);
	return BPF_CORE_READ_BITFIELD_PROBED(sk, sk_userlocks) & SOL_SOCKET_USERLOCK_RCVBUF;
}

/*
 * A round trip is over, as the kernel looks, in which much was read. Linux 6.1 lets the buffers of connections that
 * read next to nothing grow large, too.
 */
static __always_inline _Bool has_read_much(const struct sock *sk)
{
	__u32 read = READ(struct tcp_sock, sk, copied_seq) - READ(struct tcp_sock, sk, rcvq_space.seq);
	__u32 rtt_us = READ(struct tcp_sock, sk, rcv_rtt_est.rtt_us) >> 3;

	return rtt_us && read >= READ(struct tcp_sock, sk, rcv_wnd) / WINDOW_SHARE &&
	       bpf_ktime_get_ns() / 1000 - READ(struct tcp_sock, sk, rcvq_space.time) >= rtt_us;
}

static __always_inline _Bool is_receiver_of_interest(const struct sock *sk, __u32 rcvbuf, _Bool may_be_fixed)
{
	const struct net *net = READ(struct sock, sk, __sk_common.skc_net.net);

	if (rcvbuf < (__u32)READ(struct net, net, ipv4.sysctl_tcp_rmem[2]) / LIMIT_SHARE &&
	    !(may_be_fixed && is_rcvbuf_fixed(sk)))
		return 0;
	return has_read_much(sk) && !is_local(sk);
}

/* net/ipv4/tcp_input.c: tcp_rcv_space_adjust() is called at each read(2): one load decides about most. */
SEC("raw_tp/tcp_rcv_space_adjust")
int observe_rcv_space(struct bpf_raw_tracepoint_args *ctx)
{
	const struct sock *sk = (const struct sock *)ctx->args[0];
	__u32 rcvbuf = READ(struct sock, sk, sk_rcvbuf);
	_Bool may_be_fixed = has_fixed_receivers();

	if ((rcvbuf >= rcvbuf_bound || may_be_fixed) && is_receiver_of_interest(sk, rcvbuf, may_be_fixed))
		CHAIN_CALL(ctx, chain_rcv_space, 0);
	return 0;
}

/* --- drops -------------------------------------------------------------------------------------- */

/* Whether this kernel has the reason, and under which number, is known when the program is loaded. */
#define IS_REASON(reason, name)                                                      \
	(bpf_core_enum_value_exists(enum skb_drop_reason, SKB_DROP_REASON_##name) && \
	 (reason) == bpf_core_enum_value(enum skb_drop_reason, SKB_DROP_REASON_##name))

/* net/core/skbuff.c: kfree_skb_reason(). A flood that is dropped costs three comparisons, and what one tuner asks. */
SEC("raw_tp/kfree_skb")
int observe_drop(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 reason = ctx->args[2];

	if (IS_REASON(reason, CPU_BACKLOG))
		CHAIN_CALL(ctx, chain_drop_backlog, 0);
	else if (IS_REASON(reason, NETFILTER_DROP))
		CHAIN_CALL(ctx, chain_drop_netfilter, 0);
	else if (IS_REASON(reason, NOT_SPECIFIED))
		CHAIN_CALL(ctx, chain_drop_unspecified, 0);
	return 0;
}

/* Whether the drops that have not been told of are of this port, by which tuners count, at whichever of its sockets. */
static __always_inline _Bool is_same_port(struct bpftune_udp_drops *drops, const struct sock *sk)
{
	__u64 net = (__u64)READ(struct sock, sk, __sk_common.skc_net.net);
	__u32 port = READ(struct sock, sk, __sk_common.skc_num);
	_Bool is_same = drops->net == net && drops->port == port;

	drops->sk = (__u64)sk;
	drops->net = net;
	drops->port = port;
	return is_same;
}

/* A flood of datagrams at a socket that is full costs two comparisons each. */
SEC("raw_tp/udp_fail_queue_rcv_skb")
int observe_udp_drop(struct bpf_raw_tracepoint_args *ctx)
{
	const struct sock *sk = (const struct sock *)ctx->args[1];
	__u64 now = bpf_jiffies64();
	struct bpftune_udp_drops *drops;

	if ((int)ctx->args[0] != -ENOMEM)
		return 0;
	drops = udp_drops_of(sk);
	if (!drops)
		return 0;
	drops->untold++;
	if (drops->sk == (__u64)sk && drops->jiffies == now)
		return 0;
	drops->told = is_same_port(drops, sk) ? drops->untold : 1;
	drops->untold = 0;
	drops->jiffies = now;
	CHAIN_CALL(ctx, chain_udp_drop, 0);
	return 0;
}
