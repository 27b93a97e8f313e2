/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The memory of all TCP sockets of the machine together. That of all UDP sockets is accounted alike, with udp_mem. */
#ifndef BPFTUNE_BPF_TCP_MEMORY_H
#define BPFTUNE_BPF_TCP_MEMORY_H

#include "bpf/kernel.h"

#define SK_MEM_QUANTUM 4096

/* In pages. */
struct tcp_memory {
	__u64 allocated;
	__u64 mem[3]; /* tcp_mem: low, pressure, high */
};

/*
 * tcp_mem is in pages. Linux counts what is allocated in pages, too, since 6.0; from 4.11 on it counted units of 4096
 * bytes, also where a page has 64 KiB (include/net/sock.h: sk_prot_mem_limits()). The series of changes that made pages
 * of them brought per_cpu_fw_alloc.
 */
static __always_inline __u64 tcp_memory_pages(const struct proto *proto, __u64 allocated, __u32 page_bytes)
{
	if (bpf_core_field_exists(proto->per_cpu_fw_alloc) || page_bytes <= SK_MEM_QUANTUM)
		return allocated;
	return allocated / (page_bytes / SK_MEM_QUANTUM);
}

static __always_inline void read_tcp_memory(const struct sock *sk, __u32 page_bytes, struct tcp_memory *ret_memory)
{
	const struct proto *proto = BPF_CORE_READ(sk, __sk_common.skc_prot);
	const long *mem = BPF_CORE_READ(proto, sysctl_mem);
	long allocated = BPF_CORE_READ(proto, memory_allocated, counter);

	/* What the CPUs keep back may make it negative. */
	ret_memory->allocated = allocated > 0 ? tcp_memory_pages(proto, allocated, page_bytes) : 0;
	bpf_probe_read_kernel(&ret_memory->mem, sizeof(ret_memory->mem), mem);
}

#endif
