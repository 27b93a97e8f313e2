// SPDX-License-Identifier: GPL-2.0-or-later
/* Notices listening sockets whose queues are full, once a connection rather than once a packet. */
#include "bpf/tuner.bpf.h"
#include "tuners/listen.h"

#define RATE_NS (500 * NSEC_PER_MSEC)

struct port_key {
	__u64 netns_cookie;
	__u64 port;
};

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
	__uint(max_entries, 1024);
	__type(key, struct port_key);
	__type(value, __u64);
} rates SEC(".maps");

/*
 * The address of the latest listening socket on each port. A new connection does not lead back to it. The socket may
 * be gone by the time it is looked at, so what is read there counts only if it still is that listener.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct port_key);
	__type(value, __u64);
} listeners SEC(".maps");

const volatile __u16 tuner;

static __always_inline _Bool is_listener(const struct sock *sk, const struct port_key *key)
{
	return BPF_CORE_READ(sk, __sk_common.skc_state) == TCP_LISTEN &&
	       BPF_CORE_READ(sk, __sk_common.skc_num) == key->port &&
	       BPF_CORE_READ(sk, __sk_common.skc_net.net, net_cookie) == key->netns_cookie;
}

static __always_inline void tell(const struct port_key *key, __u16 scenario, const struct listen_queue *queue)
{
	struct bpftune_event *event;

	if (tuner_is_off(&gates, key->netns_cookie, tuner) || !rate_allows(&rates, key, RATE_NS))
		return;
	event = event_reserve(&events, &lost, key->netns_cookie, tuner, scenario);
	if (!event)
		return;
	*(struct listen_queue *)event->payload = *queue;
	bpf_ringbuf_submit(event, 0);
}

/*
 * The kernel drops a SYN when more than max_len connections wait for accept(2), or max_len handshakes are
 * under way; without syncookies already when three quarters of max_syn_backlog are: net/ipv4/tcp_input.c:
 * tcp_conn_request().
 */
static __always_inline void look(const struct sock *sk, const struct port_key *key)
{
	const struct inet_connection_sock *icsk = (const struct inet_connection_sock *)sk;
	const struct net *net = BPF_CORE_READ(sk, __sk_common.skc_net.net);
	struct listen_queue queue = { .port = key->port };

	queue.accept_len = BPF_CORE_READ(sk, sk_ack_backlog);
	queue.max_len = BPF_CORE_READ(sk, sk_max_ack_backlog);
	queue.syn_len = BPF_CORE_READ(icsk, icsk_accept_queue.qlen.counter);
	queue.somaxconn = BPF_CORE_READ(net, core.sysctl_somaxconn);
	queue.max_syn_backlog = BPF_CORE_READ(net, ipv4.sysctl_max_syn_backlog);
	queue.syncookies = BPF_CORE_READ(net, ipv4.sysctl_tcp_syncookies);
	if (queue.accept_len > queue.max_len)
		tell(key, LISTEN_ACCEPT_QUEUE_FULL, &queue);
	else if (queue.syn_len && (queue.syn_len >= queue.max_len - queue.max_len / 4 ||
				   (!queue.syncookies && queue.syn_len >= queue.max_syn_backlog / 2)))
		tell(key, LISTEN_SYN_QUEUE_FULL, &queue);
}

SEC("sockops")
int listen_connection(struct bpf_sock_ops *ctx)
{
	struct port_key key = {};
	struct tcp_sock *tp;
	__u64 *found, address;
	struct sock *sk;

	if (ctx->op != BPF_SOCK_OPS_TCP_LISTEN_CB && ctx->op != BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
		return 1;
	tp = ctx->sk ? bpf_skc_to_tcp_sock(ctx->sk) : NULL;
	if (!tp)
		return 1;
	sk = (struct sock *)tp;
	key.netns_cookie = sk->__sk_common.skc_net.net->net_cookie;
	key.port = sk->__sk_common.skc_num;
	if (ctx->op == BPF_SOCK_OPS_TCP_LISTEN_CB) {
		address = (__u64)sk;
		bpf_map_update_elem(&listeners, &key, &address, BPF_ANY);
		return 1;
	}
	found = bpf_map_lookup_elem(&listeners, &key);
	if (found && is_listener((struct sock *)*found, &key))
		look((struct sock *)*found, &key);
	return 1;
}

/*
 * A handshake that does not complete within a second: the client is gone or never was, or its last
 * packet found the accept queue full. It leads to listeners from before we started, too.
 */
SEC("raw_tp/tcp_retransmit_synack")
int listen_synack(struct bpf_raw_tracepoint_args *ctx)
{
	const struct sock *sk = (const struct sock *)ctx->args[0];
	struct port_key key = {
		.netns_cookie = BPF_CORE_READ(sk, __sk_common.skc_net.net, net_cookie),
		.port = BPF_CORE_READ(sk, __sk_common.skc_num),
	};
	__u64 address = (__u64)sk;

	if (!is_listener(sk, &key))
		return 0;
	bpf_map_update_elem(&listeners, &key, &address, BPF_NOEXIST);
	look(sk, &key);
	return 0;
}

char _license[] SEC("license") = "GPL";
