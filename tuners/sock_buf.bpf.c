// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Notices what applications ask for by SO_SNDBUF and SO_RCVBUF, and sockets that such a size holds back. It changes no
 * call and fails none.
 */
#include "bpf/remote.bpf.h"
#include "bpf/receiver.bpf.h"
#include "bpf/sender.bpf.h"
#include "bpf/tuner.bpf.h"
#include "tuners/sock_buf.h"

#define SOL_SOCKET 1 /* include/uapi/asm-generic/socket.h */
#define SO_SNDBUF 7
#define SO_RCVBUF 8
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define PAGE_BYTES_MIN 4096
#define EPHEMERAL_MIN 32768   /* net.ipv4.ip_local_port_range as it comes */
#define WISH_BYTES_MIN 212992 /* no kernel's limit is below that by itself */
#define WISH_REPEAT_NS (10000 * NSEC_PER_MSEC)
#define WISHES_NS (250 * NSEC_PER_MSEC) /* for each more of a namespace, however they grow */
#define WISHES_BURST 8
#define WISHES_OF_ALL_NS (2 * NSEC_PER_MSEC)
#define WISHES_OF_ALL_BURST 256
#define TELL_NS (10000 * NSEC_PER_MSEC) /* of one socket */
#define LOOK_NS (1000 * NSEC_PER_MSEC)	/* long enough for a share of it to mean something */
#define TELL_MIN_PERCENT 25
#define RATE_NS (100 * NSEC_PER_MSEC)
#define DROPPED_MIN 16 /* datagrams; fewer are no flow's */
#define TELL_DROPPED_NS (1000 * NSEC_PER_MSEC)

/* The largest wish of a namespace that was told. */
struct reported {
	__u64 time_ns;
	__u64 asked_bytes;
	__u64 spent_to; /* spend() */
};

MAP(reported, BPF_MAP_TYPE_LRU_HASH, 1024, struct rate_key, struct reported);
MAP(wishes_of_all, BPF_MAP_TYPE_ARRAY, 1, __u32, __u64);

/* Who fixed the sizes of a socket; what accept(2) gives has its listener's, as it has the sizes. */
struct owner {
	struct sock_buf_wish send, receive;
};

SK_STORAGE(owners, BPF_F_CLONE, struct owner);

/*
 * The receive side again, by the socket's address, as a raw tracepoint does not get at a socket's storage, and what it
 * measures there. An entry may be of a socket that was there before, but must not be of another namespace's.
 */
struct receiver {
	__u64 netns_cookie;
	struct sock_buf_wish wish;
	__u32 filled_us; /* round trips that filled the window */
	__u64 since_ns, told_ns;
	__u64 counted_us; /* when the last of them began */
};

MAP(receivers, BPF_MAP_TYPE_LRU_HASH, 4096, __u64, struct receiver);

/*
 * UDP sockets whose receive buffer an application asked for, by address. An entry must not be taken for that of another
 * socket, to which udp has given a size, maybe: then nobody has asked for the larger one.
 */
struct datagrams {
	__u64 netns_cookie, told_ns;
	__u64 inode;
	struct sock_buf_wish wish;
	__u32 dropped; /* since it asked */
};

MAP(datagrams_of, BPF_MAP_TYPE_LRU_HASH, 1024, __u64, struct datagrams);

struct look {
	__u64 told_ns, looked_ns;
	__u32 looked_at, limited; /* jiffies */
	__u32 seen_at, waited;	  /* at each round trip; what the kernel did not account */
};

SK_STORAGE(looks, 0, struct look);

/* Or there were too many. */
static __always_inline _Bool is_reported(const struct rate_key *key, __u32 asked_bytes)
{
	struct reported now = { .time_ns = bpf_ktime_get_ns(), .asked_bytes = asked_bytes };
	struct reported *last = bpf_map_lookup_elem(&reported, key);
	__u32 zero = 0;
	__u64 *of_all = bpf_map_lookup_elem(&wishes_of_all, &zero);

	if (last && asked_bytes <= last->asked_bytes && now.time_ns - last->time_ns < WISH_REPEAT_NS)
		return 1;
	if (last)
		now.spent_to = last->spent_to;
	if (!spend(&now.spent_to, WISHES_NS, WISHES_BURST) ||
	    !of_all || !spend(of_all, WISHES_OF_ALL_NS, WISHES_OF_ALL_BURST))
		return 1;
	bpf_map_update_elem(&reported, key, &now, BPF_ANY);
	return 0;
}

/* Of a container that shares the host's namespace, and is the task's. */
static __always_inline __u64 sharer_of_task(struct task_struct *task, __u64 cookie)
{
	const struct bpftune_control *now = control_get();

	if (cookie != host_cookie || !now || !now->sharers)
		return 0;
	return sharer_of_cgroup(BPF_CORE_READ(task, cgroups, dfl_cgrp));
}

static __always_inline void tell_wish(__u64 cookie, __u64 instance, const struct sock_buf_wish *wish)
{
	struct rate_key key = { .netns_cookie = cookie, .scenario = wish->receive, .instance = (__u32)instance };
	struct bpftune_event *event;

	if (wish->asked_bytes < WISH_BYTES_MIN || tuner_is_off(cookie) ||
	    is_reported(&key, wish->asked_bytes))
		return;
	event = tuner_event(cookie, instance, SOCK_BUF_WISH_CUT);
	if (!event)
		return;
	event->pid = wish->pid;
	*(struct sock_buf_wish *)event->payload = *wish;
	bpf_ringbuf_submit(event, 0);
}

static __always_inline void remember_receiver(__u64 address, __u64 cookie, const struct sock_buf_wish *wish)
{
	struct receiver receiver = { .netns_cookie = cookie, .wish = *wish };

	bpf_map_update_elem(&receivers, &address, &receiver, BPF_ANY);
}

/* Which is no other's for as long as there are fewer than 2^32 new ones. 0: the application has closed it. */
static __always_inline __u64 inode_of(const struct sock *sk)
{
	const struct socket_alloc *socket = (const struct socket_alloc *)BPF_CORE_READ(sk, sk_socket);

	return BPF_CORE_READ(socket, vfs_inode.i_ino);
}

static __always_inline void remember_datagrams(const struct sock *sk, __u64 cookie, const struct sock_buf_wish *wish)
{
	struct datagrams datagrams = { .netns_cookie = cookie, .inode = inode_of(sk), .wish = *wish };
	__u64 address = (__u64)sk;

	bpf_map_update_elem(&datagrams_of, &address, &datagrams, BPF_ANY);
}

static __always_inline void wished(struct bpf_sockopt *ctx)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct sock_buf_wish wish = { .receive = ctx->optname == SO_RCVBUF };
	__u64 cookie = bpf_get_netns_cookie(ctx);
	void *value = ctx->optval;
	struct owner *owner;

	if (!ctx->sk || value + sizeof(int) > ctx->optval_end || *(int *)value <= 0)
		return;
	if (ctx->sk->family != AF_INET && ctx->sk->family != AF_INET6)
		return; /* udev's netlink socket, and whatever never leaves the machine */
	wish.asked_bytes = *(int *)value;
	wish.pid = BPF_CORE_READ(task, tgid);
	BPF_CORE_READ_STR_INTO(&wish.comm, task, comm);
	if (ctx->sk->protocol == IPPROTO_TCP) {
		owner = bpf_sk_storage_get(&owners, ctx->sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
		if (owner && wish.receive)
			owner->receive = wish;
		else if (owner)
			owner->send = wish;
		if (wish.receive) {
			note_fixed_receiver();
			remember_receiver((__u64)ctx->sk, cookie, &wish);
		}
	} else if (ctx->sk->protocol == IPPROTO_UDP && wish.receive && wish.asked_bytes >= WISH_BYTES_MIN) {
		remember_datagrams(BPF_CORE_READ((struct bpf_sockopt_kern *)ctx, sk), cookie, &wish);
	}
	tell_wish(cookie, sharer_of_task(task, cookie), &wish);
}

SEC("cgroup/setsockopt")
int sock_buf_setsockopt(struct bpf_sockopt *ctx)
{
	if (ctx->level == SOL_SOCKET && (ctx->optname == SO_SNDBUF || ctx->optname == SO_RCVBUF))
		wished(ctx);
	/* The kernel hands us one page at most, and fails a longer call unless told to take the caller's own. */
	if (ctx->optlen > PAGE_BYTES_MIN)
		ctx->optlen = 0;
	return 1;
}

static __always_inline void tell_fixed(const struct sock *sk, __u64 cookie, __u64 instance, __u16 scenario,
				       struct sock_buf_fixed *fixed)
{
	struct bpftune_event *event;

	if (tuner_is_off(cookie) || !rate_allows(cookie, instance, scenario, RATE_NS))
		return;
	event = tuner_event(cookie, instance, scenario);
	if (!event)
		return;
	fixed->port = local_port_of(sk);
	fixed->remote = fixed->port >= EPHEMERAL_MIN && remote_port_of(sk) < EPHEMERAL_MIN;
	if (fixed->remote)
		fixed->port = remote_port_of(sk);
	event->pid = fixed->wish.pid;
	*(struct sock_buf_fixed *)event->payload = *fixed;
	bpf_ringbuf_submit(event, 0);
}

static __always_inline __u32 percent_of(__u64 part, __u64 whole)
{
	return part < whole ? 100 * part / whole : 100;
}

/*
 * The share of the time since the last look, a second ago or more, spent waiting for room. A wait that the kernel does
 * not account lasts since data were last sent, or since it was counted.
 */
static __always_inline __u32 limited_percent(struct tcp_sock *tp, struct look *look, const struct flow *flow, __u64 now_ns)
{
	__u32 now = flow->jiffies, since = tp->lsndtime, limited;
	struct look last = *look;

	if ((__s32)(last.seen_at - since) > 0)
		since = last.seen_at;
	if (last.looked_ns && BPF_CORE_READ_BITFIELD(tp, chrono_type) != TCP_CHRONO_SNDBUF_LIMITED && waits_for_space(tp))
		last.waited += now - since;
	look->waited = last.waited;
	look->seen_at = now;
	if (now_ns - last.looked_ns < LOOK_NS || now == last.looked_at)
		return 0;
	limited = last.waited + flow->sndbuf_limited;
	look->looked_ns = now_ns;
	look->looked_at = now;
	look->limited = limited;
	return last.looked_ns ? percent_of(limited - last.limited, now - last.looked_at) : 0;
}

ON_LOOK(sock_buf_sender)
{
	struct tcp_sock *tp = tcp_sock_of(ctx);
	struct sock_buf_fixed fixed = {};
	struct owner *owner;
	struct flow *flow;
	struct look *look;
	struct sock *sk;
	__u64 now;

	if (!tp)
		return;
	sk = (struct sock *)tp;
	if (!is_fixed(sk, SOL_SOCKET_USERLOCK_SNDBUF))
		return;
	flow = look_of(tp);
	look = flow ? bpf_sk_storage_get(&looks, tp, NULL, BPF_SK_STORAGE_GET_F_CREATE) : NULL;
	if (!look)
		return;
	flow->is_limited = 1; /* as far as anybody knows */
	now = bpf_ktime_get_ns();
	fixed.limited_percent = limited_percent(tp, look, flow, now);
	if (fixed.limited_percent < TELL_MIN_PERCENT || (look->told_ns && now - look->told_ns < TELL_NS))
		return;
	look->told_ns = now;
	owner = bpf_sk_storage_get(&owners, tp, NULL, 0);
	if (owner)
		fixed.wish = owner->send;
	fixed.size_bytes = sk->sk_sndbuf;
	fixed.srtt_us = tp->srtt_us >> 3;
	if (tp->rate_interval_us)
		fixed.rate_bytes = 1000000ULL * tp->rate_delivered * tp->mss_cache / tp->rate_interval_us;
	tell_fixed(sk, cookie_of(sk), flow->instance, SOCK_BUF_SEND_FIXED, &fixed);
}

/* What accept(2) will give has its listener's sizes, but an address of its own. */
ON_START(sock_buf_accepted)
{
	struct tcp_sock *tp = ctx->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB ? tcp_sock_of(ctx) : NULL;
	struct sock_buf_wish wish;
	struct owner *owner;

	if (!tp || !is_fixed((struct sock *)tp, SOL_SOCKET_USERLOCK_RCVBUF))
		return;
	owner = bpf_sk_storage_get(&owners, tp, NULL, 0);
	if (!owner)
		return;
	wish = owner->receive;
	if (wish.asked_bytes)
		remember_receiver((__u64)tp, cookie_of((struct sock *)tp), &wish);
}

static __always_inline struct receiver *receiver_of(__u64 address, __u64 cookie)
{
	struct receiver *receiver = bpf_map_lookup_elem(&receivers, &address);
	const struct sock_buf_wish none = {};

	if (receiver && receiver->netns_cookie == cookie)
		return receiver;
	remember_receiver(address, cookie, &none);
	return bpf_map_lookup_elem(&receivers, &address);
}

/* The share of the time that round trips such as this one took, of a second or more. */
static __always_inline __u32 filled_percent(struct receiver *receiver, const struct reading *reading, __u64 now_ns)
{
	__u64 since_ns = receiver->since_ns, filled_us;

	if (receiver->counted_us == reading->since_us)
		return 0;
	receiver->counted_us = reading->since_us;
	if (now_ns - since_ns > 2 * LOOK_NS) {
		receiver->since_ns = since_ns = now_ns - reading->rtt_us * NSEC_PER_USEC;
		receiver->filled_us = 0;
	}
	receiver->filled_us += reading->rtt_us;
	if (now_ns - since_ns < LOOK_NS)
		return 0;
	filled_us = receiver->filled_us;
	receiver->since_ns = now_ns;
	receiver->filled_us = 0;
	return percent_of(filled_us * NSEC_PER_USEC, now_ns - since_ns);
}

ON_RCV_SPACE(sock_buf_receiver)
{
	struct sock *sk = (struct sock *)ctx->args[0];
	struct tcp_sock *tp = (struct tcp_sock *)sk;
	struct sock_buf_fixed fixed = {};
	struct reading reading = {};
	struct receiver *receiver;
	__u64 cookie, now_ns;

	if (!(BPF_CORE_READ_BITFIELD_PROBED(sk, sk_userlocks) & SOL_SOCKET_USERLOCK_RCVBUF))
		return;
	look_at_reading(tp, &reading);
	if (!reading.rtt_us || !reading.is_filled)
		return;
	cookie = BPF_CORE_READ(sk, __sk_common.skc_net.net, net_cookie);
	receiver = receiver_of((__u64)sk, cookie);
	if (!receiver)
		return;
	now_ns = bpf_ktime_get_ns();
	fixed.limited_percent = filled_percent(receiver, &reading, now_ns);
	if (fixed.limited_percent < TELL_MIN_PERCENT || (receiver->told_ns && now_ns - receiver->told_ns < TELL_NS))
		return;
	receiver->told_ns = now_ns;
	fixed.wish = receiver->wish;
	fixed.srtt_us = reading.rtt_us;
	fixed.copied_bytes = reading.bytes;
	fixed.window_bytes = reading.window;
	fixed.size_bytes = BPF_CORE_READ(sk, sk_rcvbuf);
	fixed.rate_bytes = 1000000ULL * reading.bytes / reading.rtt_us;
	tell_fixed(sk, cookie, sharer_of(sk, cookie), SOCK_BUF_RECEIVE_FIXED, &fixed);
}

static __always_inline void tell_dropped(const struct sock *sk, const struct datagrams *datagrams, __u32 size_bytes)
{
	__u64 cookie = datagrams->netns_cookie, instance = sharer_of(sk, cookie);
	struct sock_buf_dropped *dropped;
	struct bpftune_event *event;

	if (tuner_is_off(cookie) || !rate_allows(cookie, instance, SOCK_BUF_DATAGRAMS_DROPPED, RATE_NS))
		return;
	event = tuner_event(cookie, instance, SOCK_BUF_DATAGRAMS_DROPPED);
	if (!event)
		return;
	event->pid = datagrams->wish.pid;
	dropped = (struct sock_buf_dropped *)event->payload;
	dropped->wish = datagrams->wish;
	dropped->size_bytes = size_bytes;
	dropped->dropped = datagrams->dropped;
	dropped->port = local_port_of(sk);
	bpf_ringbuf_submit(event, 0);
}

ON_UDP_DROP(sock_buf_dropped)
{
	const struct sock *sk = (const struct sock *)ctx->args[1];
	__u64 address = (__u64)sk, now_ns;
	struct datagrams *datagrams;
	__u32 size_bytes;

	datagrams = bpf_map_lookup_elem(&datagrams_of, &address);
	if (!datagrams || BPF_CORE_READ(sk, __sk_common.skc_net.net, net_cookie) != datagrams->netns_cookie)
		return;
	size_bytes = BPF_CORE_READ(sk, sk_rcvbuf);
	if (size_bytes / 2 >= datagrams->wish.asked_bytes ||
	    !(BPF_CORE_READ_BITFIELD_PROBED(sk, sk_userlocks) & SOL_SOCKET_USERLOCK_RCVBUF) ||
	    inode_of(sk) != datagrams->inode)
		return; /* the wish was granted in full; or it is another socket */
	now_ns = bpf_ktime_get_ns();
	datagrams->dropped += udp_drops_told(sk);
	if (datagrams->dropped < DROPPED_MIN ||
	    (datagrams->told_ns && now_ns - datagrams->told_ns < TELL_DROPPED_NS))
		return;
	datagrams->told_ns = now_ns;
	tell_dropped(sk, datagrams, size_bytes);
}
