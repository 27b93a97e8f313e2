// SPDX-License-Identifier: GPL-2.0-or-later
/* Notices connections of which a segment of full size times out again and again. */
#include "bpf/remote.bpf.h"
#include "bpf/tuner.bpf.h"
#include "tuners/pmtu.h"

#define OPTIONS_MAX 40 /* bytes that a segment of full size may lack: TCP's options */
#define RATE_NS (250 * NSEC_PER_MSEC)

struct sk_buff___pmtu {
	unsigned int len;
} __attribute__((preserve_access_index));

/* Of remotes that come to the same number one may be left out: it comes again. */
static __always_inline __u64 number_of(const struct remote *remote)
{
	const __u64 *half = (const __u64 *)remote->address;

	return half[0] ^ half[1];
}

/*
 * net/ipv4/tcp_output.c: tcp_retransmit_skb(), for each segment that is sent again: one load decides about most. Near
 * connections count, too, which sock_ops is not told of: a tunnel between containers may be the path that is too narrow.
 */
SEC("raw_tp/tcp_retransmit_skb")
int pmtu_sends_again(struct bpf_raw_tracepoint_args *ctx)
{
	const struct sock *sk = (const struct sock *)ctx->args[0];
	struct pmtu_stuck stuck = {};
	__u32 len;

	if (READ(struct inet_connection_sock, sk, icsk_retransmits) < PMTU_TIMEOUTS)
		return 0;
	len = BPF_CORE_READ((const struct sk_buff___pmtu *)ctx->args[1], len);
	stuck.mss = BPF_CORE_READ((const struct tcp_sock *)sk, mss_cache);
	if (stuck.mss > PMTU_BASE_MSS && len + OPTIONS_MAX >= stuck.mss && remote_of(sk, &stuck.remote))
		emit_of(sk, number_of(&stuck.remote), PMTU_BLACK_HOLE, &stuck, sizeof(stuck), RATE_NS);
	return 0;
}
