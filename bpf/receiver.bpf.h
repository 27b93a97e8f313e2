/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a TCP receiver's window lets through: for raw_tp/tcp_rcv_space_adjust. */
#ifndef BPFTUNE_BPF_RECEIVER_H
#define BPFTUNE_BPF_RECEIVER_H

#include "bpf/kernel.h"

/* Fires for each segment that is read; the kernel itself looks once a round trip: net/ipv4/tcp_input.c. 0: not now. */
static __always_inline __u32 round_trip_over_us(const struct tcp_sock *tp)
{
	__u32 rtt_us = BPF_CORE_READ(tp, rcv_rtt_est.rtt_us) >> 3;

	return bpf_ktime_get_ns() / 1000 - BPF_CORE_READ(tp, rcvq_space.time) < rtt_us ? 0 : rtt_us;
}

/* Since that began. */
static __always_inline __u32 read_bytes(const struct tcp_sock *tp)
{
	return BPF_CORE_READ(tp, copied_seq) - BPF_CORE_READ(tp, rcvq_space.seq);
}

/* With nothing unread: of a burst that has just come in, only the beginning may have been read. */
static __always_inline __u32 full_window_bytes(const struct tcp_sock *tp)
{
	__u32 now = BPF_CORE_READ(tp, rcv_wnd), most = BPF_CORE_READ(tp, rcv_ssthresh);

	return now > most ? now : most;
}

/*
 * A round trip brought all that the peer may send, and the application read it: of a small window at least as many
 * segments as fit.
 */
static __always_inline _Bool fills_window(const struct tcp_sock *tp, __u32 read, __u32 window)
{
	__u32 segment = BPF_CORE_READ(tp, inet_conn.icsk_ack.rcv_mss);

	return read >= window / 4 * 3 || (read >= window / 2 && read + segment > window);
}

#endif
