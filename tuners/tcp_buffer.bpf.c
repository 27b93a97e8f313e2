// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Notices flows that tcp_wmem[2] or tcp_rmem[2] holds back: as the kernel accounts it on the send
 * side (tcp_sock.chrono_stat), as the window shows it on the receive side.
 */
#include "bpf/tuner.bpf.h"
#include "tuners/tcp_buffer.h"

#define AF_INET 2
#define AF_INET6 10
#define RATE_MIN_NS (100 * NSEC_PER_MSEC)

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
	__uint(max_entries, 4096);
	__type(key, struct rate_key);
	__type(value, __u64);
} rates SEC(".maps");

/* A socket's send-side account at the last look, both in jiffies. */
struct chrono {
	__u32 looked_at;
	__u32 sndbuf_limited;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct chrono);
} chronos SEC(".maps");

/* Whose cgroup the container's program is attached to: written by the supervisor at attach. */
struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_STORAGE);
	__type(key, struct bpf_cgroup_storage_key);
	__type(value, __u64); /* instance id */
} instance_ids SEC(".maps");

const volatile __u16 tuner;

static __always_inline void tell(struct sock *sk, __u64 cookie, __u64 instance, __u16 scenario,
				 const struct tcp_buffer_limited *limited)
{
	struct rate_key key = { .netns_cookie = cookie, .instance = instance, .scenario = scenario };
	__u64 two_round_trips_ns = 2 * NSEC_PER_USEC * limited->srtt_us;
	struct bpftune_event *event;
	long *tcp_mem;

	if (tuner_is_off(&gates, cookie, tuner) ||
	    !rate_allows(&rates, &key, two_round_trips_ns > RATE_MIN_NS ? two_round_trips_ns : RATE_MIN_NS))
		return;
	event = event_reserve(&events, &lost, cookie, tuner, scenario);
	if (!event)
		return;
	event->instance = instance;
	struct tcp_buffer_limited *payload = (struct tcp_buffer_limited *)event->payload;

	*payload = *limited;
	tcp_mem = BPF_CORE_READ(sk, __sk_common.skc_prot, sysctl_mem);
	bpf_probe_read_kernel(&payload->mem_pressure_pages, sizeof(long), &tcp_mem[1]);
	bpf_ringbuf_submit(event, 0);
}

/*
 * The percentage of the time since the last look that this socket's sender spent with data to send,
 * a window to send it in and no buffer space to keep it in: net/ipv4/tcp_output.c:
 * tcp_cwnd_validate(). 0 at the first look.
 */
static __always_inline __u32 sndbuf_limited_percent(struct tcp_sock *tp)
{
	__u32 now = bpf_jiffies64(), limited = tp->chrono_stat[TCP_CHRONO_SNDBUF_LIMITED - 1];
	struct chrono *chrono, last;

	/* two bits of a byte up to 6.17, a byte of its own since */
	if (BPF_CORE_READ_BITFIELD(tp, chrono_type) == TCP_CHRONO_SNDBUF_LIMITED)
		limited += now - tp->chrono_start;
	chrono = bpf_sk_storage_get(&chronos, tp, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!chrono)
		return 0;
	last = *chrono;
	if (now == last.looked_at)
		return 0;
	chrono->looked_at = now;
	chrono->sndbuf_limited = limited;
	return last.looked_at ? 100 * (limited - last.sndbuf_limited) / (now - last.looked_at) : 0;
}

static __always_inline void look_at_sender(struct bpf_sock_ops *ctx, __u64 instance)
{
	struct tcp_buffer_limited limited = {};
	struct tcp_sock *tp;
	struct sock *sk;
	struct net *net;

	if (!ctx->sk)
		return;
	tp = bpf_skc_to_tcp_sock(ctx->sk);
	if (!tp)
		return;
	sk = (struct sock *)tp;
	net = sk->__sk_common.skc_net.net;
	limited.limit_bytes = net->ipv4.sysctl_tcp_wmem[2];
	limited.size_bytes = sk->sk_sndbuf;
	if (limited.size_bytes < limited.limit_bytes ||
	    BPF_CORE_READ_BITFIELD(sk, sk_userlocks) & SOL_SOCKET_USERLOCK_SNDBUF)
		return;
	limited.limited_percent = sndbuf_limited_percent(tp);
	if (limited.limited_percent < 10)
		return;
	limited.srtt_us = tp->srtt_us >> 3;
	tell(sk, net->net_cookie, instance, TCP_BUFFER_SEND_LIMITED, &limited);
}

static __always_inline void handle(struct bpf_sock_ops *ctx, __u64 instance)
{
	switch (ctx->op) {
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_RTT_CB_FLAG);
		break;
	case BPF_SOCK_OPS_RTT_CB:
		look_at_sender(ctx, instance);
		break;
	}
}

SEC("sockops")
int tcp_buffer_sender(struct bpf_sock_ops *ctx)
{
	handle(ctx, 0);
	return 1;
}

/*
 * Attached to the cgroup of each container, and run before the root's (kernel/bpf/cgroup.c:
 * compute_effective_progs()): that one then finds that the socket was looked at just now, and is silent.
 */
SEC("sockops")
int tcp_buffer_sender_container(struct bpf_sock_ops *ctx)
{
	__u64 *instance = bpf_get_local_storage(&instance_ids, 0);

	if (*instance)
		handle(ctx, *instance);
	return 1;
}

/*
 * Fires for every read that takes data; the kernel itself looks once a round trip, and so do we:
 * net/ipv4/tcp_input.c: tcp_rcv_space_adjust(). The limit is in the way when the buffer has grown to
 * it, a round trip brings a window's worth of data, and the application has read nearly all of it.
 */
SEC("raw_tp/tcp_rcv_space_adjust")
int tcp_buffer_receiver(struct bpf_raw_tracepoint_args *ctx)
{
	struct sock *sk = (struct sock *)ctx->args[0];
	struct tcp_sock *tp = (struct tcp_sock *)sk;
	struct net *net = BPF_CORE_READ(sk, __sk_common.skc_net.net);
	struct tcp_buffer_limited limited = {};
	__u32 copied_seq, copied, window;
	__u64 now_us;

	limited.size_bytes = BPF_CORE_READ(sk, sk_rcvbuf);
	limited.limit_bytes = BPF_CORE_READ(net, ipv4.sysctl_tcp_rmem[2]);
	if (limited.size_bytes < limited.limit_bytes)
		return 0;
	limited.srtt_us = BPF_CORE_READ(tp, rcv_rtt_est.rtt_us) >> 3;
	now_us = bpf_ktime_get_ns() / NSEC_PER_USEC;
	if (!limited.srtt_us || now_us - BPF_CORE_READ(tp, rcvq_space.time) < limited.srtt_us)
		return 0;
	if (BPF_CORE_READ_BITFIELD_PROBED(sk, sk_userlocks) & SOL_SOCKET_USERLOCK_RCVBUF)
		return 0;
	copied_seq = BPF_CORE_READ(tp, copied_seq);
	copied = copied_seq - BPF_CORE_READ(tp, rcvq_space.seq);
	window = BPF_CORE_READ(tp, rcv_wnd);
	if (copied < window / 4 * 3 || BPF_CORE_READ(tp, rcv_nxt) - copied_seq > window / 4)
		return 0;
	limited.copied_bytes = copied;
	limited.window_bytes = window;
	tell(sk, BPF_CORE_READ(net, net_cookie), 0, TCP_BUFFER_RECEIVE_LIMITED, &limited);
	return 0;
}

char _license[] SEC("license") = "GPL";
