// SPDX-License-Identifier: GPL-2.0-or-later
/* Notices that a namespace drops IPv4 fragments, as those that wait for others hold all the memory that they may. */
#include "bpf/tuner.bpf.h"
#include <bpf/bpf_endian.h>
#include "ipfrag.h"

#define RATE_NS (400 * NSEC_PER_MSEC) /* the frame wants to hear of it at least twice a second while it goes on */
#define ETH_P_IP 0x0800
#define FRAG_OFF_AT 6		/* in an IPv4 header */
#define IS_FRAGMENT_BITS 0x3fff /* more fragments follow, or the offset is not zero */

/* What bpf/kernel.h lacks. A name with ___ is a view of our own of a kernel's type that is declared there. */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct fqdir {
	long high_thresh; /* bytes, as the next one */
	atomic_long_t mem;
};

struct netns_ipv4___ipfrag {
	struct fqdir *fqdir;
};

struct net___ipfrag {
	struct netns_ipv4___ipfrag ipv4;
};

struct sk_buff {
	struct net_device *dev;
	unsigned char *head;
	__u16 network_header; /* from head on */
	__u16 protocol;
};

#pragma clang attribute pop

static __always_inline _Bool is_fragment(const struct sk_buff *skb)
{
	const unsigned char *header;
	__u16 frag_off = 0;

	if (BPF_CORE_READ(skb, protocol) != bpf_htons(ETH_P_IP))
		return 0;
	header = BPF_CORE_READ(skb, head) + BPF_CORE_READ(skb, network_header);
	bpf_probe_read_kernel(&frag_off, sizeof(frag_off), header + FRAG_OFF_AT);
	return frag_off & bpf_htons(IS_FRAGMENT_BITS);
}

/* net/ipv4/inet_fragment.c: inet_frag_find(). Without a device there is no namespace, and all that is read is 0. */
SEC("raw_tp/kfree_skb")
int ipfrag_dropped(struct bpf_raw_tracepoint_args *ctx)
{
	const struct sk_buff *skb = (const struct sk_buff *)ctx->args[0];
	const struct fqdir *fragments;
	const struct net *net;

	if (!is_fragment(skb))
		return 0;
	net = BPF_CORE_READ(skb, dev, nd_net.net);
	fragments = BPF_CORE_READ((const struct net___ipfrag *)net, ipv4.fqdir);
	if (BPF_CORE_READ(fragments, mem.counter) > BPF_CORE_READ(fragments, high_thresh))
		emit(BPF_CORE_READ(net, net_cookie), 0, IPFRAG_FULL, NULL, 0, RATE_NS);
	return 0;
}
