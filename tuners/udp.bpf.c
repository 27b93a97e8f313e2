// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Notices UDP sockets that lose datagrams: as the receive buffer is full, whose size nobody has chosen, or for want of
 * UDP's memory. Gives sockets the receive buffer that the worker has decided on for their port.
 */
#include "bpf/tcp_memory.bpf.h"
#include "bpf/tuner.bpf.h"
#include "tuners/udp.h"
#include <bpf/bpf_endian.h>

#define SOL_SOCKET 1 /* include/uapi/asm-generic/socket.h */
#define SO_RCVBUF 8
#define IPPROTO_UDP 17
#define RATE_NS (100 * NSEC_PER_MSEC)

const volatile __u32 page_bytes;

VERDICTS(BPFTUNE_VERDICTS_MAX, struct udp_verdict);

/* A socket that a verdict has given its size. */
struct sized {
	__u32 asked_bytes, size_bytes;
};

SK_STORAGE(sized, 0, struct sized);

struct port_key {
	__u64 netns_cookie, instance;
	__u32 port, zero;
};

/* For raw tracepoints, which do not get at a socket's storage. */
struct port {
	__u64 drops, told_ns;
	__u32 sized_bytes; /* what a verdict has last given to a socket; 0: nothing */
	__u32 zero;
};

MAP(ports, BPF_MAP_TYPE_LRU_HASH, 4096, struct port_key, struct port);

static __always_inline struct port *port_of(const struct port_key *key)
{
	struct port *port = bpf_map_lookup_elem(&ports, key);
	const struct port none = {};

	if (port)
		return port;
	bpf_map_update_elem(&ports, key, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&ports, key);
}

static __always_inline void tell(const struct port_key *key, __u16 scenario, const struct udp_socket *socket)
{
	struct bpftune_event *event;

	if (tuner_is_off(key->netns_cookie))
		return;
	event = tuner_event(key->netns_cookie, key->instance, scenario);
	if (!event)
		return;
	event->key_bytes = sizeof(socket->port);
	*(struct udp_socket *)event->payload = *socket;
	bpf_ringbuf_submit(event, 0);
}

ON_UDP_DROP(udp_dropped)
{
	const struct sock *sk = (const struct sock *)ctx->args[1];
	__u8 locks = BPF_CORE_READ_BITFIELD_PROBED(sk, sk_userlocks);
	struct udp_socket socket = {};
	struct port_key key = {};
	const struct net *net;
	struct port *port;
	__u64 now_ns;

	if (!(locks & SOL_SOCKET_USERLOCK_BINDPORT))
		return;
	net = READ(struct sock, sk, __sk_common.skc_net.net);
	key.netns_cookie = READ(struct net, net, net_cookie);
	key.instance = sharer_of(sk, key.netns_cookie);
	key.port = READ(struct sock, sk, __sk_common.skc_num);
	port = port_of(&key);
	socket.size_bytes = READ(struct sock, sk, sk_rcvbuf);
	if (!port || ((locks & SOL_SOCKET_USERLOCK_RCVBUF) && socket.size_bytes != port->sized_bytes))
		return; /* the application's own size */
	__sync_fetch_and_add(&port->drops, udp_drops_told(sk));
	now_ns = bpf_ktime_get_ns();
	if (now_ns - port->told_ns < RATE_NS)
		return;
	port->told_ns = now_ns;
	socket.port = key.port;
	socket.drops = port->drops;
	tell(&key, UDP_BUFFER_FULL, &socket);
}

/* UDP as a whole, not a socket or its cgroup, is at the limit: net/core/sock.c: __sk_mem_raise_allocated(). */
SEC("raw_tp/sock_exceed_buf_limit")
int udp_refused(struct bpf_raw_tracepoint_args *ctx)
{
	const struct sock *sk = (const struct sock *)ctx->args[0];
	struct tcp_memory memory = {};
	struct udp_memory use = {};

	if (BPF_CORE_READ(sk, sk_protocol) != IPPROTO_UDP)
		return 0;
	read_tcp_memory(sk, page_bytes, &memory);
	if (memory.allocated < memory.mem[0] - memory.mem[0] / 4)
		return 0;
	use.allocated = memory.allocated;
	__builtin_memcpy(use.mem, memory.mem, sizeof(use.mem));
	if (!tuner_is_off(host_cookie))
		emit(BPF_CORE_READ(sk, __sk_common.skc_net.net, net_cookie), use.mem[2], UDP_MEMORY_FULL, &use,
		     sizeof(use), RATE_NS);
	return 0;
}

/* A larger size for those whose size nobody has chosen, another for those that have theirs from us. */
static __always_inline _Bool takes(const struct sock *sk, const struct sized *own, __u32 asked_bytes)
{
	__u32 size_bytes = BPF_CORE_READ(sk, sk_rcvbuf);

	if (own && own->size_bytes == size_bytes)
		return own->asked_bytes != asked_bytes;
	return !(BPF_CORE_READ_BITFIELD_PROBED(sk, sk_userlocks) & SOL_SOCKET_USERLOCK_RCVBUF) &&
	       asked_bytes > size_bytes;
}

static __always_inline int give_size(struct bpf_sock_addr *ctx, __u32 number)
{
	struct bpftune_verdict_key verdict_key = {};
	struct udp_socket socket = { .port = number };
	struct port_key key = { .port = number };
	const struct udp_verdict *verdict;
	struct sized *own, now = {};
	struct port *port;
	struct sock *sk;
	int asked;

	if (!ctx->sk)
		return 1;
	sk = BPF_CORE_READ((struct bpf_sock_addr_kern *)ctx, sk);
	verdict_key.netns_cookie = key.netns_cookie = bpf_get_netns_cookie(ctx);
	verdict_key.instance = key.instance = sharer_of(sk, key.netns_cookie);
	*(__u32 *)verdict_key.key = number;
	verdict = bpf_map_lookup_elem(&verdicts, &verdict_key);
	if (!verdict)
		return 1;
	now.asked_bytes = verdict->size_bytes;
	if (!takes(sk, bpf_sk_storage_get(&sized, ctx->sk, NULL, 0), now.asked_bytes))
		return 1;
	asked = now.asked_bytes / 2;
	if (bpf_setsockopt(ctx, SOL_SOCKET, SO_RCVBUF, &asked, sizeof(asked)))
		return 1;
	now.size_bytes = BPF_CORE_READ(sk, sk_rcvbuf);
	own = bpf_sk_storage_get(&sized, ctx->sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	port = port_of(&key);
	if (!own || !port)
		return 1;
	*own = now;
	port->sized_bytes = now.size_bytes;
	socket.size_bytes = now.size_bytes;
	socket.asked_bytes = now.asked_bytes;
	socket.drops = port->drops;
	tell(&key, UDP_SOCKET_SIZED, &socket);
	return 1;
}

static __always_inline _Bool has_size(struct bpf_sock_addr *ctx)
{
	return ctx->protocol == IPPROTO_UDP && has_verdicts(bpf_get_netns_cookie(ctx));
}

SEC("cgroup/bind4")
int udp_bind4(struct bpf_sock_addr *ctx)
{
	return has_size(ctx) ? give_size(ctx, bpf_ntohs((__u16)ctx->user_port)) : 1;
}

SEC("cgroup/bind6")
int udp_bind6(struct bpf_sock_addr *ctx)
{
	return has_size(ctx) ? give_size(ctx, bpf_ntohs((__u16)ctx->user_port)) : 1;
}

/* A socket that is in use: the supervisor attaches these for a while when a verdict is new. */
static __always_inline int received(struct bpf_sock_addr *ctx)
{
	if (!has_size(ctx))
		return 1;
	return give_size(ctx, BPF_CORE_READ((struct bpf_sock_addr_kern *)ctx, sk, __sk_common.skc_num));
}

SEC("cgroup/recvmsg4")
int udp_recvmsg4(struct bpf_sock_addr *ctx)
{
	return received(ctx);
}

SEC("cgroup/recvmsg6")
int udp_recvmsg6(struct bpf_sock_addr *ctx)
{
	return received(ctx);
}
