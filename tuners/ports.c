// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ports: connections that find no local port. First the ports of sockets in TIME-WAIT may be taken again, then there
 * are more ports. Sockets in TIME-WAIT that find no room get more of it. Tells which remote the ports are used up with.
 */
#include <inttypes.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "tuners/keep.h"
#include "tuners/ports.h"
#include "tuners/ports.skel.h"
#include "tuners/ports_ask.h"
#include "tuners/tuner.h"

#define ASK_NS UINT64_C(5000000000) /* between two questions about all sockets of TCP */
#define ASK_SHARE 100		    /* of its time at most a worker spends on each kind of question */
#define TIME_WAIT_BYTES 256	    /* struct tcp_timewait_sock, about */
#define SHARE 256		    /* of the machine's memory, for one namespace's: no cgroup pays for it */
#define HOLD_S 3600
#define NAME_AGAIN_NS UINT64_C(60000000000)
#define SHORT_NS UINT64_C(60000000000) /* after a failure no more sockets are held in TIME-WAIT than there are */

enum {
	TW_REUSE,
	PORT_RANGE,
	MAX_TW_BUCKETS
};

static const struct bpftune_tunable tunables[] = {
	[TW_REUSE] = { "net.ipv4.tcp_tw_reuse", BPFTUNE_SCOPE_NETNS, 1,
		       "whether connect(2) may take the port of a socket in TIME-WAIT", .min = 0, .max = 2 },
	[PORT_RANGE] = { "net.ipv4.ip_local_port_range", BPFTUNE_SCOPE_NETNS, 2,
			 "local ports that the kernel chooses: lowest, highest", .min = 1, .max = PORTS_HIGHEST },
	[MAX_TW_BUCKETS] = { "net.ipv4.tcp_max_tw_buckets", BPFTUNE_SCOPE_NETNS, 1, "most sockets in TIME-WAIT" },
};

static const struct bpftune_scenario scenarios[] = {
	[PORTS_NONE_LEFT] = { "no_port_left", "connect(2) found no local port that is free for its remote." },
	[PORTS_TIME_WAITS_FULL] = { "time_waits_full",
				    "A socket was not held in TIME-WAIT, as there were as many as tcp_max_tw_buckets allows." },
};

struct ports {
	struct ports_failed failed; /* as last told */
	struct bpftune_event cause;
	uint64_t asker, named_ns; /* the container in this namespace that was named last, and when */
	uint64_t first;		  /* failures before this worker was told of one */
	uint64_t ask_again_ns;
	struct ports_range walls; /* asked for at this tick, if has_walls */
	uint64_t walls_again_ns;
	bool has_walls;
	bool is_short, is_full;		/* told of since the last tick: no port; no room in TIME-WAIT */
	uint64_t overflows, counted_ns; /* how many had found no room in TIME-WAIT, and when; 0: not counted */
};

/* --- no port ------------------------------------------------------------------------------------ */

static uint64_t count_failures(const struct bpftune *b, const void *state)
{
	const struct ports *ports = state;

	(void)b;
	return ports->failed.count - ports->first;
}

/* Its last step is under way, or to be judged: then the other remedy has to wait. */
static bool is_trying(const struct bpftune *b, unsigned int remedy)
{
	long long from;
	int err = bpftune_step_from(b, remedy, &from);

	return !err || err == -EBUSY;
}

/* 2, the kernel's default, reuses on the loopback alone. 0 is somebody's choice, from which no step leads. */
static int64_t reuse_of_all(const struct bpftune *b, const void *state, int64_t current)
{
	const struct ports *ports = state;
	long long range[BPFTUNE_INTS_MAX];
	bool may_help = ports->failed.has_timestamps && !bpftune_value_ints(b, PORT_RANGE, range) &&
			ports_are_waiting(ports->failed.time_waits, &(struct ports_range){ range[0], range[1] });

	return may_help && !is_trying(b, PORT_RANGE) ? 1 : current;
}

/* The kernel walks through all listeners and all sockets of UDP, of which there may be a million. */
static void look_for_walls(const struct bpftune *b, struct ports *ports)
{
	const struct ports_range walls = { PORTS_LOWEST, PORTS_HIGHEST };
	uint64_t begun_ns = keep_now_ns(), took_ns;
	struct ports_range range, any;
	long long ints[BPFTUNE_INTS_MAX];

	ports->has_walls = false;
	if (!ports->is_short || begun_ns < ports->walls_again_ns || bpftune_value_ints(b, PORT_RANGE, ints) < 0)
		return;
	any = range = (struct ports_range){ ints[0], ints[1] };
	if (!ports_widen(&any, &walls))
		return; /* nobody needs to be asked */
	ports->has_walls = !ports_ask_walls(&range, &ports->walls);
	took_ns = keep_now_ns() - begun_ns;
	ports->walls_again_ns = begun_ns + ASK_SHARE * took_ns;
}

/* Asked after reuse was looked at: whatever that could have done it is doing. */
static bool widen(const struct bpftune *b, const void *state, long long ints[BPFTUNE_INTS_MAX])
{
	struct ports_range range = { ints[0], ints[1] };
	const struct ports *ports = state;

	if (!ports->has_walls || is_trying(b, TW_REUSE) || !ports_widen(&range, &ports->walls))
		return false;
	ints[0] = range.low;
	ints[1] = range.high;
	return true;
}

/* What only the application can do something about. */
static void tell_users(struct bpftune *b, struct ports *ports)
{
	uint64_t begun_ns = keep_now_ns(), took_ns;
	char about[PORTS_REMOTE_BYTES];
	struct ports_users users;
	int err;

	if (begun_ns < ports->ask_again_ns)
		return;
	err = ports_ask_users(ports->failed.remote, &users);
	took_ns = keep_now_ns() - begun_ns;
	ports->ask_again_ns = begun_ns + (ASK_SHARE * took_ns > ASK_NS ? ASK_SHARE * took_ns : ASK_NS);
	if (err)
		return;
	bpftune_learnt(
		b, ports_show_users(ports->failed.remote, &users, about), NULL,
		"no port is left: %u are used, %u of them by connections that ended within a minute (TIME-WAIT); %s%s",
		users.sockets, users.time_waits,
		2 * (uint64_t)users.time_waits >= users.sockets
			? "with keep-alive, or a pool of connections, the application needs few of these"
			: "the application holds the others open",
		strcmp(bpftune_value(b, TW_REUSE), "0") ? "" : "; tcp_tw_reuse is 0, somebody's choice, and stays");
}

/* Those that were to be held have the ports. */
static void hold_less(struct bpftune *b, struct ports *ports)
{
	long long first[BPFTUNE_INTS_MAX];

	if (bpftune_tried_from(b, MAX_TW_BUCKETS, first) < 0)
		return;
	bpftune_take_back(b, MAX_TW_BUCKETS, PORTS_NONE_LEFT, &ports->cause, HOLD_S,
			  "connections find no port while %u sockets are in TIME-WAIT", ports->failed.time_waits);
}

/* --- sockets in TIME-WAIT ----------------------------------------------------------------------- */

static int64_t most_time_waits(const struct bpftune *b, const void *state, int64_t current)
{
	(void)b, (void)state, (void)current;
	return (int64_t)bpftune_available_pages() * sysconf(_SC_PAGESIZE) / SHARE / TIME_WAIT_BYTES;
}

static void hold_more(struct bpftune *b, uint64_t overflows, uint64_t in_ns)
{
	static const char reason[] =
		"%" PRIu64 " connections ended in %" PRIu64
		" ms for which there was no room in TIME-WAIT; there would have to be room for %" PRIu64;
	uint64_t in_ms = in_ns / 1000000, needed;
	long long most[BPFTUNE_INTS_MAX];

	if (bpftune_value_ints(b, MAX_TW_BUCKETS, most) < 0)
		return;
	needed = ports_time_waits_needed(most[0], overflows, in_ns);
	if (needed > (uint64_t)most_time_waits(b, NULL, most[0]))
		bpftune_learnt(b, "TIME-WAIT", NULL, reason, overflows, in_ms, needed);
	else
		bpftune_try(b, MAX_TW_BUCKETS, PORTS_TIME_WAITS_FULL, NULL, NULL, reason, overflows, in_ms, needed);
}

/* Between two ticks in a row, both of which have heard of it. */
static void look_at_overflows(struct bpftune *b, struct ports *ports)
{
	struct bpftune_counter counter = { .group = "TcpExt", .name = "TCPTimeWaitOverflow" };
	uint64_t now_ns = keep_now_ns();

	if (!ports->is_full || bpftune_counters(b, &counter, 1) < 0 || !counter.found) {
		ports->counted_ns = 0;
		return;
	}
	if (ports->counted_ns && counter.value > ports->overflows &&
	    (!ports->cause.time_ns || now_ns > ports->cause.time_ns + SHORT_NS))
		hold_more(b, counter.value - ports->overflows, now_ns - ports->counted_ns);
	ports->overflows = counter.value;
	ports->counted_ns = now_ns;
}

/* --- all ---------------------------------------------------------------------------------------- */

/* A remedy's number is its tunable's. Reuse comes first. */
static const struct bpftune_remedy remedies[] = {
	[TW_REUSE] = {
		.scenario = PORTS_NONE_LEFT,
		.tunable = TW_REUSE,
		.direction = BPFTUNE_DOWN,
		.trouble = { .name = "connections without a port" },
		.work = { "Tcp", "ActiveOpens" },
		.count = count_failures,
		.cap = reuse_of_all,
	},
	[PORT_RANGE] = {
		.scenario = PORTS_NONE_LEFT,
		.tunable = PORT_RANGE,
		.value = BPFTUNE_WIDTH,
		.next = widen,
		.trouble = { .name = "connections without a port" },
		.work = { "Tcp", "ActiveOpens" },
		.count = count_failures,
	},
	/* Whether there is room enough shows after a minute, when TIME-WAIT is over: so it is computed, not tried. */
	[MAX_TW_BUCKETS] = {
		.scenario = PORTS_TIME_WAITS_FULL,
		.tunable = MAX_TW_BUCKETS,
		.step_percent = 400,
		.cap = most_time_waits,
	},
};

/* A container that shares this namespace: whose connections fail is all that it says. */
static void name_asker(struct bpftune *b, struct ports *ports, const struct bpftune_event *event)
{
	if (ports->asker == event->asker && event->time_ns < ports->named_ns + NAME_AGAIN_NS)
		return;
	ports->asker = event->asker;
	ports->named_ns = event->time_ns;
	bpftune_log_event(b, event, LOG_NOTICE, "connections find no local port");
}

static void event(struct bpftune *b, void *state, const struct bpftune_event *event)
{
	struct ports *ports = state;

	if (b->shares_netns || event->asker) {
		if (b->shares_netns)
			bpftune_request(b, event);
		else
			name_asker(b, ports, event);
		return;
	}
	if (event->scenario == PORTS_TIME_WAITS_FULL) {
		ports->is_full = true;
		return;
	}
	memcpy(&ports->failed, event->payload, sizeof(ports->failed));
	if (!ports->cause.time_ns || ports->failed.count <= ports->first) /* the map has lost its entry */
		ports->first = ports->failed.count - 1;
	ports->cause = *event;
	ports->is_short = true;
}

static void tick(struct bpftune *b, void *state)
{
	struct ports *ports = state;

	look_for_walls(b, ports);
	if (ports->is_short) {
		tell_users(b, ports);
		hold_less(b, ports);
	}
	look_at_overflows(b, ports);
	ports->is_short = ports->is_full = false;
}

BPFTUNE_TUNER(ports, BPFTUNE_NOTHING_OWN, .summary = "local ports of connections, and sockets in TIME-WAIT",
	      .tunables = tunables, .n_tunables = ARRAY_SIZE(tunables), .scenarios = scenarios,
	      .n_scenarios = ARRAY_SIZE(scenarios), .remedies = remedies, .n_remedies = ARRAY_SIZE(remedies),
	      .state_size = sizeof(struct ports), .event = event, .tick = tick);
