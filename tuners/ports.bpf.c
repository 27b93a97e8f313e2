// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Notices connections that found no local port, and sockets in TIME-WAIT that found no room: once for each socket, at
 * its end. A state change would tell of either a little sooner, but a connection has five of these.
 */
#include "bpf/tuner.bpf.h"
#include <bpf/bpf_endian.h>
#include "tuners/ports.h"

#define AF_INET6 10
#define FAILED_RATE_NS (100 * NSEC_PER_MSEC)
#define FULL_RATE_NS (400 * NSEC_PER_MSEC)
#define SHARER_RATE_NS (1000 * NSEC_PER_MSEC)

MAP(failures, BPF_MAP_TYPE_LRU_HASH, 1024, __u64, __u64); /* by netns cookie */

#define HAS_TIME_WAITS bpf_core_field_exists(((struct net *)0)->ipv4.tcp_death_row.tw_refcount)

static __always_inline __u32 time_waits_of(const struct net *net)
{
	int count = 1;

	/* A refcount_t is an int, whatever is inside of it. */
	if (HAS_TIME_WAITS && CAN_CAST)
		count = *(const int *)&CAST(struct net, net)->ipv4.tcp_death_row.tw_refcount;
	else if (HAS_TIME_WAITS)
		bpf_core_read(&count, sizeof(count), &net->ipv4.tcp_death_row.tw_refcount);
	return count - 1;
}

/* net/ipv4/inet_timewait_sock.c: inet_twsk_alloc(). */
static __always_inline _Bool are_time_waits_full(const struct net *net)
{
	return HAS_TIME_WAITS &&
	       time_waits_of(net) >= (__u32)READ(struct net, net, ipv4.tcp_death_row.sysctl_max_tw_buckets);
}

static __always_inline void read_remote(const struct sock *sk, __u32 remote[4])
{
	if (READ(struct sock, sk, __sk_common.skc_family) == AF_INET6 &&
	    bpf_core_field_exists(sk->__sk_common.skc_v6_daddr)) {
		bpf_core_read(remote, 4 * sizeof(*remote), &sk->__sk_common.skc_v6_daddr);
		return;
	}
	remote[3] = READ(struct sock, sk, __sk_common.skc_daddr);
	remote[2] = remote[3] ? bpf_htonl(0xffff) : 0;
}

static __always_inline __u64 count_failure(__u64 cookie)
{
	__u64 *count = bpf_map_lookup_elem(&failures, &cookie), none = 0;

	if (!count) {
		bpf_map_update_elem(&failures, &cookie, &none, BPF_NOEXIST);
		count = bpf_map_lookup_elem(&failures, &cookie);
	}
	if (!count)
		return 1;
	__sync_fetch_and_add(count, 1);
	return *count;
}

/* A container that shares the host's namespace: the host's worker decides, and is told of the container by its worker.
 */
static __always_inline void tell_sharer(const struct sock *sk, __u64 cookie)
{
	__u64 sharer = sharer_of(sk, cookie);
	struct bpftune_event *event;

	if (!sharer || tuner_is_off(cookie) || !rate_allows(cookie, sharer, PORTS_NONE_LEFT, SHARER_RATE_NS))
		return;
	event = tuner_event(cookie, sharer, PORTS_NONE_LEFT);
	if (event)
		bpf_ringbuf_submit(event, 0);
}

/* net/ipv4/tcp_ipv4.c: tcp_v4_connect(): the socket has a remote before a port is looked for, and keeps it. */
static __always_inline void if_failed(const struct sock *sk, const struct net *net)
{
	struct ports_failed failed = {};
	__u64 cookie;

	read_remote(sk, failed.remote);
	if (!failed.remote[0] && !failed.remote[1] && !failed.remote[2] && !failed.remote[3])
		return; /* it was never connected */
	cookie = READ(struct net, net, net_cookie);
	failed.count = count_failure(cookie);
	failed.time_waits = time_waits_of(net);
	failed.has_timestamps = READ(struct net, net, ipv4.sysctl_tcp_timestamps);
	emit(cookie, 0, PORTS_NONE_LEFT, &failed, sizeof(failed), FAILED_RATE_NS);
	tell_sharer(sk, cookie);
}

SEC("raw_tp/tcp_destroy_sock")
int ports_socket_ends(struct bpf_raw_tracepoint_args *ctx)
{
	const struct sock *sk = (const struct sock *)ctx->args[0];
	const struct net *net = READ(struct sock, sk, __sk_common.skc_net.net);

	if (!READ(struct inet_sock, sk, inet_sport))
		if_failed(sk, net);
	else if (are_time_waits_full(net))
		emit(READ(struct net, net, net_cookie), 0, PORTS_TIME_WAITS_FULL, NULL, 0, FULL_RATE_NS);
	return 0;
}
