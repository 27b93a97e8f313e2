// SPDX-License-Identifier: GPL-2.0-or-later
/* Notices packets that are dropped before they have an entry in the table of connections. */
#include "bpf/tuner.bpf.h"
#include "tuners/conntrack.h"

#define RATE_NS (200 * NSEC_PER_MSEC)

/*
 * net/netfilter/nf_conntrack_core.c: nf_conntrack_in() drops what __nf_conntrack_alloc() has no room for, so there is
 * no entry in `_nfct`. A rule may drop a packet without an entry, too: the worker asks the counters. What is on its way
 * out has a socket and no device yet; a device comes first, as a socket may be in the namespace that a packet has left.
 */
ON_DROP_NETFILTER(conntrack_dropped)
{
	const struct sk_buff *skb = (const struct sk_buff *)ctx->args[0];
	const struct net_device *dev;
	const struct sock *sk;

	if (!bpf_core_field_exists(skb->_nfct) || BPF_CORE_READ(skb, _nfct))
		return;
	dev = BPF_CORE_READ(skb, dev);
	sk = BPF_CORE_READ(skb, sk);
	if (dev)
		emit(BPF_CORE_READ(dev, nd_net.net, net_cookie), 0, CONNTRACK_TABLE_FULL, NULL, 0, RATE_NS);
	else if (sk)
		emit_of(sk, 0, CONNTRACK_TABLE_FULL, NULL, 0, RATE_NS);
}
