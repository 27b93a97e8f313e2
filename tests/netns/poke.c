// SPDX-License-Identifier: GPL-2.0-or-later
/* A tuner for tests: it proposes what the kernel takes and what it does not, when it is told to. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "tests/netns/attack.h"
#include "tests/netns/poke.h"
#include "tests/netns/poke.skel.h"
#include "tuners/tuner.h"

/* Tells a test that code of this file has run: makes the file that POKE_LOADED names. */
__attribute__((constructor)) static void tell_loaded(void)
{
	const char *path = getenv("POKE_LOADED");
	int fd = path ? open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) : -1;

	close_fdp(&fd);
}

enum {
	TTL,
	FIN_TIMEOUT,
	CONGESTION,
	MISSING,
	DEVICE,
	BUDGET,
	QUEUE
};

static const struct bpftune_tunable tunables[] = {
	[TTL] = { "net.ipv4.ip_default_ttl", BPFTUNE_SCOPE_NETNS, 1, "1 to 255, says the kernel" },
	[FIN_TIMEOUT] = { "net.ipv4.tcp_fin_timeout", BPFTUNE_SCOPE_NETNS, 1, "1 to 100, says this table", .min = 1,
			  .max = 100 },
	[CONGESTION] = { "net.ipv4.tcp_congestion_control", BPFTUNE_SCOPE_NETNS, 0, "a string" },
	[MISSING] = { "net.ipv4.poke_missing", BPFTUNE_SCOPE_NETNS, 1, "not there" },
	[DEVICE] = { "net.ipv4.conf.poke0/1.rp_filter", BPFTUNE_SCOPE_NETNS, 1, "of a device with a dot in its name" },
	[BUDGET] = { "net.core.netdev_budget", BPFTUNE_SCOPE_HOST, 1, "the machine's" },
	[QUEUE] = { "net.ipv4.neigh.lo.unres_qlen_bytes", BPFTUNE_SCOPE_NETNS, 1, "netlink changes it, too" },
};

/* What each scenario does: adds to the value there is; goes back to the second value at the first. */
static const struct {
	int tunable, add, turn_at, turn_to;
} steps[N_POKES] = {
	[POKE_STEP] = { TTL, 1, 200, 100 },   [POKE_SECOND] = { FIN_TIMEOUT, -1, 10, 50 },
	[POKE_KERNEL_REFUSES] = { TTL, 300 }, [POKE_OUT_OF_RANGE] = { FIN_TIMEOUT, 100 },
	[POKE_MISSING] = { MISSING, 1 },      [POKE_DEVICE] = { DEVICE, 1 },
	[POKE_HOST] = { BUDGET, 1 },	      [POKE_QUEUE] = { QUEUE, 4096 },
};

#define SCENARIO(name)                                      \
	{                                                   \
		name, "A process of that name was started." \
	}

static const struct bpftune_scenario scenarios[] = {
	[POKE_STEP] = SCENARIO("step"),
	[POKE_SECOND] = SCENARIO("second"),
	[POKE_KERNEL_REFUSES] = SCENARIO("kernel_refuses"),
	[POKE_OUT_OF_RANGE] = SCENARIO("out_of_range"),
	[POKE_TEXT] = SCENARIO("text"),
	[POKE_MISSING] = SCENARIO("missing"),
	[POKE_DEVICE] = SCENARIO("device"),
	[POKE_HOST] = SCENARIO("host"),
	[POKE_QUEUE] = SCENARIO("queue"),
	[POKE_CHATTER] = SCENARIO("chatter"),
	[POKE_REPEAT] = SCENARIO("repeat"),
	[POKE_LEARN] = SCENARIO("learn"),
	[POKE_TELL] = SCENARIO("tell"),
	[POKE_LEARN_MANY] = SCENARIO("learn_many"),
	[POKE_REMEMBER] = SCENARIO("remember"),
	[POKE_NOTHING] = SCENARIO("nothing"),
	[POKE_ATTACK] = SCENARIO("attack"),
};

static int propose(struct bpftune *b, const struct bpftune_event *event)
{
	long long value[BPFTUNE_INTS_MAX] = { 0 };
	int tunable = steps[event->scenario].tunable;

	bpftune_value_ints(b, tunable, value); /* what is not there counts from 0 */
	if (steps[event->scenario].turn_at && value[0] == steps[event->scenario].turn_at)
		value[0] = steps[event->scenario].turn_to;
	else
		value[0] += steps[event->scenario].add;
	return bpftune_propose(b, tunable, value, event->scenario, event, "poked");
}

static void learn(struct bpftune *b, unsigned int key, unsigned int value)
{
	struct bpftune_verdict verdict = { 0 };
	char about[32];

	snprintf(about, sizeof(about), "poke %u", key);
	verdict.key[0] = key;
	verdict.value[0] = value;
	bpftune_learnt(b, about, &verdict, "is %u", value);
}

static void remember(struct bpftune *b)
{
	char text[512], about[] = "poke";

	snprintf(text, sizeof(text), "remembered of %s", b->name);
	bpftune_remember(b, 1, text, strlen(text));
	bpftune_learnt(b, about, NULL, "learnt of %s", b->name);
}

static void event(struct bpftune *b, void *state, const struct bpftune_event *event)
{
	int err = 0;

	(void)state;
	switch (event->scenario) {
	case POKE_TEXT:
		err = bpftune_propose_text(b, CONGESTION,
					   strcmp(bpftune_value(b, CONGESTION), "reno") ? "reno" : "cubic",
					   event->scenario, event, "poked");
		break;
	case POKE_HOST:
		err = b->id == BPFTUNE_HOST_ID ? propose(b, event) : bpftune_request(b, event);
		break;
	case POKE_CHATTER:
		for (int i = 0; i < 2000; i++)
			bpftune_log(b, LOG_INFO, "chatter %d %0300d", i, 0);
		break;
	case POKE_REPEAT:
		for (int i = 0; i < 15; i++)
			bpftune_log(b, LOG_INFO, "the same");
		break;
	case POKE_LEARN: /* the payload is the verdict that there is */
		learn(b, 0, (event->payload[0] + 1) % 4);
		break;
	case POKE_LEARN_MANY:
		for (int i = 1; i <= 64; i++)
			learn(b, i, 1);
		break;
	case POKE_TELL:
		bpftune_log(b, LOG_INFO, "the program finds %u", event->payload[0]);
		break;
	case POKE_REMEMBER:
		remember(b);
		break;
	case POKE_NOTHING:
		break;
	case POKE_ATTACK:
		attack(b);
		break;
	default:
		err = propose(b, event);
	}
	if (err)
		bpftune_log(b, LOG_WARNING, "%s: refused: %s", scenarios[event->scenario].name, strerror(-err));
}

BPFTUNE_TUNER(poke, BPFTUNE_NOTHING_OWN, .summary = "does what a test tells it to", .tunables = tunables,
	      .n_tunables = ARRAY_SIZE(tunables), .scenarios = scenarios, .n_scenarios = ARRAY_SIZE(scenarios),
	      .event = event);
