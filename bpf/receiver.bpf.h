/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a TCP receiver's window lets through: for raw_tp/tcp_rcv_space_adjust. */
#ifndef BPFTUNE_BPF_RECEIVER_H
#define BPFTUNE_BPF_RECEIVER_H

#include "bpf/kernel.h"

#define COARSE_RTT_US 2000

/* A round trip, or more of them, in which the application has read. */
struct reading {
	__u64 since_us;	 /* when it began: rcvq_space.time */
	__u32 for_us;	 /* how long it was */
	__u32 pause_us;	 /* of that, without data, unless they were late; at most a window came */
	__u32 rtt_us;	 /* 0: it is not over */
	__u32 bytes;	 /* read in one round trip */
	__u32 window;	 /* the peer may have sent that much: its window if nothing were unread */
	_Bool is_filled; /* all of it came, and was read; of a small window, what no delayed acknowledgement waits for */
};

/* Of a burst that has just come in, only the beginning may have been read. */
static __always_inline __u32 full_window(const struct tcp_sock *tp, __u32 copied_seq)
{
	__u32 now = BPF_CORE_READ(tp, rcv_wnd), full = BPF_CORE_READ(tp, rcv_wup) + now - copied_seq;

	return (__s32)(full - now) > 0 ? full : now;
}

/* Timestamps give no less than a millisecond: net/ipv4/tcp_input.c: tcp_rtt_tsopt_us(). */
static __always_inline __u32 receiver_rtt_us(const struct tcp_sock *tp)
{
	__u32 rtt_us = BPF_CORE_READ(tp, rcv_rtt_est.rtt_us) >> 3, min_us = BPF_CORE_READ(tp, rtt_min.s[0].v);

	return rtt_us < COARSE_RTT_US && min_us && min_us < rtt_us ? min_us : rtt_us;
}

/* It fires for each segment that is read; the kernel itself looks once a round trip: tcp_rcv_space_adjust(). */
static __always_inline void look_at_reading(const struct tcp_sock *tp, struct reading *ret_reading)
{
	__u64 since_us = BPF_CORE_READ(tp, rcvq_space.time), for_us = bpf_ktime_get_ns() / 1000 - since_us;
	__u32 copied_seq, segment, read, bytes, look_us = BPF_CORE_READ(tp, rcv_rtt_est.rtt_us) >> 3;

	ret_reading->rtt_us = 0;
	if (!for_us || for_us < look_us)
		return;
	copied_seq = BPF_CORE_READ(tp, copied_seq);
	ret_reading->rtt_us = receiver_rtt_us(tp);
	ret_reading->since_us = since_us;
	read = copied_seq - BPF_CORE_READ(tp, rcvq_space.seq);
	bytes = (__u64)read * ret_reading->rtt_us / for_us;
	ret_reading->bytes = bytes;
	ret_reading->window = full_window(tp, copied_seq);
	ret_reading->for_us = for_us;
	ret_reading->pause_us = for_us > 2 * look_us && read <= ret_reading->window ? for_us - look_us : 0;
	segment = BPF_CORE_READ(tp, inet_conn.icsk_ack.rcv_mss);
	/* An acknowledgement is delayed for up to two segments: RFC 9293, 3.8.6.3. */
	ret_reading->is_filled = bytes >= ret_reading->window / 4 * 3 ||
				 (bytes >= ret_reading->window / 2 && bytes + 2 * segment > ret_reading->window);
}

#endif
