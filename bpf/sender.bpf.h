/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How long a TCP sender has waited, and for what: in jiffies, as the kernel accounts it and where it does not. */
#ifndef BPFTUNE_BPF_SENDER_H
#define BPFTUNE_BPF_SENDER_H

#include "bpf/kernel.h"

/* As net/ipv4/tcp.c: tcp_get_info_chrono_stats() counts. The type is two bits of a byte up to 6.17, a byte since. */
static __always_inline __u32 chrono_jiffies(struct tcp_sock *tp, __u32 type, __u32 now)
{
	__u32 jiffies = tp->chrono_stat[type - 1];

	return BPF_CORE_READ_BITFIELD(tp, chrono_type) == type ? jiffies + (now - tp->chrono_start) : jiffies;
}

/* The time with data under way: each of the types is part of it. */
static __always_inline __u32 busy_jiffies(struct tcp_sock *tp, __u32 now)
{
	return chrono_jiffies(tp, TCP_CHRONO_BUSY, now) + chrono_jiffies(tp, TCP_CHRONO_RWND_LIMITED, now) +
	       chrono_jiffies(tp, TCP_CHRONO_SNDBUF_LIMITED, now);
}

/*
 * It has sent all that it has, and its congestion window has room for more. Less than a segment does not count:
 * Nagle's algorithm keeps it back.
 */
static __always_inline _Bool could_send_more(struct tcp_sock *tp)
{
	return tp->write_seq - tp->snd_nxt < tp->mss_cache && !BPF_CORE_READ_BITFIELD(tp, is_cwnd_limited);
}

/*
 * Much as the kernel starts to account a wait for buffer space, which it does only when it sends
 * (net/ipv4/tcp_output.c: tcp_cwnd_validate()), and so never for an application that writes all that fits and then
 * waits.
 */
static __always_inline _Bool waits_for_space(struct tcp_sock *tp)
{
	struct sock *sk = (struct sock *)tp;

	return BPF_CORE_READ(sk, sk_socket, flags) >> SOCK_NOSPACE & 1 && could_send_more(tp);
}

#endif
