/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A connection that starts with a larger window than the kernel's: a jump, after RFC 9959 (Careful Resume).
 *
 *   paced ── data are acknowledged ──► over
 *     └──── the window loses ──► retreated ── the window has grown as large again ──► over
 *
 * While it is paced or has retreated it wants acknowledgements: flow->wants_acks.
 */
#ifndef BPFTUNE_TUNERS_JUMP_H
#define BPFTUNE_TUNERS_JUMP_H

#include "bpf/tuner.bpf.h"
#include "tuners/tcp_init.h"

#define SOL_SOCKET 1
#define SO_MAX_PACING_RATE 47
#define SOL_TCP 6
#define TCP_CA_OPEN 0	    /* include/uapi/linux/tcp.h: enum tcp_ca_state */
#define NO_CLAMP 0x7fffffff /* as good as the kernel's own, which is larger than an int */

struct jump {
	__u32 window;	   /* segments; 0: it starts as the kernel has it */
	__u32 pacing_rate; /* ours, while the window goes out; 0: lifted */
	__u32 clamp;	   /* segments, after a retreat; 0: lifted, or never set */
	__u32 round_end;   /* after a retreat: the round trip ends when this sequence number is acknowledged */
	_Bool has_retreated;
};

/* Has acknowledgements told to us; false: without memory. */
static __always_inline _Bool want_acks(struct tcp_sock *tp, _Bool wants)
{
	struct flow *flow = bpf_sk_storage_get(&flows, tp, NULL, wants ? BPF_SK_STORAGE_GET_F_CREATE : 0);

	if (flow)
		flow->wants_acks = wants;
	return flow;
}

static __always_inline _Bool set_clamp(struct bpf_sock_ops *ctx, int segments)
{
	return !bpf_setsockopt(ctx, SOL_TCP, TCP_BPF_SNDCWND_CLAMP, &segments, sizeof(segments));
}

/*
 * The jump was too far: half of what has arrived is what the path carries for certain. TCP_BPF_SNDCWND_CLAMP sets the
 * threshold of slow start, too, which is where the kernel's recovery ends. Not for an algorithm that sets its window
 * without the threshold (BBR), nor where somebody else has set the clamp (a route).
 */
static __always_inline void jump_retreat(struct bpf_sock_ops *ctx, struct tcp_sock *tp, struct jump *jump)
{
	__u32 clamp = tp->delivered / 2;

	if (!jump->window || jump->has_retreated || tp->snd_cwnd_clamp < NO_CLAMP ||
	    BPF_CORE_READ(tp, inet_conn.icsk_ca_ops, cong_control))
		return;
	if (clamp < TCP_INIT_CWND)
		clamp = TCP_INIT_CWND;
	jump->has_retreated = 1;
	if (clamp >= jump->window || !want_acks(tp, 1) || !set_clamp(ctx, clamp))
		return;
	jump->clamp = clamp;
	jump->round_end = tp->snd_nxt;
}

/*
 * The window that a retreat left grows by an eighth in each round trip that uses it. Where it has become what the jump
 * was to be, the clamp is lifted, and slow start goes on, as the kernel then forgets the threshold.
 */
static __always_inline void grow(struct bpf_sock_ops *ctx, struct tcp_sock *tp, struct jump *jump)
{
	if ((__s32)(tp->snd_una - jump->round_end) < 0 ||
	    BPF_CORE_READ_BITFIELD_PROBED(tp, inet_conn.icsk_ca_state) != TCP_CA_OPEN)
		return;
	jump->round_end = tp->snd_nxt;
	if (ctx->snd_cwnd < jump->clamp)
		return;
	jump->clamp += jump->clamp / 8;
	if (jump->clamp >= jump->window)
		jump->clamp = 0;
	set_clamp(ctx, jump->clamp ? jump->clamp : NO_CLAMP);
}

static __always_inline _Bool set_pacing_rate(struct bpf_sock_ops *ctx, __u32 bytes_per_s)
{
	return !bpf_setsockopt(ctx, SOL_SOCKET, SO_MAX_PACING_RATE, &bytes_per_s, sizeof(bytes_per_s));
}

/*
 * The window goes out within half a round trip, as the kernel paces a slow start (net.ipv4.tcp_pacing_ss_ratio). Over a whole
 * one its acknowledgements would come for as long as a round trip, which ends CUBIC's slow start: net/ipv4/tcp_cubic.c:
 * hystart_update(). An application's own rate is left alone: it holds the window back, too.
 */
static __always_inline _Bool pace(struct bpf_sock_ops *ctx, struct tcp_sock *tp, struct jump *jump, __u32 window)
{
	__u64 rate = 2ULL * window * tp->mss_cache * 1000000 / (ctx->srtt_us >> 3);

	if (((struct sock *)tp)->sk_max_pacing_rate != ~0UL || rate >= ~0U)
		return 1;
	if (!want_acks(tp, 1) || !set_pacing_rate(ctx, rate))
		return 0;
	jump->pacing_rate = rate;
	return 1;
}

/* What the application has set meanwhile stays. */
static __always_inline void lift_pacing(struct bpf_sock_ops *ctx, struct tcp_sock *tp, struct jump *jump)
{
	if (((struct sock *)tp)->sk_max_pacing_rate == jump->pacing_rate)
		set_pacing_rate(ctx, ~0U);
	jump->pacing_rate = 0;
}

/* Starts with that window, if the connection has sent nothing yet. */
static __always_inline void jump_begin(struct bpf_sock_ops *ctx, struct tcp_sock *tp, struct jump *jump, __u32 window)
{
	if (!pace(ctx, tp, jump, window))
		return;
	if (!bpf_setsockopt(ctx, SOL_TCP, TCP_BPF_IW, &window, sizeof(window)))
		jump->window = window;
	else if (jump->pacing_rate)
		lift_pacing(ctx, tp, jump);
}

/* The second round trip begins when data are acknowledged; the SYN counts as a byte on the side that connected. */
static __always_inline void jump_acknowledged(struct bpf_sock_ops *ctx, struct tcp_sock *tp, struct jump *jump)
{
	if (jump->pacing_rate && ctx->bytes_acked > 1)
		lift_pacing(ctx, tp, jump);
	if (jump->clamp)
		grow(ctx, tp, jump);
	if (!jump->pacing_rate && !jump->clamp)
		want_acks(tp, 0);
}

#endif
