// SPDX-License-Identifier: GPL-2.0-or-later
/* Notices listening sockets whose queues are full, once a connection rather than once a packet. */
#include "bpf/tuner.bpf.h"
#include <bpf/bpf_endian.h>
#include "tuners/listen.h"

#define AF_INET6 10
#define RATE_NS (500 * NSEC_PER_MSEC)

struct port_key {
	__u64 netns_cookie;
	__u64 port;
};

struct address_key {
	struct port_key port;
	__u32 address[4];
};

/* The latest listening socket on a port. */
struct listener {
	__u64 sk;
	__u64 is_one_of_many; /* another address has had a listener on that port, too: which one is in `addressed` */
};

/*
 * The addresses of listening sockets' structures: a new connection does not lead back to its listener. The socket may be
 * gone by the time it is looked at, so what is read there counts only if it still is that listener.
 */
MAP(listeners, BPF_MAP_TYPE_LRU_HASH, 8192, struct port_key, struct listener);
MAP(addressed, BPF_MAP_TYPE_LRU_HASH, 2048, struct address_key, __u64);

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

/* The socket's own address. */
static __always_inline void read_address(const struct sock *sk, __u32 address[4])
{
	if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET6 &&
	    bpf_core_field_exists(sk->__sk_common.skc_v6_rcv_saddr)) {
		bpf_probe_read_kernel(address, 4 * sizeof(*address), &sk->__sk_common.skc_v6_rcv_saddr);
		return;
	}
	address[0] = address[1] = 0;
	address[2] = bpf_htonl(0xffff);
	address[3] = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
}

static __always_inline _Bool has_address(const struct sock *sk, const __u32 address[4])
{
	__u32 own[4] = {};

	read_address(sk, own);
	return own[0] == address[0] && own[1] == address[1] && own[2] == address[2] && own[3] == address[3];
}

static __always_inline const struct sock *find_at(const struct address_key *key)
{
	__u64 *found = bpf_map_lookup_elem(&addressed, key);

	if (!found || !is_listener((const struct sock *)*found, &key->port) ||
	    !has_address((const struct sock *)*found, key->address))
		return NULL;
	return (const struct sock *)*found;
}

/* As the kernel does: who listens at this address, else at any; net/ipv4/inet_hashtables.c: __inet_lookup_listener(). */
static __always_inline const struct sock *find_by_address(const struct sock *sk, const struct port_key *port)
{
	struct address_key key = { .port = *port };
	const struct sock *found;

	read_address(sk, key.address);
	found = find_at(&key);
	if (found)
		return found;
	key.address[3] = 0;
	if (key.address[0] || key.address[1] || key.address[2] != bpf_htonl(0xffff))
		key.address[0] = key.address[1] = key.address[2] = 0;
	found = find_at(&key);
	if (found || !key.address[2])
		return found;
	key.address[2] = 0; /* one of IPv6 that takes IPv4, too */
	return find_at(&key);
}

static __always_inline void note_listener(const struct sock *sk, const struct port_key *port, __u64 flags)
{
	const struct listener *known = bpf_map_lookup_elem(&listeners, port);
	struct listener listener = { .sk = (__u64)sk };
	struct address_key key = { .port = *port };

	read_address(sk, key.address);
	if (known && known->sk != listener.sk)
		listener.is_one_of_many = known->is_one_of_many || (is_listener((const struct sock *)known->sk, port) &&
								    !has_address((const struct sock *)known->sk, key.address));
	else if (known)
		listener.is_one_of_many = known->is_one_of_many;
	bpf_map_update_elem(&addressed, &key, &listener.sk, flags);
	if (flags == BPF_ANY || !known || listener.is_one_of_many != known->is_one_of_many)
		bpf_map_update_elem(&listeners, port, &listener, BPF_ANY);
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
	__u64 about;
	__u16 scenario;

	queue.accept_len = READ(struct sock, sk, sk_ack_backlog);
	queue.max_len = READ(struct sock, sk, sk_max_ack_backlog);
	queue.syn_len = READ(struct inet_connection_sock, sk, icsk_accept_queue.qlen.counter);
	if (queue.accept_len <= queue.max_len && !queue.syn_len)
		return;
	net = READ(struct sock, sk, __sk_common.skc_net.net);
	queue.somaxconn = READ(struct net, net, core.sysctl_somaxconn);
	queue.max_syn_backlog = READ(struct net, net, ipv4.sysctl_max_syn_backlog);
	queue.syncookies = READ(struct net, net, ipv4.sysctl_tcp_syncookies);
	read_address(sk, queue.address);
	about = (__u64)(queue.address[0] ^ queue.address[1] ^ queue.address[2] ^ queue.address[3]) << 32 | key->port;
	if (queue.accept_len > queue.max_len)
		scenario = LISTEN_ACCEPT_QUEUE_FULL;
	else if (queue.syn_len >= queue.max_len - queue.max_len / 4 ||
		 (!queue.syncookies && queue.syn_len >= queue.max_syn_backlog / 2))
		scenario = LISTEN_SYN_QUEUE_FULL;
	else
		return;
	emit_of(sk, about, scenario, &queue, sizeof(queue), RATE_NS);
}

ON_LISTEN(listen_begins)
{
	const struct sock *sk = (const struct sock *)tcp_sock_seen(ctx);
	struct port_key key;

	if (!sk)
		return;
	key = port_key_of(sk);
	note_listener(sk, &key, BPF_ANY);
}

ON_ACCEPT(listen_accepts)
{
	const struct sock *sk = (const struct sock *)tcp_sock_seen(ctx);
	const struct listener *found;
	const struct sock *listener;
	struct port_key key;

	if (!sk)
		return;
	key = port_key_of(sk);
	found = bpf_map_lookup_elem(&listeners, &key);
	if (!found)
		return;
	listener = found->is_one_of_many ? find_by_address(sk, &key) : (const struct sock *)found->sk;
	if (listener && is_listener(listener, &key))
		look(listener, &key);
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

	if (!is_listener(sk, &key))
		return 0;
	note_listener(sk, &key, BPF_NOEXIST);
	look(sk, &key);
	return 0;
}
