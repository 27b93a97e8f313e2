// SPDX-License-Identifier: GPL-2.0-or-later
/* Notices that a namespace drops fragments, as those that wait for others hold all the memory that they may. */
#include "bpf/tuner.bpf.h"
#include <bpf/bpf_endian.h>
#include "tuners/frag.h"

#define RATE_NS (400 * NSEC_PER_MSEC) /* the frame wants to hear of it at least twice a second while it goes on */
#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define FRAG_OFF_AT 6		/* in an IPv4 header */
#define IS_FRAGMENT_BITS 0x3fff /* more fragments follow, or the offset is not zero */

static __always_inline _Bool is_ipv4_fragment(const struct sk_buff *skb)
{
	const unsigned char *header = READ(struct sk_buff, skb, head) + READ(struct sk_buff, skb, network_header);
	__u16 frag_off = 0;

	bpf_probe_read_kernel(&frag_off, sizeof(frag_off), header + FRAG_OFF_AT);
	return frag_off & bpf_htons(IS_FRAGMENT_BITS);
}

static __always_inline void tell_if_full(const struct net *net, const struct fqdir *fragments, __u16 scenario)
{
	if (BPF_CORE_READ(fragments, mem.counter) > BPF_CORE_READ(fragments, high_thresh))
		emit(BPF_CORE_READ(net, net_cookie), 0, scenario, NULL, 0, RATE_NS);
}

/* net/ipv4/inet_fragment.c: inet_frag_find(). Without a device there is no namespace, and all that is read is 0. */
ON_DROP_UNSPECIFIED(frag_dropped)
{
	const struct sk_buff *skb = (const struct sk_buff *)ctx->args[0];
	__u16 protocol = READ(struct sk_buff, skb, protocol);
	const struct net *net;

	if (protocol == bpf_htons(ETH_P_IP) && is_ipv4_fragment(skb)) {
		net = BPF_CORE_READ(skb, dev, nd_net.net);
		tell_if_full(net, BPF_CORE_READ(net, ipv4.fqdir), FRAG_IPV4_FULL);
	} else if (protocol == bpf_htons(ETH_P_IPV6)) {
		net = BPF_CORE_READ(skb, dev, nd_net.net);
		if (bpf_core_field_exists(net->ipv6.fqdir))
			tell_if_full(net, BPF_CORE_READ(net, ipv6.fqdir), FRAG_IPV6_FULL);
	}
}
