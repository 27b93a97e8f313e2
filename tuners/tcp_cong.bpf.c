// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Tells how connections fare with their congestion control, and gives new ones the algorithm that the worker has
 * decided for their remote host. An application's own choice stands.
 */
#include "bpf/remote.bpf.h"
#include "bpf/sender.bpf.h"
#include "bpf/tuner.bpf.h"
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

/* When a remote was last told of. Keyed as verdicts are. */
MAP(reported, BPF_MAP_TYPE_LRU_HASH, 8192, struct bpftune_verdict_key, __u64);

/*
 * Of each network and algorithm: by a verdict's key, and the algorithm's name after the remote. A crowd in one
 * container may push out what was counted of another's, which is counted again.
 */
MAP(crowds, BPF_MAP_TYPE_LRU_HASH, 4096, struct bpftune_verdict_key, struct crowd);

VERDICTS(BPFTUNE_VERDICTS_MAX, struct tcp_cong_verdict);

/* A socket's counters at some moment; all zero: when it was set up. */
struct counters {
	__u64 acked_bytes;
	__u32 busy; /* jiffies */
	__u32 segs;
	__u32 retrans;
	__u32 zero;
};

/* What is known of a connection: made when it is given an algorithm, or first looked at. */
struct conn {
	__u64 look_ns; /* not before */
	__u64 reported_ns;
	struct counters chosen;	      /* when it got its algorithm */
	struct counters reported;     /* when it was last told of */
	struct counters tried;	      /* when it, a trial, was last looked at */
	__u32 looks, app_limited;     /* round trips since then, and those that the application did not fill */
	__u8 was_reported, was_tried; /* since it got its algorithm */
	__u8 choice;		      /* 1 + the algorithm that we gave it; 0: none */
	__u8 trial;
	__u32 trial_kbit; /* see struct tcp_cong_verdict */
};

SK_STORAGE(conns, 0, struct conn);

const volatile __u32 jiffy_us; /* how long one is */

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

static __always_inline void count(struct tcp_sock *tp, struct counters *ret)
{
	ret->acked_bytes = tp->bytes_acked;
	ret->segs = tp->data_segs_out;
	ret->retrans = tp->total_retrans - tp->dsack_dups;
	ret->busy = busy_jiffies(tp, bpf_jiffies64());
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

static __always_inline __u64 busy_us(const struct counters *from, const struct counters *to)
{
	return (__u64)(to->busy - from->busy) * jiffy_us;
}

/* --- verdicts ------------------------------------------------------------------------------------ */

static __always_inline _Bool verdict_key_of(const struct sock *sk, __u64 instance, struct bpftune_verdict_key *ret_key)
{
	__builtin_memset(ret_key, 0, sizeof(*ret_key));
	ret_key->netns_cookie = sk->__sk_common.skc_net.net->net_cookie;
	ret_key->instance = ret_key->netns_cookie == host_cookie ? instance : 0;
	return remote_of(sk, (struct remote *)ret_key->key);
}

static __always_inline _Bool is_loopback(const struct bpftune_verdict_key *key)
{
	const __u32 *part = (const __u32 *)key->key;

	return part[2] ? (part[3] & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000) : !part[0] && !part[1];
}

static __always_inline const struct tcp_cong_verdict *verdict_that_holds(const struct bpftune_verdict_key *key)
{
	const struct tcp_cong_verdict *verdict = bpf_map_lookup_elem(&verdicts, key);

	return verdict && bpf_ktime_get_ns() < verdict->valid_until_ns ? verdict : NULL;
}

/*
 * A remote's own verdict, or else its network's, or else the one for all others that were heard of. A crowd of remotes
 * makes `reported` forget those of other containers, which only spares these a trial.
 */
static __always_inline const struct tcp_cong_verdict *verdict_find(struct bpftune_verdict_key *key)
{
	const struct tcp_cong_verdict *verdict = verdict_that_holds(key);
	__u64 *heard_ns;

	if (verdict)
		return verdict;
	heard_ns = bpf_map_lookup_elem(&reported, key);
	remote_widen((struct remote *)key->key);
	verdict = verdict_that_holds(key);
	if (verdict)
		return verdict;
	if (!heard_ns || bpf_ktime_get_ns() - *heard_ns > HEARD_NS)
		return NULL;
	__builtin_memset(key->key, 0, sizeof(key->key));
	return bpf_map_lookup_elem(&verdicts, key);
}

/* Our own earlier choice sets icsk_ca_setsockopt as an application's does: net/ipv4/tcp_cong.c. */
static __always_inline _Bool may_choose(struct tcp_sock *tp, const struct conn *conn)
{
	__u32 chosen = conn->choice - 1;
	union name now = {};

	if (!BPF_CORE_READ_BITFIELD(&tp->inet_conn, icsk_ca_setsockopt))
		return 1;
	if (chosen >= TCP_CONG_N)
		return 0;
	algorithm_of(tp, &now);
	return now.words[0] == names[chosen][0] && now.words[1] == names[chosen][1];
}

static __always_inline _Bool choose(struct bpf_sock_ops *ctx, struct conn *conn, __u32 algorithm)
{
	union name name;

	barrier_var(algorithm);
	if (algorithm >= TCP_CONG_N)
		return 0;
	name.words[0] = names[algorithm][0];
	name.words[1] = names[algorithm][1];
	if (bpf_setsockopt(ctx, IPPROTO_TCP, TCP_CONGESTION, &name, sizeof(name)))
		return 0;
	conn->choice = algorithm + 1;
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

static __always_inline void choose_by(struct bpf_sock_ops *ctx, struct conn *conn,
				      const struct tcp_cong_verdict *verdict)
{
	if (verdict->one_in && bpf_get_prandom_u32() % verdict->one_in == 0) {
		conn->trial = choose(ctx, conn, any_of(verdict->trials));
		conn->trial_kbit = conn->trial ? verdict->trial_kbit : 0;
	} else if (verdict->choice) {
		choose(ctx, conn, verdict->choice - 1);
	}
}

/* --- telling ------------------------------------------------------------------------------------- */

static __always_inline _Bool worth_telling(struct tcp_sock *tp, const struct conn *conn, const struct counters *now)
{
	__u32 segs = now->segs - conn->reported.segs, retrans = retrans_between(&conn->reported, now);

	if (segs < (conn->trial ? TRIAL_SEGS_MIN : TOLD_SEGS_MIN))
		return 0;
	return tp->rtt_min.s[0].v >= NEAR_US || 1000ULL * retrans > (__u64)NEAR_LOSS_PERMILLE * segs;
}

static __always_inline _Bool remote_allows(const struct bpftune_verdict_key *key)
{
	return rate_of_map_allows(&reported, key, REMOTE_NS) &&
	       rate_allows(key->netns_cookie, key->instance, TCP_CONG_FLOW, INSTANCE_NS);
}

/* The counts of a remote's network; of an algorithm that was not seen there before, new ones. */
static __always_inline struct crowd *crowd_of(const struct tcp_sock *tp, const struct bpftune_verdict_key *remote)
{
	struct bpftune_verdict_key key = *remote;
	const struct crowd none = {};
	struct crowd *crowd;

	remote_widen((struct remote *)key.key);
	algorithm_of(tp, (union name *)(key.key + sizeof(struct remote)));
	crowd = bpf_map_lookup_elem(&crowds, &key);
	if (crowd || bpf_map_update_elem(&crowds, &key, &none, BPF_NOEXIST))
		return crowd;
	return bpf_map_lookup_elem(&crowds, &key);
}

/* What is not told now is counted of its network if it is the `last` of this connection. True: it is told. */
static __always_inline _Bool tell(struct tcp_sock *tp, __u64 instance, struct conn *conn, const struct counters *now,
				  _Bool last)
{
	struct bpftune_event *event = NULL;
	struct bpftune_verdict_key key;
	struct tcp_cong_seen *seen;
	struct crowd *crowd, told;

	if (!worth_telling(tp, conn, now) || !verdict_key_of((struct sock *)tp, instance, &key) ||
	    tuner_is_off(key.netns_cookie))
		return 0;
	if (remote_allows(&key))
		event = tuner_event(key.netns_cookie, instance, TCP_CONG_FLOW);
	crowd = event || last ? crowd_of(tp, &key) : NULL;
	if (crowd)
		crowd_add(crowd, (struct remote *)key.key, now->segs - conn->reported.segs,
			  retrans_between(&conn->reported, now));
	if (!event)
		return 0;
	seen = (struct tcp_cong_seen *)event->payload;
	__builtin_memcpy(&seen->remote, key.key, sizeof(seen->remote));
	algorithm_of(tp, (union name *)seen->algorithm);
	seen->acked_bytes = now->acked_bytes - conn->reported.acked_bytes;
	seen->busy_us = busy_us(&conn->reported, now);
	seen->segs = now->segs - conn->reported.segs;
	seen->retrans = retrans_between(&conn->reported, now);
	seen->min_rtt_us = tp->rtt_min.s[0].v;
	seen->srtt_us = tp->srtt_us >> 3;
	/* One that was never looked at may have been the application's to fill: its rate is no measure of the path. */
	seen->app_limited_percent = conn->looks ? 100ULL * conn->app_limited / conn->looks : 100;
	seen->decided = bpf_map_lookup_elem(&verdicts, &key) != NULL;
	if (crowd && crowd_take(crowd, &told)) {
		seen->network_segs = told.segs;
		seen->network_retrans = told.retrans;
	}
	bpf_ringbuf_submit(event, 0);
	conn->was_reported = 1;
	conn->reported = *now;
	conn->reported_ns = bpf_ktime_get_ns();
	conn->looks = conn->app_limited = 0;
	return 1;
}

/* --- the life of a connection -------------------------------------------------------------------- */

static __always_inline struct conn *conn_make(struct tcp_sock *tp)
{
	struct conn *conn = bpf_sk_storage_get(&conns, tp, NULL, BPF_SK_STORAGE_GET_F_CREATE);

	if (conn && !conn->reported_ns)
		conn->reported_ns = bpf_ktime_get_ns();
	return conn;
}

ON_START(tcp_cong_start)
{
	struct tcp_sock *tp = tcp_sock_of(ctx);
	const struct tcp_cong_verdict *verdict;
	struct bpftune_verdict_key key;
	struct conn *conn, none = {};
	struct flow *flow;
	__u64 cookie;

	if (!tp)
		return;
	cookie = cookie_of((struct sock *)tp);
	if (!has_verdicts(cookie) || !verdict_key_of((struct sock *)tp, sharer_of((struct sock *)tp, cookie), &key) ||
	    is_loopback(&key) || !may_choose(tp, &none))
		return;
	verdict = verdict_find(&key);
	flow = verdict ? bpf_sk_storage_get(&flows, tp, NULL, BPF_SK_STORAGE_GET_F_CREATE) : NULL;
	conn = flow ? conn_make(tp) : NULL;
	if (!conn)
		return;
	flow->is_early = 1;
	choose_by(ctx, conn, verdict);
	bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
}

/*
 * A trial gives clearly less than the choice did. In its first round trips it was about to find its rate, and of an
 * application that does not fill its path it shows nothing.
 */
static __always_inline _Bool fails(struct conn *conn, const struct counters *now)
{
	struct counters last = conn->tried;
	_Bool was_tried = conn->was_tried;

	conn->tried = *now;
	conn->was_tried = 1;
	return was_tried && 2 * conn->app_limited <= conn->looks &&
	       8000 * (now->acked_bytes - last.acked_bytes) < conn->trial_kbit * busy_us(&last, now);
}

/*
 * It loses too much, and its remote was found to be one where another algorithm copes; or it is a trial that has
 * failed.
 */
static __always_inline void follow(struct bpf_sock_ops *ctx, struct tcp_sock *tp, __u64 instance, struct conn *conn,
				   struct counters *now, _Bool failed)
{
	const struct tcp_cong_verdict *verdict;
	struct bpftune_verdict_key key;

	if (conn->trial && !conn->was_reported)
		return; /* what it was for is not told yet */
	if (!has_verdicts(cookie_of((struct sock *)tp)) || !may_choose(tp, conn) ||
	    !verdict_key_of((struct sock *)tp, instance, &key))
		return;
	verdict = verdict_find(&key);
	if (!verdict || !(verdict->switches || failed) || !verdict->choice || verdict->choice == conn->choice)
		return;
	if (!choose(ctx, conn, verdict->choice - 1))
		return;
	conn->trial = conn->was_reported = conn->was_tried = 0;
	conn->trial_kbit = 0;
	conn->chosen = conn->reported = *now;
	conn->looks = conn->app_limited = 0;
}

ON_LOOK(tcp_cong_look)
{
	struct tcp_sock *tp = tcp_sock_of(ctx);
	struct flow *flow = tp ? look_of(tp) : NULL;
	_Bool lossy, tried, failed;
	struct counters now;
	struct conn *conn;
	__u64 now_ns;

	if (!flow || tp->data_segs_out < LOOK_SEGS_MIN || (tp->rtt_min.s[0].v < BPFTUNE_FAR_US && !tp->total_retrans))
		return;
	conn = conn_make(tp);
	if (!conn)
		return;
	if (conn->trial_kbit)
		flow->is_limited = 1; /* a failed one is to end soon */
	conn->looks++;
	conn->app_limited += tp->app_limited != 0;
	tried = conn->trial_kbit && conn->looks % TRIAL_ROUND_TRIPS == 0;
	now_ns = bpf_ktime_get_ns();
	if (now_ns < conn->look_ns && !tried)
		return;
	conn->look_ns = now_ns + LOOK_NS;
	count(tp, &now);
	lossy = loses(&conn->chosen, &now);
	failed = tried && fails(conn, &now);
	/* The first time at once, so that it can be helped. */
	if (now_ns - conn->reported_ns >= TELL_NS || ((lossy || failed) && !conn->was_reported)) {
		if (tell(tp, flow->instance, conn, &now, 0))
			conn->look_ns = now_ns + AGAIN_NS;
	}
	if (lossy || failed)
		follow(ctx, tp, flow->instance, conn, &now, failed);
}

/* One that was never looked at has no record: then it is told of from its beginning. */
ON_END(tcp_cong_end)
{
	struct tcp_sock *tp = tcp_sock_of(ctx);
	struct conn *conn, none = {};
	struct counters now;

	if (!tp || tp->data_segs_out < TRIAL_SEGS_MIN)
		return;
	conn = bpf_sk_storage_get(&conns, tp, NULL, 0);
	count(tp, &now);
	tell(tp, sharer_of((struct sock *)tp, cookie_of((struct sock *)tp)), conn ? conn : &none, &now, 1);
}
