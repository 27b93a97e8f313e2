// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Tells how connections fare with their congestion control, and gives new ones the algorithm that the worker has
 * decided for their remote host. An application's own choice stands.
 */
#include "bpf/tuner.bpf.h"
#include "bpf/remote.bpf.h"
#include "tuners/tcp_cong.h"

#define IPPROTO_TCP 6
#define TCP_CONGESTION 13

#define LOOK_SEGS_MIN 16		/* fewer are over in two round trips */
#define TRIAL_SEGS_MIN 32		/* fewer tell nothing of a trial */
#define TRIAL_ROUND_TRIPS 8		/* between two looks at one */
#define TOLD_SEGS_MIN 64		/* fewer tell nothing of others */
#define LOOK_NS (1000 * NSEC_PER_MSEC)	/* between two looks at a connection */
#define AGAIN_NS (100 * NSEC_PER_MSEC)	/* until the next look after it was told of */
#define TELL_NS (5000 * NSEC_PER_MSEC)	/* a connection that lives on */
#define REMOTE_NS (100 * NSEC_PER_MSEC) /* a remote host */
#define INSTANCE_NS (10 * NSEC_PER_MSEC)
#define HEARD_NS (3600 * NSEC_PER_SEC) /* so long is a remote one that was heard of */
#define NEAR_US 1000		       /* below such a round trip only loss is worth telling */
#define NEAR_LOSS_PERMILLE 5

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

/* When a remote was last told of. Keyed as verdicts are. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct bpftune_verdict_key);
	__type(value, __u64);
} reported SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct bpftune_verdict_key);
	__type(value, struct tcp_cong_verdict);
} verdicts SEC(".maps");

/* A socket's counters at some moment. */
struct counters {
	__u64 time_ns;
	__u64 acked_bytes;
	__u32 jiffies;
	__u32 busy; /* jiffies */
	__u32 segs;
	__u32 retrans;
};

struct flow {
	__u64 instance;		  /* whose program looks after it; 0: the root's */
	__u64 look_ns;		  /* not before */
	struct counters chosen;	  /* when it got its algorithm */
	struct counters reported;	  /* when it was last told of */
	struct counters tried;	  /* when it, a trial, was last looked at */
	__u32 looks, app_limited; /* round trips since then, and those that the application did not fill */
	__u8 begun;
	__u8 choice; /* 1 + the algorithm that we gave it; 0: none */
	__u8 trial;
	__u32 trial_kbit; /* see struct tcp_cong_verdict */
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct flow);
} flows SEC(".maps");

/* Whose cgroup the container's program is attached to: written by the supervisor at attach. */
struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_STORAGE);
	__type(key, struct bpf_cgroup_storage_key);
	__type(value, __u64); /* instance id */
} instance_ids SEC(".maps");

const volatile __u16 tuner;
const volatile __u64 host_cookie;

/* As words, to compare. */
union name {
	char text[TCP_CONG_NAME_BYTES];
	__u64 words[TCP_CONG_NAME_BYTES / 8];
};

const volatile __u64 names[TCP_CONG_N][TCP_CONG_NAME_BYTES / 8]; /* by enum tcp_cong_algorithm */

/* --- what a socket has seen ---------------------------------------------------------------------- */

static __always_inline void algorithm_of(const struct tcp_sock *tp, union name *ret_name)
{
	const struct tcp_congestion_ops *ops = BPF_CORE_READ(tp, inet_conn.icsk_ca_ops);

	BPF_CORE_READ_INTO(&ret_name->text, ops, name);
}

static __always_inline void count(struct tcp_sock *tp, __u64 now_ns, struct counters *ret)
{
	ret->time_ns = now_ns;
	ret->jiffies = bpf_jiffies64();
	ret->acked_bytes = tp->bytes_acked;
	ret->segs = tp->data_segs_out;
	ret->retrans = tp->total_retrans - tp->dsack_dups;
	/* net/ipv4/tcp.c: tcp_get_info_chrono_stats() */
	ret->busy = tp->chrono_stat[TCP_CHRONO_BUSY - 1] + tp->chrono_stat[TCP_CHRONO_RWND_LIMITED - 1] +
		    tp->chrono_stat[TCP_CHRONO_SNDBUF_LIMITED - 1];
	if (BPF_CORE_READ_BITFIELD(tp, chrono_type) != TCP_CHRONO_UNSPEC)
		ret->busy += ret->jiffies - tp->chrono_start;
}

static __always_inline __u32 retrans_between(const struct counters *from, const struct counters *to)
{
	__s32 retrans = to->retrans - from->retrans;

	return retrans > 0 ? retrans : 0;
}

static __always_inline _Bool loses(const struct counters *from, const struct counters *to)
{
	__u32 segs = to->segs - from->segs, retrans = retrans_between(from, to);

	return segs >= TCP_CONG_SEGS_MIN && retrans >= TCP_CONG_RETRANS_MIN &&
	       1000ULL * retrans >= (__u64)TCP_CONG_LOSS_PERMILLE * segs;
}

/* The kernel counts the busy time in jiffies, whose length it does not tell; a share of them is of use. */
static __always_inline __u64 busy_us(const struct counters *from, const struct counters *to)
{
	__u64 us = (to->time_ns - from->time_ns) / NSEC_PER_USEC;
	__u32 all = to->jiffies - from->jiffies, busy = to->busy - from->busy;

	return busy < all ? us * busy / all : us;
}

/* --- verdicts ------------------------------------------------------------------------------------ */

static __always_inline _Bool verdict_key_of(const struct sock *sk, __u64 instance, struct bpftune_verdict_key *ret_key)
{
	__builtin_memset(ret_key, 0, sizeof(*ret_key));
	ret_key->netns_cookie = sk->__sk_common.skc_net.net->net_cookie;
	ret_key->instance = ret_key->netns_cookie == host_cookie ? instance : 0;
	return remote_of(sk, (struct remote *)ret_key->key);
}

/*
 * A remote's own verdict, or else the one for all others that were heard of. A crowd of remotes makes `reported` forget
 * those of other containers, which only spares these a trial.
 */
static __always_inline const struct tcp_cong_verdict *verdict_find(struct bpftune_verdict_key *key)
{
	const struct tcp_cong_verdict *verdict = bpf_map_lookup_elem(&verdicts, key);
	__u64 now_ns = bpf_ktime_get_ns(), *heard_ns;

	if (verdict && now_ns < verdict->valid_until_ns)
		return verdict;
	heard_ns = bpf_map_lookup_elem(&reported, key);
	if (!heard_ns || now_ns - *heard_ns > HEARD_NS)
		return NULL;
	__builtin_memset(key->key, 0, sizeof(key->key));
	return bpf_map_lookup_elem(&verdicts, key);
}

/* Our own earlier choice sets icsk_ca_setsockopt as an application's does: net/ipv4/tcp_cong.c. */
static __always_inline _Bool may_choose(struct tcp_sock *tp, const struct flow *flow)
{
	__u32 chosen = flow->choice - 1;
	union name now = {};

	if (!BPF_CORE_READ_BITFIELD(&tp->inet_conn, icsk_ca_setsockopt))
		return 1;
	if (chosen >= TCP_CONG_N)
		return 0;
	algorithm_of(tp, &now);
	return now.words[0] == names[chosen][0] && now.words[1] == names[chosen][1];
}

static __always_inline _Bool choose(struct bpf_sock_ops *ctx, struct flow *flow, __u32 algorithm)
{
	union name name;

	barrier_var(algorithm);
	if (algorithm >= TCP_CONG_N)
		return 0;
	name.words[0] = names[algorithm][0];
	name.words[1] = names[algorithm][1];
	if (bpf_setsockopt(ctx, IPPROTO_TCP, TCP_CONGESTION, &name, sizeof(name)))
		return 0;
	flow->choice = algorithm + 1;
	return 1;
}

/* One of a set, or TCP_CONG_N when it is empty. */
static __always_inline __u32 any_of(__u32 set)
{
	__u32 n = 0, nth;

	for (__u32 i = 0; i < TCP_CONG_N; i++)
		n += set >> i & 1;
	nth = n ? bpf_get_prandom_u32() % n : 0;
	for (__u32 i = 0; i < TCP_CONG_N; i++)
		if (set >> i & 1 && !nth--)
			return i;
	return TCP_CONG_N;
}

static __always_inline void choose_by(struct bpf_sock_ops *ctx, struct flow *flow,
				      const struct tcp_cong_verdict *verdict)
{
	if (verdict->one_in && bpf_get_prandom_u32() % verdict->one_in == 0) {
		flow->trial = choose(ctx, flow, any_of(verdict->trials));
		flow->trial_kbit = flow->trial ? verdict->trial_kbit : 0;
	} else if (verdict->choice) {
		choose(ctx, flow, verdict->choice - 1);
	}
}

/* --- telling ------------------------------------------------------------------------------------- */

static __always_inline _Bool worth_telling(struct tcp_sock *tp, const struct flow *flow, const struct counters *now)
{
	__u32 segs = now->segs - flow->reported.segs, retrans = retrans_between(&flow->reported, now);

	if (segs < (flow->trial ? TRIAL_SEGS_MIN : TOLD_SEGS_MIN))
		return 0;
	return tp->rtt_min.s[0].v >= NEAR_US || 1000ULL * retrans > (__u64)NEAR_LOSS_PERMILLE * segs;
}

static __always_inline _Bool remote_allows(const struct bpftune_verdict_key *key)
{
	struct rate_key rate = { .netns_cookie = key->netns_cookie, .instance = key->instance };

	return rate_allows(&reported, key, REMOTE_NS) && rate_allows(&rates, &rate, INSTANCE_NS);
}

static __always_inline _Bool tell(struct tcp_sock *tp, struct flow *flow, const struct counters *now)
{
	struct bpftune_verdict_key key;
	struct bpftune_event *event;
	struct tcp_cong_seen *seen;

	if (!worth_telling(tp, flow, now) || !verdict_key_of((struct sock *)tp, flow->instance, &key) ||
	    tuner_is_off(&gates, key.netns_cookie, tuner) || !remote_allows(&key))
		return 0;
	event = event_reserve(&events, &lost, key.netns_cookie, tuner, TCP_CONG_FLOW);
	if (!event)
		return 0;
	event->instance = flow->instance;
	seen = (struct tcp_cong_seen *)event->payload;
	__builtin_memcpy(&seen->remote, key.key, sizeof(seen->remote));
	algorithm_of(tp, (union name *)seen->algorithm);
	seen->acked_bytes = now->acked_bytes - flow->reported.acked_bytes;
	seen->busy_us = busy_us(&flow->reported, now);
	seen->segs = now->segs - flow->reported.segs;
	seen->retrans = retrans_between(&flow->reported, now);
	seen->min_rtt_us = tp->rtt_min.s[0].v;
	seen->srtt_us = tp->srtt_us >> 3;
	seen->app_limited_percent = flow->looks ? 100ULL * flow->app_limited / flow->looks : 0;
	seen->decided = bpf_map_lookup_elem(&verdicts, &key) != NULL;
	bpf_ringbuf_submit(event, 0);
	flow->reported = *now;
	flow->looks = flow->app_limited = 0;
	return 1;
}

/* --- the life of a connection -------------------------------------------------------------------- */

static __always_inline _Bool is_loopback(const struct bpftune_verdict_key *key)
{
	const __u32 *part = (const __u32 *)key->key;

	return part[2] ? (part[3] & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000) : !part[0] && !part[1];
}

static __always_inline void begin(struct bpf_sock_ops *ctx, struct tcp_sock *tp, __u64 instance)
{
	const struct tcp_cong_verdict *verdict;
	struct bpftune_verdict_key key;
	struct flow *flow;

	if (!verdict_key_of((struct sock *)tp, instance, &key) || is_loopback(&key))
		return;
	flow = bpf_sk_storage_get(&flows, tp, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!flow || flow->begun)
		return;
	flow->begun = 1;
	flow->instance = instance;
	count(tp, bpf_ktime_get_ns(), &flow->reported);
	flow->chosen = flow->tried = flow->reported;
	flow->look_ns = flow->reported.time_ns + LOOK_NS;
	bpf_sock_ops_cb_flags_set(ctx,
				  ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_RTT_CB_FLAG | BPF_SOCK_OPS_STATE_CB_FLAG);
	if (!may_choose(tp, flow) || tuner_is_off(&gates, key.netns_cookie, tuner))
		return;
	verdict = verdict_find(&key);
	if (verdict)
		choose_by(ctx, flow, verdict);
}

/*
 * A trial gives clearly less than the choice did. In its first round trips it was about to find its rate, and of an
 * application that does not fill its path it shows nothing.
 */
static __always_inline _Bool fails(struct flow *flow, const struct counters *now)
{
	struct counters last = flow->tried;

	flow->tried = *now;
	return last.time_ns != flow->chosen.time_ns && 2 * flow->app_limited <= flow->looks &&
	       8000 * (now->acked_bytes - last.acked_bytes) < flow->trial_kbit * busy_us(&last, now);
}

/*
 * It loses too much, and its remote was found to be one where another algorithm copes; or it is a trial that has
 * failed.
 */
static __always_inline void follow(struct bpf_sock_ops *ctx, struct tcp_sock *tp, struct flow *flow,
				   struct counters *now, _Bool failed)
{
	const struct tcp_cong_verdict *verdict;
	struct bpftune_verdict_key key;

	if (flow->trial && flow->reported.time_ns == flow->chosen.time_ns)
		return; /* what it was for is not told yet */
	if (!may_choose(tp, flow) || !verdict_key_of((struct sock *)tp, flow->instance, &key) ||
	    tuner_is_off(&gates, key.netns_cookie, tuner))
		return;
	verdict = verdict_find(&key);
	if (!verdict || !(verdict->switches || failed) || !verdict->choice || verdict->choice == flow->choice)
		return;
	if (!choose(ctx, flow, verdict->choice - 1))
		return;
	flow->trial = 0;
	flow->trial_kbit = 0;
	flow->chosen = flow->reported = *now;
	flow->looks = flow->app_limited = 0;
}

static __always_inline void look(struct bpf_sock_ops *ctx, struct tcp_sock *tp, __u64 instance)
{
	_Bool lossy, tried, failed;
	struct counters now;
	struct flow *flow;
	__u64 now_ns;

	if (tp->data_segs_out < LOOK_SEGS_MIN)
		return;
	flow = bpf_sk_storage_get(&flows, tp, NULL, 0);
	if (!flow || flow->instance != instance)
		return;
	flow->looks++;
	flow->app_limited += tp->app_limited != 0;
	tried = flow->trial_kbit && flow->looks % TRIAL_ROUND_TRIPS == 0;
	now_ns = bpf_ktime_get_ns();
	if (now_ns < flow->look_ns && !tried)
		return;
	flow->look_ns = now_ns + LOOK_NS;
	count(tp, now_ns, &now);
	lossy = loses(&flow->chosen, &now);
	failed = tried && fails(flow, &now);
	/* The first time at once, so that it can be helped. */
	if (now_ns - flow->reported.time_ns >= TELL_NS ||
	    ((lossy || failed) && flow->reported.time_ns == flow->chosen.time_ns)) {
		if (tell(tp, flow, &now))
			flow->look_ns = now_ns + AGAIN_NS;
	}
	if (lossy || failed)
		follow(ctx, tp, flow, &now, failed);
}

static __always_inline void end(struct tcp_sock *tp, __u64 instance)
{
	struct counters now;
	struct flow *flow;

	if (tp->data_segs_out < TRIAL_SEGS_MIN)
		return;
	flow = bpf_sk_storage_get(&flows, tp, NULL, 0);
	if (!flow || flow->instance != instance)
		return;
	count(tp, bpf_ktime_get_ns(), &now);
	tell(tp, flow, &now);
}

static __always_inline void handle(struct bpf_sock_ops *ctx, __u64 instance)
{
	struct tcp_sock *tp;

	if (!ctx->sk)
		return;
	tp = bpf_skc_to_tcp_sock(ctx->sk);
	if (!tp)
		return;
	switch (ctx->op) {
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		begin(ctx, tp, instance);
		break;
	case BPF_SOCK_OPS_RTT_CB:
		look(ctx, tp, instance);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		if (ctx->args[1] == BPF_TCP_CLOSE)
			end(tp, instance);
		break;
	}
}

SEC("sockops")
int tcp_cong_flow(struct bpf_sock_ops *ctx)
{
	handle(ctx, 0);
	return 1;
}

/*
 * Attached to the cgroup of each container, and run before the root's (kernel/bpf/cgroup.c:
 * compute_effective_progs()): that one then finds that the connection is looked after.
 */
SEC("sockops")
int tcp_cong_flow_container(struct bpf_sock_ops *ctx)
{
	__u64 *instance = bpf_get_local_storage(&instance_ids, 0);

	if (*instance)
		handle(ctx, *instance);
	return 1;
}

char _license[] SEC("license") = "GPL";
