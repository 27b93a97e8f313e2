// SPDX-License-Identifier: GPL-2.0-or-later
/* Notices how much memory TCP has allocated, against tcp_mem: both are the whole machine's. */
#include "bpf/tcp_memory.bpf.h"
#include "bpf/tuner.bpf.h"
#include "tuners/tcp_mem.h"

#define IPPROTO_TCP 6
#define RATE_NS (100 * NSEC_PER_MSEC)
#define RATE_OF_ALL_NS (5 * NSEC_PER_MSEC) /* however many namespaces there are */
#define EASED_RATE_NS (1000 * NSEC_PER_MSEC)
#define UNCHARGED_RATE_NS (1000 * NSEC_PER_MSEC)

const volatile __u32 page_bytes;

VERDICTS(8, struct tcp_mem_raised);

/* No cgroup pays for the memory of this container's socket: only the kernel can tell the host's worker so. */
static __always_inline void tell_if_uncharged(const struct sock *sk, __u64 cookie, __u64 instance, const struct tcp_mem_use *use)
{
	_Bool is_charged = bpf_core_field_exists(sk->sk_memcg) && BPF_CORE_READ(sk, sk_memcg);

	if ((cookie != host_cookie || instance) && !is_charged)
		emit(host_cookie, 0, TCP_MEM_UNCHARGED, use, sizeof(*use), UNCHARGED_RATE_NS);
}

/* For each value of tcp_mem: when a step is made, the next one need not wait. */
static __always_inline void tell(const struct sock *sk, __u16 scenario, const struct tcp_mem_use *use)
{
	__u64 cookie = BPF_CORE_READ(sk, __sk_common.skc_net.net, net_cookie);
	struct bpftune_event *event;
	__u64 instance;

	if (tuner_is_off(host_cookie) || tuner_is_off(cookie) || !rate_allows(cookie, use->mem[2], scenario, RATE_NS) ||
	    !rate_allows(0, use->mem[2], scenario, RATE_OF_ALL_NS))
		return;
	instance = sharer_of(sk, cookie);
	tell_if_uncharged(sk, cookie, instance, use);
	event = tuner_event(cookie, instance, scenario);
	if (!event)
		return;
	*(struct tcp_mem_use *)event->payload = *use;
	bpf_ringbuf_submit(event, 0);
}

static __always_inline void read_use(const struct sock *sk, struct tcp_mem_use *ret_use)
{
	struct tcp_memory memory = {};

	read_tcp_memory(sk, page_bytes, &memory);
	ret_use->allocated = memory.allocated;
	__builtin_memcpy(ret_use->mem, memory.mem, sizeof(ret_use->mem));
}

static __always_inline _Bool is_eased(const struct tcp_mem_use *use)
{
	const struct bpftune_verdict_key key = { .netns_cookie = host_cookie };
	const struct tcp_mem_raised *raised = bpf_map_lookup_elem(&verdicts, &key);

	return raised && use->allocated < raised->eased_below_pages;
}

ON_LOOK(tcp_mem_look)
{
	struct tcp_sock *tp = tcp_sock_of(ctx);
	struct tcp_mem_use use = {};

	if (!tp)
		return;
	read_use((struct sock *)tp, &use);
	if (use.allocated >= use.mem[1] - use.mem[1] / 4)
		tell((struct sock *)tp, TCP_MEM_NEAR_PRESSURE, &use);
	else if (is_eased(&use))
		emit(host_cookie, use.mem[2], TCP_MEM_EASED, &use, sizeof(use), EASED_RATE_NS);
}

/* Memory is refused to a socket: net/core/sock.c: __sk_mem_raise_allocated(). */
SEC("raw_tp/sock_exceed_buf_limit")
int tcp_mem_refused(struct bpf_raw_tracepoint_args *ctx)
{
	const struct sock *sk = (const struct sock *)ctx->args[0];
	struct tcp_mem_use use = {};

	if (BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP)
		return 0;
	read_use(sk, &use);
	/* Otherwise it is its cgroup's memory, or its own buffer, that is at its end. */
	if (use.allocated >= use.mem[1] - use.mem[1] / 4)
		tell(sk, TCP_MEM_REFUSED, &use);
	return 0;
}
