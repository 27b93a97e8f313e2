/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The remote end of a socket, as tuners remember it: struct remote. */
#ifndef BPFTUNE_BPF_REMOTE_H
#define BPFTUNE_BPF_REMOTE_H

#include "bpf/kernel.h"
#include <bpf/bpf_endian.h>
#include "tuners/remote.h"

#ifndef AF_INET
#define AF_INET 2
#endif
#ifndef AF_INET6
#define AF_INET6 10
#endif

/* From an address in network byte order, IPv4 in the last of four words. */
static __always_inline _Bool remote_from(__u16 family, __u32 word[4], struct remote *ret_remote)
{
	if (family == AF_INET)
		word[2] = bpf_htonl(0xffff);
	else if (word[0] || word[1] || word[2] != bpf_htonl(0xffff))
		word[2] = word[3] = 0;
	__builtin_memcpy(ret_remote->address, word, sizeof(ret_remote->address));
	return family == AF_INET || family == AF_INET6;
}

/* False, and all zero, for what is neither IPv4 nor IPv6. An IPv6 socket that speaks IPv4 gives the IPv4 address. */
static __always_inline _Bool remote_of(const struct sock *sk, struct remote *ret_remote)
{
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);
	__u32 word[4] = {};

	if (family == AF_INET6)
		BPF_CORE_READ_INTO(&word, sk, __sk_common.skc_v6_daddr.in6_u.u6_addr32);
	else if (family == AF_INET)
		word[3] = BPF_CORE_READ(sk, __sk_common.skc_daddr);
	return remote_from(family, word, ret_remote);
}

/* The same in a callback that comes before there is a full socket. */
static __always_inline _Bool remote_of_ops(const struct bpf_sock_ops *ctx, struct remote *ret_remote)
{
	__u32 word[4] = {};

	if (ctx->family == AF_INET6) {
		word[0] = ctx->remote_ip6[0];
		word[1] = ctx->remote_ip6[1];
		word[2] = ctx->remote_ip6[2];
		word[3] = ctx->remote_ip6[3];
	} else if (ctx->family == AF_INET) {
		word[3] = ctx->remote_ip4;
	}
	return remote_from(ctx->family, word, ret_remote);
}

/* The segments that connections have sent and lost; and those while nothing queued on the path. */
struct crowd_counts {
	__u32 segs, retrans, clear_segs, clear_retrans;
};

/* What the connections to the hosts of a network have counted, until there is enough to judge the network by. */
struct crowd {
	__u64 begun_ns;
	__u64 hosts; /* a bit for each, by its address: two may have the same */
	struct crowd_counts counts;
};

#define CROWD_SEGS_MIN 512
#define CROWD_HOSTS_MIN 4	       /* what one host loses says nothing of its neighbours */
#define CROWD_CONN_SEGS_MAX 128	       /* a connection counts as no more: none is to speak for all */
#define CROWD_NS (600 * 1000000000ULL) /* older counts are forgotten */

static __always_inline __u32 crowd_share(__u32 part, __u32 of)
{
	return of > CROWD_CONN_SEGS_MAX ? ((__u64)part * CROWD_CONN_SEGS_MAX + of / 2) / of : part;
}

static __always_inline void crowd_add(struct crowd *crowd, const struct remote *host, const struct crowd_counts *counts)
{
	const __u8 *address = host->address;
	__u8 bit = address[10] ? address[15] : address[6] ^ address[7];
	const struct crowd_counts none = {};
	__u64 now_ns = bpf_ktime_get_ns();

	if (now_ns - crowd->begun_ns > CROWD_NS) {
		crowd->begun_ns = now_ns;
		crowd->hosts = 0;
		crowd->counts = none;
	}
	crowd->hosts |= 1ULL << (bit & 63);
	crowd->counts.segs += crowd_share(counts->segs, counts->segs);
	crowd->counts.retrans += crowd_share(counts->retrans, counts->segs);
	crowd->counts.clear_segs += crowd_share(counts->clear_segs, counts->segs);
	crowd->counts.clear_retrans += crowd_share(counts->clear_retrans, counts->segs);
	if (crowd->counts.segs > 0x4000) { /* so that 16 bits are enough to tell them */
		crowd->counts.segs /= 2;
		crowd->counts.retrans /= 2;
		crowd->counts.clear_segs /= 2;
		crowd->counts.clear_retrans /= 2;
	}
}

/* True: `ret` has what is to be told of the network, and counting begins anew. */
static __always_inline _Bool crowd_take(struct crowd *crowd, struct crowd *ret)
{
	const struct crowd_counts none = {};

	*ret = *crowd;
	if (ret->counts.segs < CROWD_SEGS_MIN || __builtin_popcountll(ret->hosts) < CROWD_HOSTS_MIN)
		return 0;
	crowd->hosts = 0;
	crowd->counts = none;
	return 1;
}

/* Its port, in host order; 0 while there is none. */
static __always_inline __u16 remote_port_of(const struct sock *sk)
{
	return bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
}

/* The local one. */
static __always_inline __u16 local_port_of(const struct sock *sk)
{
	return BPF_CORE_READ(sk, __sk_common.skc_num);
}

#endif
