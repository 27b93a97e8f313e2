// SPDX-License-Identifier: GPL-2.0-or-later
/* Notices listening sockets whose queues are full, once a connection rather than once a packet. */
#include "bpf/tuner.bpf.h"
#include "tuners/listen.h"

#define RATE_NS (500 * NSEC_PER_MSEC)

struct port_key {
	__u64 netns_cookie;
	__u64 port;
};

/*
 * The address of the latest listening socket on each port. A new connection does not lead back to it. The socket may
 * be gone by the time it is looked at, so what is read there counts only if it still is that listener.
 */
MAP(listeners, BPF_MAP_TYPE_LRU_HASH, 8192, struct port_key, __u64);

static __always_inline struct port_key port_key_of(const struct sock *sk)
{
	const struct net *net = READ(struct sock, sk, __sk_common.skc_net.net);

	return (struct port_key){ READ(struct net, net, net_cookie), READ(struct sock, sk, __sk_common.skc_num) };
}

static __always_inline _Bool is_listener(const struct sock *sk, const struct port_key *key)
{
	struct port_key now = port_key_of(sk);

	return READ(struct sock, sk, __sk_common.skc_state) == TCP_LISTEN && now.port == key->port &&
	       now.netns_cookie == key->netns_cookie;
}

/*
 * The kernel drops a SYN when more than max_len connections wait for accept(2), or max_len handshakes are
 * under way; without syncookies already when three quarters of max_syn_backlog are: net/ipv4/tcp_input.c:
 * tcp_conn_request().
 */
static __always_inline void look(const struct sock *sk, const struct port_key *key)
{
	struct listen_queue queue = { .port = key->port };
	const struct net *net;
	_Bool is_accept_queue;

	queue.accept_len = READ(struct sock, sk, sk_ack_backlog);
	queue.max_len = READ(struct sock, sk, sk_max_ack_backlog);
	queue.syn_len = READ(struct inet_connection_sock, sk, icsk_accept_queue.qlen.counter);
	is_accept_queue = queue.accept_len > queue.max_len;
	if (!is_accept_queue && !queue.syn_len)
		return;
	net = READ(struct sock, sk, __sk_common.skc_net.net);
	queue.somaxconn = READ(struct net, net, core.sysctl_somaxconn);
	queue.max_syn_backlog = READ(struct net, net, ipv4.sysctl_max_syn_backlog);
	queue.syncookies = READ(struct net, net, ipv4.sysctl_tcp_syncookies);
	if (is_accept_queue)
		emit(key->netns_cookie, key->port, LISTEN_ACCEPT_QUEUE_FULL, &queue, sizeof(queue), RATE_NS);
	else if (queue.syn_len >= queue.max_len - queue.max_len / 4 ||
		 (!queue.syncookies && queue.syn_len >= queue.max_syn_backlog / 2))
		emit(key->netns_cookie, key->port, LISTEN_SYN_QUEUE_FULL, &queue, sizeof(queue), RATE_NS);
}

ON_LISTEN(listen_begins)
{
	const struct sock *sk = (const struct sock *)tcp_sock_seen(ctx);
	__u64 address = (__u64)sk;
	struct port_key key;

	if (!sk)
		return;
	key = port_key_of(sk);
	bpf_map_update_elem(&listeners, &key, &address, BPF_ANY);
}

ON_ACCEPT(listen_accepts)
{
	const struct sock *sk = (const struct sock *)tcp_sock_seen(ctx);
	struct port_key key;
	__u64 *found;

	if (!sk)
		return;
	key = port_key_of(sk);
	found = bpf_map_lookup_elem(&listeners, &key);
	if (found && is_listener((const struct sock *)*found, &key))
		look((const struct sock *)*found, &key);
}

/*
 * A handshake that does not complete within a second: the client is gone or never was, or its last
 * packet found the accept queue full. It leads to listeners from before we started, too.
 */
SEC("raw_tp/tcp_retransmit_synack")
int listen_synack(struct bpf_raw_tracepoint_args *ctx)
{
	const struct sock *sk = (const struct sock *)ctx->args[0];
	struct port_key key = port_key_of(sk);
	__u64 address = (__u64)sk;

	if (!is_listener(sk, &key))
		return 0;
	bpf_map_update_elem(&listeners, &key, &address, BPF_NOEXIST);
	look(sk, &key);
	return 0;
}
