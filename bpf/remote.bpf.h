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

/* False, and all zero, for what is neither IPv4 nor IPv6. An IPv6 socket that speaks IPv4 gives the IPv4 address. */
static __always_inline _Bool remote_of(const struct sock *sk, struct remote *ret_remote)
{
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);
	__u32 part[4] = {};

	if (family == AF_INET6) {
		BPF_CORE_READ_INTO(&part, sk, __sk_common.skc_v6_daddr.in6_u.u6_addr32);
		if (part[0] || part[1] || part[2] != bpf_htonl(0xffff))
			part[2] = part[3] = 0;
	} else if (family == AF_INET) {
		part[2] = bpf_htonl(0xffff);
		part[3] = BPF_CORE_READ(sk, __sk_common.skc_daddr);
	}
	__builtin_memcpy(ret_remote->address, part, sizeof(part));
	return family == AF_INET || family == AF_INET6;
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
