// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Notices that the kernel makes the window of a connection small after an idle time, and that the window then grows
 * again without a loss; and, where windows are kept over idle times, what they lose.
 */
#include "bpf/remote.bpf.h"
#include "bpf/tuner.bpf.h"
#include "tuners/idle.h"

#define IDLE_US 200000 /* the least retransmission timeout: a shorter idle time restarts no window */
#define WINDOW_MIN 20  /* a smaller window saves no round trip against the initial one */
#define RATE_NS (200 * NSEC_PER_MSEC)

/* A flow that has had a large window and an idle time. */
struct idler {
	struct idle_seen seen;
	__u32 goal;	  /* a restarted window that grows to so much was restarted for nothing; 0: none is to */
	__u32 lost;	  /* tcp_sock.lost at the latest look */
	__u32 lost_first; /* and at the first look after the idle time */
	__u32 end_seq;	  /* of the first window after the idle time */
};

SK_STORAGE(idlers, 0, struct idler);

static __always_inline void tell(struct tcp_sock *tp, struct idler *idler, __u16 scenario)
{
	emit_of((struct sock *)tp, 0, scenario, &idler->seen, sizeof(idler->seen), RATE_NS);
}

/* All of a kept window has arrived: what of it was lost? */
static __always_inline void settle_kept(struct tcp_sock *tp, struct idler *idler)
{
	if (!idler->seen.segs || (__s32)(tp->snd_una - idler->end_seq) < 0)
		return;
	idler->seen.lost = tp->lost - idler->lost_first;
	tell(tp, idler, IDLE_KEPT);
	idler->seen.segs = 0;
}

/*
 * The first acknowledgement after an idle time. Without a loss it is net/ipv4/tcp_output.c: tcp_cwnd_restart() that makes
 * the window smaller, but not for an algorithm that paces: BBR.
 */
static __always_inline void begin(struct bpf_sock_ops *ctx, struct tcp_sock *tp, struct flow *flow, __u32 before)
{
	__u32 lost = tp->lost, twice = 2 * ctx->snd_cwnd;
	_Bool is_restarted = ctx->snd_cwnd < before - before / 4;
	struct idler *idler;

	if (BPF_CORE_READ(tp, inet_conn.icsk_ca_ops, cong_control))
		return;
	idler = bpf_sk_storage_get(&idlers, tp, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!idler || !remote_of((struct sock *)tp, &idler->seen.remote))
		return;
	flow->has_idled = flow->is_limited = 1;
	settle_kept(tp, idler);
	idler->seen.before = before;
	idler->seen.after = ctx->snd_cwnd;
	idler->seen.idle_ms = (flow->since_us - (tp->srtt_us >> 3)) / 1000;
	idler->seen.rtt_us = tp->srtt_us >> 3;
	idler->seen.segs = is_restarted || lost != idler->lost ? 0 : ctx->packets_out + 1;
	idler->seen.lost = 0;
	idler->goal = !is_restarted || lost != idler->lost ? 0 : before / 2 > twice ? before / 2 : twice;
	idler->lost = idler->lost_first = lost;
	idler->end_seq = tp->snd_nxt;
}

static __always_inline void go_on(struct bpf_sock_ops *ctx, struct tcp_sock *tp, struct flow *flow)
{
	struct idler *idler = bpf_sk_storage_get(&idlers, tp, NULL, 0);

	if (!idler)
		return;
	settle_kept(tp, idler);
	if (idler->goal && tp->lost == idler->lost && ctx->snd_cwnd >= idler->goal)
		tell(tp, idler, IDLE_RESTARTED);
	if (tp->lost != idler->lost || ctx->snd_cwnd >= idler->goal)
		idler->goal = 0;
	idler->lost = tp->lost;
	if (idler->goal || idler->seen.segs)
		flow->is_limited = 1;
}

ON_LOOK(idle_look)
{
	struct tcp_sock *tp = tcp_sock_of(ctx);
	struct flow *flow = tp ? look_of(tp) : NULL;
	__u32 before;

	if (!flow)
		return;
	before = flow->cwnd;
	flow->cwnd = ctx->snd_cwnd;
	if (before >= WINDOW_MIN && flow->since_us >= IDLE_US + (tp->srtt_us >> 2))
		begin(ctx, tp, flow, before);
	else if (flow->has_idled)
		go_on(ctx, tp, flow);
}
