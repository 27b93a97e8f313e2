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

#define LOOK_SEGS_MIN 16	 /* fewer are over in two round trips */
#define TRIAL_SEGS_MIN 32	 /* fewer tell nothing of a trial */
#define TRIAL_ROUND_TRIPS 8	 /* between two looks at one */
#define TRIAL_ROUND_TRIPS_MAX 64 /* then it is over, however long the transfer */
#define TRIAL_NS \
	(1000 * NSEC_PER_MSEC) /* between two trials of bbr with a remote that has not shown what it makes of it */
#define TOLD_SEGS_MIN 64       /* fewer tell nothing of others */
#define LOOK_NS (1000 * NSEC_PER_MSEC)	/* between two looks at a connection */
#define AGAIN_NS (100 * NSEC_PER_MSEC)	/* until the next look after it was told of */
#define TELL_NS (5000 * NSEC_PER_MSEC)	/* a connection that lives on */
#define REMOTE_NS (100 * NSEC_PER_MSEC) /* a remote host */
#define INSTANCE_NS (10 * NSEC_PER_MSEC)
#define SETTLED_LOOKS 16	 /* at a connection whose first slow start is over */
#define LOSSY_LOOKS 32		 /* without loss, after which one may look more rarely */
#define SSTHRESH_NONE 0x7fffffff /* TCP_INFINITE_SSTHRESH: nothing has ended its first slow start */

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
	__u32 clear_segs, clear_retrans; /* of both: while nothing queued on the path */
	__u32 zero;
};

/* What is known of a connection: made when it is given an algorithm, or first looked at. */
struct conn {
	__u64 look_ns; /* not before */
	__u64 reported_ns;
	struct counters chosen;	  /* when it got its algorithm */
	struct counters reported; /* when it was last told of */
	struct counters tried;	  /* when it, a trial, was last looked at */
	__u32 segs, retrans;	  /* at the last look */
	__u32 clear_segs, clear_retrans;
	__u32 looks, app_limited; /* round trips since it was told of, and those that the application did not fill */
	__u32 trial_looks;	  /* since it became a trial */
	__u32 looks_since_loss;
	__u32 trial_kbit;	      /* see struct tcp_cong_verdict */
	__u8 was_reported, was_tried; /* since it got its algorithm */
	__u8 free_looks;	      /* a bit for each, the last one's first: nothing queued */
	__u8 settled_looks;	      /* since its first slow start, as far as one counts */
	__u8 choice;		      /* 1 + the algorithm that we gave it; 0: none */
	__u8 standard;		      /* 1 + the algorithm that it had before; 0: not known, or none of ours */
	__u8 trial;
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

/* Without those that the receiver had no need of. */
static __always_inline __u32 retrans_of(const struct tcp_sock *tp)
{
	return tp->total_retrans - tp->dsack_dups;
}

static __always_inline void count(struct tcp_sock *tp, const struct conn *conn, struct counters *ret)
{
	ret->acked_bytes = tp->bytes_acked;
	ret->segs = tp->data_segs_out;
	ret->retrans = retrans_of(tp);
	ret->clear_segs = conn->clear_segs;
	ret->clear_retrans = conn->clear_retrans;
	ret->busy = busy_jiffies(tp, bpf_jiffies64());
}

static __always_inline __u32 retrans_between(const struct counters *from, const struct counters *to)
{
	__s32 retrans = to->retrans - from->retrans;

	return retrans > 0 ? retrans : 0;
}

/* The last three looks at it have found no queue. */
static __always_inline _Bool is_way_free(const struct conn *conn)
{
	return (conn->free_looks & 7) == 7;
}

/* It loses segments though nothing queues, as cong_is_lossy() counts them. */
static __always_inline _Bool loses(const struct counters *from, const struct counters *to)
{
	__u32 segs = to->clear_segs - from->clear_segs, retrans = to->clear_retrans - from->clear_retrans;

	return segs >= TCP_CONG_SEGS_MIN && retrans >= TCP_CONG_RETRANS_MIN &&
	       1000ULL * retrans >= (__u64)TCP_CONG_LOSS_PERMILLE * segs;
}

/*
 * A segment that was sent again was lost by the path, not to a queue, if at the three looks before a round trip was
 * near the shortest: a queue that overflows was long for some round trips. First slow starts fill a queue, and empty
 * it, faster than one looks: the connection's own, and those of others that began with it.
 */
static __always_inline void note_loss(struct bpf_sock_ops *ctx, struct tcp_sock *tp, struct conn *conn)
{
	__u32 segs = tp->data_segs_out, retrans = retrans_of(tp), rtt_us = tp->rack.rtt_us;
	__s32 lost = retrans - conn->retrans;

	if (is_way_free(conn)) {
		conn->clear_segs += segs - conn->segs;
		conn->clear_retrans += lost > 0 ? lost : 0;
	}
	conn->looks_since_loss = lost > 0 ? 0 : conn->looks_since_loss + 1;
	conn->segs = segs;
	conn->retrans = retrans;
	if (conn->settled_looks < SETTLED_LOOKS)
		conn->settled_looks += ctx->snd_ssthresh < SSTHRESH_NONE;
	conn->free_looks <<= 1;
	conn->free_looks |=
		rtt_us && TCP_CONG_IS_NEAR(rtt_us, tp->rtt_min.s[0].v) && conn->settled_looks == SETTLED_LOOKS;
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

static __always_inline struct tcp_cong_verdict *verdict_that_holds(const struct bpftune_verdict_key *key)
{
	struct tcp_cong_verdict *verdict = bpf_map_lookup_elem(&verdicts, key);

	return verdict && bpf_ktime_get_ns() < verdict->valid_until_ns ? verdict : NULL;
}

/* A remote's own verdict, or else its network's. */
static __always_inline struct tcp_cong_verdict *verdict_find(struct bpftune_verdict_key *key)
{
	struct tcp_cong_verdict *verdict = verdict_that_holds(key);

	if (verdict)
		return verdict;
	remote_widen((struct remote *)key->key);
	return verdict_that_holds(key);
}

/* Our own earlier choice sets icsk_ca_setsockopt as an application's does: net/ipv4/tcp_cong.c. */
static __always_inline _Bool may_choose(struct tcp_sock *tp, const struct conn *conn)
{
	__u32 chosen = conn->choice - 1;
	union name now = {};

	if (!BPF_CORE_READ_BITFIELD(tp, inet_conn.icsk_ca_setsockopt))
		return 1;
	if (chosen >= TCP_CONG_N)
		return 0;
	algorithm_of(tp, &now);
	return now.words[0] == names[chosen][0] && now.words[1] == names[chosen][1];
}

/* 1 + its algorithm, or 0. */
static __always_inline __u8 standard_of(struct tcp_sock *tp)
{
	union name now = {};

	algorithm_of(tp, &now);
	for (__u32 i = 0; i < TCP_CONG_BBR; i++)
		if (now.words[0] == names[i][0] && now.words[1] == names[i][1])
			return i + 1;
	return 0;
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

/* Makes it a connection with bbr, or one with what it had before. */
static __always_inline _Bool give(struct bpf_sock_ops *ctx, struct tcp_sock *tp, struct conn *conn, _Bool is_bbr)
{
	if (!conn->standard)
		conn->standard = standard_of(tp);
	return conn->standard && choose(ctx, conn, is_bbr ? TCP_CONG_BBR : conn->standard - 1);
}

/* A new connection, or one that loses segments, is to be a trial. Two CPUs at one moment may both make one. */
static __always_inline _Bool is_drawn(struct tcp_cong_verdict *verdict)
{
	__u64 now_ns = bpf_ktime_get_ns();

	if (verdict->one_in > 1)
		return bpf_get_prandom_u32() % verdict->one_in == 0;
	if (!verdict->one_in || now_ns - verdict->tried_ns < TRIAL_NS)
		return 0;
	verdict->tried_ns = now_ns;
	return 1;
}

static __always_inline void begin_trial(struct conn *conn, const struct tcp_cong_verdict *verdict)
{
	conn->trial = 1;
	conn->trial_looks = 0;
	conn->trial_kbit = verdict->trial_kbit;
}

/* --- telling ------------------------------------------------------------------------------------- */

static __always_inline _Bool worth_telling(const struct conn *conn, const struct counters *now)
{
	return now->segs - conn->reported.segs >= (conn->trial ? TRIAL_SEGS_MIN : TOLD_SEGS_MIN);
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

static __always_inline void crowd_note(struct crowd *crowd, const struct remote *host, const struct counters *from,
				       const struct counters *to)
{
	const struct crowd_counts counts = {
		.segs = to->segs - from->segs,
		.retrans = retrans_between(from, to),
		.clear_segs = to->clear_segs - from->clear_segs,
		.clear_retrans = to->clear_retrans - from->clear_retrans,
	};

	crowd_add(crowd, host, &counts);
}

/* What is not told now is counted of its network if it is the `last` of this connection. True: it is told. */
static __always_inline _Bool tell(struct tcp_sock *tp, __u64 instance, struct conn *conn, const struct counters *now,
				  _Bool last)
{
	struct bpftune_event *event = NULL;
	struct bpftune_verdict_key key;
	struct tcp_cong_seen *seen;
	struct crowd *crowd, told;

	if (!worth_telling(conn, now) || !verdict_key_of((struct sock *)tp, instance, &key) ||
	    tuner_is_off(key.netns_cookie))
		return 0;
	if (remote_allows(&key))
		event = tuner_event(key.netns_cookie, instance, TCP_CONG_FLOW);
	crowd = event || last ? crowd_of(tp, &key) : NULL;
	if (crowd)
		crowd_note(crowd, (struct remote *)key.key, &conn->reported, now);
	if (!event)
		return 0;
	event->key_bytes = __builtin_offsetof(struct tcp_cong_seen, acked_bytes);
	seen = (struct tcp_cong_seen *)event->payload;
	__builtin_memcpy(&seen->remote, key.key, sizeof(seen->remote));
	algorithm_of(tp, (union name *)seen->algorithm);
	seen->acked_bytes = now->acked_bytes - conn->reported.acked_bytes;
	seen->busy_us = busy_us(&conn->reported, now);
	seen->segs = now->segs - conn->reported.segs;
	seen->retrans = retrans_between(&conn->reported, now);
	seen->clear_segs = now->clear_segs - conn->reported.clear_segs;
	seen->clear_retrans = now->clear_retrans - conn->reported.clear_retrans;
	seen->min_rtt_us = tp->rtt_min.s[0].v;
	seen->srtt_us = tp->srtt_us >> 3;
	seen->app_limited_percent = conn->looks ? 100ULL * conn->app_limited / conn->looks : 100;
	seen->decided = bpf_map_lookup_elem(&verdicts, &key) != NULL;
	if (crowd && crowd_take(crowd, &told)) {
		seen->network_segs = told.counts.segs;
		seen->network_retrans = told.counts.retrans;
		seen->network_clear_segs = told.counts.clear_segs;
		seen->network_clear_retrans = told.counts.clear_retrans;
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
	struct tcp_cong_verdict *verdict;
	struct bpftune_verdict_key key;
	struct conn *conn, none = {};
	struct flow *flow;
	_Bool is_trial;
	__u64 cookie;

	if (!tp)
		return;
	cookie = cookie_of((struct sock *)tp);
	if (!has_verdicts(cookie) || !verdict_key_of((struct sock *)tp, sharer_of((struct sock *)tp, cookie), &key) ||
	    is_loopback(&key) || !may_choose(tp, &none))
		return;
	verdict = verdict_find(&key);
	is_trial = verdict && is_drawn(verdict);
	if (!verdict || (!verdict->is_bbr && !is_trial))
		return;
	flow = bpf_sk_storage_get(&flows, tp, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	conn = flow ? conn_make(tp) : NULL;
	if (!conn)
		return;
	flow->is_early = 1;
	if (verdict->is_bbr == is_trial || give(ctx, tp, conn, 1)) {
		if (is_trial)
			begin_trial(conn, verdict);
	}
	bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
}

/*
 * A trial gives clearly less than the others do. In its first round trips it was about to find its rate, and of an
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

static __always_inline void change(struct bpf_sock_ops *ctx, struct tcp_sock *tp, struct conn *conn, _Bool is_bbr,
				   const struct counters *now)
{
	if (!give(ctx, tp, conn, is_bbr))
		return;
	conn->was_reported = conn->was_tried = 0;
	conn->chosen = conn->reported = *now;
	conn->looks = conn->app_limited = 0;
}

/*
 * An established connection changes its algorithm when it was a trial that is over; when bbr, which we gave it, was
 * given up; and when it loses segments though nothing queues, and bbr is chosen or tried.
 */
static __always_inline void follow(struct bpf_sock_ops *ctx, struct tcp_sock *tp, __u64 instance, struct conn *conn,
				   const struct counters *now, _Bool lossy, _Bool failed)
{
	_Bool has_bbr = conn->choice == TCP_CONG_BBR + 1,
	      is_over = failed || conn->trial_looks >= TRIAL_ROUND_TRIPS_MAX;
	struct tcp_cong_verdict *verdict;
	struct bpftune_verdict_key key;
	_Bool wants_bbr;

	/* A trial that is not told of yet was for nothing. */
	if (conn->trial ? !is_over || !conn->was_reported : !has_bbr && !lossy)
		return;
	if (!has_verdicts(cookie_of((struct sock *)tp)) || !may_choose(tp, conn) ||
	    !verdict_key_of((struct sock *)tp, instance, &key))
		return;
	verdict = verdict_find(&key);
	wants_bbr = verdict && verdict->is_bbr;
	if (conn->trial) {
		conn->trial = 0;
		if (has_bbr != wants_bbr)
			change(ctx, tp, conn, wants_bbr, now);
	} else if (has_bbr) {
		if (!wants_bbr)
			change(ctx, tp, conn, 0, now);
	} else if (is_way_free(conn) && verdict && (wants_bbr || is_drawn(verdict))) {
		change(ctx, tp, conn, 1, now);
		if (!wants_bbr && conn->choice == TCP_CONG_BBR + 1)
			begin_trial(conn, verdict);
	}
}

ON_LOOK(tcp_cong_look)
{
	struct tcp_sock *tp = tcp_sock_of(ctx);
	struct flow *flow = tp ? look_of(tp) : NULL;
	_Bool lossy, tried, failed;
	struct counters now;
	struct conn *conn;
	__u64 now_ns;

	if (!flow || tp->data_segs_out < LOOK_SEGS_MIN || tp->rtt_min.s[0].v < TCP_CONG_RTT_MIN_US)
		return;
	conn = conn_make(tp);
	if (!conn)
		return;
	note_loss(ctx, tp, conn);
	if (conn->trial || (conn->retrans && conn->looks_since_loss < LOSSY_LOOKS))
		flow->is_limited = 1; /* to be looked at after a round trip */
	conn->looks++;
	conn->app_limited += tp->app_limited != 0;
	conn->trial_looks++;
	tried = conn->trial && conn->trial_looks % TRIAL_ROUND_TRIPS == 0;
	now_ns = bpf_ktime_get_ns();
	if (now_ns < conn->look_ns && !tried)
		return;
	conn->look_ns = now_ns + LOOK_NS;
	count(tp, conn, &now);
	lossy = loses(&conn->chosen, &now);
	failed = tried && fails(conn, &now);
	/* The first time at once, so that it can be helped; and a trial each time that it has shown something. */
	if (now_ns - conn->reported_ns >= TELL_NS || (tried && conn->trial_looks > TRIAL_ROUND_TRIPS) ||
	    (lossy && !conn->was_reported)) {
		if (tell(tp, flow->instance, conn, &now, 0))
			conn->look_ns = now_ns + AGAIN_NS;
	}
	follow(ctx, tp, flow->instance, conn, &now, lossy, failed);
}

/* One that was never looked at has sent too little to say anything. */
ON_END(tcp_cong_end)
{
	struct tcp_sock *tp = tcp_sock_of(ctx);
	struct conn *conn = tp && tp->data_segs_out >= TRIAL_SEGS_MIN ? bpf_sk_storage_get(&conns, tp, NULL, 0) : NULL;
	struct counters now;

	if (!conn || !conn->looks)
		return;
	count(tp, conn, &now);
	tell(tp, sharer_of((struct sock *)tp, cookie_of((struct sock *)tp)), conn, &now, 1);
}
