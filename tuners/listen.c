// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * listen: raises somaxconn and tcp_max_syn_backlog of a namespace whose clients find a queue full, and takes
 * that back in a flood. The queue's length is listen(2)'s: a listening socket keeps what it got.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "ipc/cleanup.h"
#include "tuners/decide_listen.h"
#include "tuners/listen.h"
#include "tuners/listen.skel.h"
#include "tuners/listen_name.h"
#include "tuners/listen_unix.h"
#include "tuners/tuner.h"

#define TOLD_NS 60000000000ULL /* between two notices that a server asks for too little */
#define CALM_S 60	       /* nothing is raised for so long after a flood */

enum {
	SOMAXCONN,
	MAX_SYN_BACKLOG
};

static const struct bpftune_tunable tunables[] = {
	[SOMAXCONN] = { "net.core.somaxconn", BPFTUNE_SCOPE_NETNS, 1, "longest queue that listen(2) grants" },
	[MAX_SYN_BACKLOG] = { "net.ipv4.tcp_max_syn_backlog", BPFTUNE_SCOPE_NETNS, 1,
			      "handshakes under way, where there are no syncookies" },
};

static const struct bpftune_scenario scenarios[] = {
	[LISTEN_ACCEPT_QUEUE_FULL] = { "accept_queue_full",
				       "Clients that completed the handshake found the accept queue full, at the length that somaxconn allows." },
	[LISTEN_SYN_QUEUE_FULL] = { "syn_queue_full",
				    "More clients than the SYN queue holds had their handshake under way, and completed it." },
	[LISTEN_SYN_FLOOD] = { "syn_flood", "SYNs came by the dozen and hardly any became a connection." },
};

static int64_t longest(const struct bpftune *b, const void *state, int64_t current)
{
	(void)b, (void)state, (void)current;
	return LISTEN_MAX;
}

/* A remedy's number is its tunable's. */
static const struct bpftune_remedy remedies[] = {
	[SOMAXCONN] = {
		.scenario = LISTEN_ACCEPT_QUEUE_FULL,
		.tunable = SOMAXCONN,
		.trouble = { .name = "clients turned away or given a cookie" },
		.work = { .name = "handshakes" },
		.is_lasting = true, /* a server asks for its queue once, long after the trouble maybe */
		.cap = longest,
	},
	[MAX_SYN_BACKLOG] = {
		.scenario = LISTEN_SYN_QUEUE_FULL,
		.tunable = MAX_SYN_BACKLOG,
		.trouble = { .name = "SYNs refused" },
		.work = { .name = "handshakes" },
		.cap = longest,
	},
};

struct listen {
	struct listen_queue queue; /* a full one, rather one that somaxconn bounds */
	bool full, suspected;	   /* there is one; the last tick suspected a flood */
	struct bpftune_event cause;
	struct listen_counts last, since; /* at the last decision; when one was seen first after that */
	uint64_t since_ns;
	uint64_t flood_ns;		   /* of the last event in a flood; 0: none */
	char told_name[LISTEN_NAME_BYTES]; /* of the server that was last told to ask for more */
	uint32_t told_needed;
	uint64_t told_ns;
	struct listen_unix unix_sockets;
};

static int read_counts(const struct bpftune *b, struct listen_counts *ret_counts)
{
	struct bpftune_counter counters[] = {
		{ .group = "Tcp", .name = "PassiveOpens" },	 { .group = "TcpExt", .name = "ListenOverflows" },
		{ .group = "TcpExt", .name = "ListenDrops" },	 { .group = "TcpExt", .name = "SyncookiesSent" },
		{ .group = "TcpExt", .name = "SyncookiesRecv" },
	};
	int err = bpftune_counters(b, counters, ARRAY_SIZE(counters));

	if (err)
		return err;
	*ret_counts = (struct listen_counts){ counters[0].value, counters[1].value, counters[2].value,
					      counters[3].value, counters[4].value };
	return 0;
}

static int init(struct bpftune *b, void **state)
{
	struct listen *listen = *state;

	return read_counts(b, &listen->last);
}

/* Remembers it until the tick, when it has shown what becomes of it. */
static void event(struct bpftune *b, void *state, const struct bpftune_event *event)
{
	const struct listen_queue *queue = (const struct listen_queue *)event->payload;
	struct listen *listen = state;

	if (b->shares_netns) { /* the queue's limits are the host's */
		bpftune_request(b, event);
		return;
	}
	if (listen->full && (listen->queue.max_len >= listen->queue.somaxconn || queue->max_len < queue->somaxconn))
		return;
	if (!listen->full) {
		if (read_counts(b, &listen->since) < 0)
			return;
		listen->since_ns = event->time_ns;
	}
	listen->queue = *queue;
	listen->cause = *event;
	listen->full = true;
}

static void raise_limit(struct bpftune *b, const struct listen *listen, unsigned int tunable,
			const struct listen_counts *grown, const struct listen_counts *lately)
{
	const struct bpftune_measured measured = {
		.since_ns = listen->since_ns,
		.trouble = tunable == SOMAXCONN ? listen_turned_away(lately) : listen_refused(lately),
		.work = lately->handshakes,
	};
	const struct listen_queue *queue = &listen->queue;
	long long value[BPFTUNE_INTS_MAX];
	char name[LISTEN_NAME_BYTES];

	if (bpftune_value_ints(b, tunable, value) < 0)
		return;
	if (tunable == MAX_SYN_BACKLOG)
		bpftune_try(b, tunable, LISTEN_SYN_QUEUE_FULL, &listen->cause, &measured,
			    "%s had %u handshakes under way and refused %" PRIu64 ", %" PRIu64
			    " were completed; it takes effect at once",
			    listen_name(queue, name), queue->syn_len, grown->drops, grown->handshakes);
	else if (value[0] <= queue->somaxconn &&
		 value[0] >= queue->max_len) /* else listen(2) was under another value */
		bpftune_try(b, tunable, listen->cause.scenario, &listen->cause, &measured,
			    "a queue of %s was full: %u wait to be accepted, %u handshakes under way, of %u; %" PRIu64
			    " connections overflowed, %" PRIu64
			    " were completed; it takes effect when the server calls listen(2) again",
			    listen_name(queue, name), queue->accept_len, queue->syn_len, queue->max_len,
			    grown->overflows, grown->handshakes);
}

/*
 * A longer queue only holds more of what nobody meant. Cookies hold nothing; but 0 is not the kernel's default, so
 * somebody wants none.
 */
static void resist(struct bpftune *b, struct listen *listen, const struct listen_counts *lately)
{
	static const char reason[] =
		"%s: %" PRIu64 " SYNs were answered by a cookie or refused, %" PRIu64 " handshakes were completed%s";
	const char *cookies = listen->queue.syncookies ? "" : "; net.ipv4.tcp_syncookies is 0, and stays";
	uint64_t syns = lately->cookies_sent + lately->drops;
	char name[LISTEN_NAME_BYTES];

	listen_name(&listen->queue, name);
	if (!listen->flood_ns || listen->cause.time_ns - listen->flood_ns >= CALM_S * 1000000000ULL)
		bpftune_log_event(b, &listen->cause, LOG_WARNING, reason, name, syns, lately->handshakes, cookies);
	bpftune_learnt(b, "SYN flood", NULL, reason, name, syns, lately->handshakes, cookies);
	listen->flood_ns = listen->cause.time_ns;
	for (size_t i = 0; i < ARRAY_SIZE(remedies); i++)
		bpftune_take_back(b, i, LISTEN_SYN_FLOOD, &listen->cause, CALM_S, reason, name, syns,
				  lately->handshakes, cookies);
}

/* Only the server can help itself: it is told once, and again when it needs more. */
static void tell_own_length(struct bpftune *b, struct listen *listen, const struct listen_counts *grown)
{
	const struct listen_queue *queue = &listen->queue;
	uint32_t needed = listen_needed(queue, grown);
	char name[LISTEN_NAME_BYTES];

	bpftune_learnt(
		b, listen_name(queue, name), NULL,
		"a queue of %u was full (%" PRIu64
		" overflows); its server asked for that, or did before somaxconn became %u: for those who came, it is to "
		"call listen(2) with %u or more%s",
		queue->max_len, grown->overflows, queue->somaxconn, needed,
		needed > queue->somaxconn ? ", and somaxconn is to be as much" : "");
	if ((needed <= listen->told_needed && !strcmp(name, listen->told_name)) ||
	    (listen->told_ns && listen->cause.time_ns < listen->told_ns + TOLD_NS))
		return;
	listen->told_needed = needed;
	listen->told_ns = listen->cause.time_ns;
	memcpy(listen->told_name, name, sizeof(name));
	bpftune_log_event(
		b, &listen->cause, LOG_NOTICE,
		"%s turns clients away: its queue is %u long, though somaxconn allows %u; its server needs a backlog of %u "
		"in listen(2)",
		name, queue->max_len, queue->somaxconn, needed);
}

static void tick(struct bpftune *b, void *state)
{
	struct listen *listen = state;
	struct listen_counts now, grown, lately;
	long long somaxconn[BPFTUNE_INTS_MAX];

	if (!bpftune_value_ints(b, SOMAXCONN, somaxconn))
		listen_unix_look(b, &listen->unix_sockets, somaxconn[0]);
	if (!listen->full)
		return;
	if (read_counts(b, &now) < 0) {
		listen->full = listen->suspected = false;
		return;
	}
	grown = listen_grown(&listen->last, &now);
	lately = listen_grown(&listen->since, &now);
	switch (listen_decide(&grown, &lately, &listen->queue, listen->suspected)) {
	case LISTEN_SUSPECT:
		listen->suspected = true;
		return; /* the next tick comes, whatever happens */
	case LISTEN_RAISE_SOMAXCONN:
		raise_limit(b, listen, SOMAXCONN, &grown, &lately);
		break;
	case LISTEN_RAISE_SYN_BACKLOG:
		raise_limit(b, listen, MAX_SYN_BACKLOG, &grown, &lately);
		break;
	case LISTEN_RESIST:
		resist(b, listen, &lately);
		break;
	case LISTEN_HOLD:
		if (grown.overflows && listen->queue.max_len < listen->queue.somaxconn)
			tell_own_length(b, listen, &grown);
		break;
	}
	listen->full = listen->suspected = false;
	listen->last = now;
}

BPFTUNE_TUNER(listen, BPFTUNE_NOTHING_OWN, .summary = "queues of listening TCP sockets that lose connections",
	      .tunables = tunables, .n_tunables = ARRAY_SIZE(tunables), .scenarios = scenarios,
	      .n_scenarios = ARRAY_SIZE(scenarios), .remedies = remedies, .n_remedies = ARRAY_SIZE(remedies),
	      .state_size = sizeof(struct listen), .init = init, .event = event, .tick = tick);
