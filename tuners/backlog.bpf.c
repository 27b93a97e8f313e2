// SPDX-License-Identifier: GPL-2.0-or-later
/* Notices frames that are dropped because the queue of the CPU that they go to is full, whose they are, and how many at
 * once. */
#include "bpf/tuner.bpf.h"
#include "tuners/backlog.h"

#define RATE_NS (400 * NSEC_PER_MSEC)
#define BURST_NS (20 * NSEC_PER_MSEC)

/* Of the CPU that sends: a flood is mostly of one namespace, of which two loads decide. */
struct drops {
	__u64 told_cookie, told_ns;
	__u64 burst_ns;	      /* when it began */
	__u32 in_burst, most; /* frames; since it was last told */
};

MAP(drops_of_cpu, BPF_MAP_TYPE_PERCPU_ARRAY, 1, __u32, struct drops);

static __always_inline void count(struct drops *drops, __u64 now_ns)
{
	if (now_ns - drops->burst_ns >= BURST_NS) {
		drops->burst_ns = now_ns;
		drops->in_burst = 0;
	}
	if (++drops->in_burst > drops->most)
		drops->most = drops->in_burst;
}

/*
 * The receiver's namespace. What comes to the host from a container's socket is the container's doing: it is not to get
 * what the host may have. A frame of nobody's that comes to the host by a device without hardware may have been made so
 * by somebody in a container: 0. Without a device, all that is read is 0, too.
 */
static __always_inline __u64 whose(const struct sk_buff *skb, const struct sock *sk)
{
	const struct net_device *dev = READ(struct sk_buff, skb, dev);
	const struct net *net = READ(struct net_device, dev, nd_net.net);
	__u64 cookie = READ(struct net, net, net_cookie);

	if (cookie != host_cookie)
		return cookie;
	if (sk)
		return BPF_CORE_READ(sk, __sk_common.skc_net.net, net_cookie);
	return BPF_CORE_READ(dev, dev.parent) ? cookie : 0;
}

/* net/core/dev.c: enqueue_to_backlog() */
ON_DROP_BACKLOG(backlog_dropped)
{
	const struct sk_buff *skb = (const struct sk_buff *)ctx->args[0];
	const struct sock *sk = READ(struct sk_buff, skb, sk);
	__u64 cookie = whose(skb, sk), now_ns = bpf_ktime_get_ns();
	struct backlog_burst burst;
	__u32 zero = 0;
	struct drops *drops = bpf_map_lookup_elem(&drops_of_cpu, &zero);

	if (!drops || !cookie)
		return;
	count(drops, now_ns);
	if (cookie == drops->told_cookie && now_ns - drops->told_ns < RATE_NS)
		return;
	drops->told_cookie = cookie;
	drops->told_ns = now_ns;
	burst.frames = drops->most;
	drops->most = 0;
	emit_for(cookie, sk ? sharer_of(sk, cookie) : 0, 0, BACKLOG_DROPPED, NULL, 0, RATE_NS);
	emit(host_cookie, cookie, BACKLOG_BURST, &burst, sizeof(burst), RATE_NS);
}
