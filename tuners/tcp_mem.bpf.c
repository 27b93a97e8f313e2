// SPDX-License-Identifier: GPL-2.0-or-later
/* Notices how much memory TCP has allocated, against tcp_mem: both are the whole machine's. */
#include "bpf/tuner.bpf.h"
#include "tuners/tcp_mem.h"

#define IPPROTO_TCP 6
#define LOOK_NS (10 * NSEC_PER_MSEC)
#define RATE_NS (100 * NSEC_PER_MSEC)
#define EASED_RATE_NS (1000 * NSEC_PER_MSEC)

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, BPFTUNE_EVENTS_BYTES);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BPFTUNE_NETNS_MAX);
	__type(key, __u64);
	__type(value, struct bpftune_gate);
} gates SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} lost SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8);
	__type(key, struct rate_key);
	__type(value, __u64);
} rates SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8);
	__type(key, struct bpftune_verdict_key);
	__type(value, struct tcp_mem_raised);
} verdicts SEC(".maps");

/* When the counter was last looked at. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} looked SEC(".maps");

const volatile __u16 tuner;
const volatile __u64 host_cookie;

static __always_inline void tell(__u16 scenario, const struct tcp_mem_use *use)
{
	/* For each value of tcp_mem: when a step is made, the next one need not wait. */
	struct rate_key key = { .netns_cookie = host_cookie, .instance = use->mem[2], .scenario = scenario };
	struct bpftune_event *event;

	if (tuner_is_off(&gates, host_cookie, tuner) ||
	    !rate_allows(&rates, &key, scenario == TCP_MEM_EASED ? EASED_RATE_NS : RATE_NS))
		return;
	event = event_reserve(&events, &lost, host_cookie, tuner, scenario);
	if (!event)
		return;
	*(struct tcp_mem_use *)event->payload = *use;
	bpf_ringbuf_submit(event, 0);
}

static __always_inline void read_use(const struct sock *sk, struct tcp_mem_use *ret_use)
{
	const struct proto *proto = BPF_CORE_READ(sk, __sk_common.skc_prot);
	const long *mem = BPF_CORE_READ(proto, sysctl_mem);
	long allocated = BPF_CORE_READ(proto, memory_allocated, counter);

	ret_use->allocated = allocated > 0 ? allocated : 0; /* reserves may make it negative */
	bpf_probe_read_kernel(&ret_use->mem, sizeof(ret_use->mem), mem);
}

static __always_inline _Bool is_eased(const struct tcp_mem_use *use)
{
	const struct bpftune_verdict_key key = { .netns_cookie = host_cookie };
	const struct tcp_mem_raised *raised = bpf_map_lookup_elem(&verdicts, &key);

	return raised && use->allocated < raised->eased_below_pages;
}

static __always_inline void look(const struct sock *sk)
{
	__u64 now = bpf_ktime_get_ns(), *last;
	struct tcp_mem_use use = {};
	__u32 zero = 0;

	last = bpf_map_lookup_elem(&looked, &zero);
	if (!last || now - *last < LOOK_NS)
		return;
	*last = now;
	read_use(sk, &use);
	if (use.allocated >= use.mem[1] - use.mem[1] / 4)
		tell(TCP_MEM_NEAR_PRESSURE, &use);
	else if (is_eased(&use))
		tell(TCP_MEM_EASED, &use);
}

SEC("sockops")
int tcp_mem_round_trip(struct bpf_sock_ops *ctx)
{
	struct tcp_sock *tp;

	switch (ctx->op) {
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_RTT_CB_FLAG);
		break;
	case BPF_SOCK_OPS_RTT_CB:
		tp = ctx->sk ? bpf_skc_to_tcp_sock(ctx->sk) : NULL;
		if (tp)
			look((const struct sock *)tp);
		break;
	}
	return 1;
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
		tell(TCP_MEM_REFUSED, &use);
	return 0;
}

char _license[] SEC("license") = "GPL";
