// SPDX-License-Identifier: GPL-2.0-or-later
/* Notices packets that are dropped before they have an entry in the table of connections. */
#include "bpf/tuner.bpf.h"
#include "tuners/conntrack.h"

#define RATE_NS (200 * NSEC_PER_MSEC)

/* Of a CPU: by which device, or from which socket, the last such packet came, and in which jiffy. */
struct last {
	__u64 source, jiffies;
};

MAP(last_of_cpu, BPF_MAP_TYPE_PERCPU_ARRAY, 1, __u32, struct last);

/* A flood of one source: nothing new. */
static __always_inline _Bool is_again(__u64 source)
{
	__u32 zero = 0;
	struct last now = { source, bpf_jiffies64() }, *last = bpf_map_lookup_elem(&last_of_cpu, &zero);

	if (!last || (last->source == now.source && last->jiffies == now.jiffies))
		return 1;
	*last = now;
	return 0;
}

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

	if (!bpf_core_field_exists(skb->_nfct) || READ(struct sk_buff, skb, _nfct))
		return;
	dev = READ(struct sk_buff, skb, dev);
	sk = READ(struct sk_buff, skb, sk);
	if (is_again(dev ? (__u64)dev : (__u64)sk))
		return;
	if (dev)
		emit(BPF_CORE_READ(dev, nd_net.net, net_cookie), 0, CONNTRACK_TABLE_FULL, NULL, 0, RATE_NS);
	else if (sk)
		emit_of(sk, 0, CONNTRACK_TABLE_FULL, NULL, 0, RATE_NS);
}
