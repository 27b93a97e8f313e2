// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tcp_init: remembers what window past connections reached, per remote host and service, and starts new ones from
 * there. It owns no tunable: what it decides is carried out by its BPF programs, a connection at a time.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/cleanup.h"
#include "tuners/decide_tcp_init.h"
#include "tuners/keep.h"
#include "tuners/remotes.h"
#include "tuners/tcp_init.h"
#include "tuners/tcp_init.skel.h"
#include "tuners/tuner.h"

#define SERVICES_MAX 256
#define PATHS_MAX 768
#define IN_FORCE_MAX 64 /* as many as `status` has lines for: a verdict more pushes out another one */
#define ABOUT_BYTES (REMOTE_TEXT_BYTES + 12)
#define WHY_BYTES 112
#define NSEC_PER_SEC 1000000000ULL

static const struct bpftune_scenario scenarios[] = {
	[TCP_INIT_WINDOW_REACHED] = { "window_reached",
				      "A connection ended and had reached a larger window than it started with." },
	[TCP_INIT_LOSS] = { "loss_on_path",
			    "A connection lost segments of its first window: new ones on that path start as the kernel has it, "
			    "if it had been given the window, or if others lose as well." },
};

/* What is known of a service, and outlives this worker: bpftune_remember(). */
struct known_service {
	struct tcp_init_service key;
	struct tcp_init_known known;
	struct tcp_init_verdict verdict;
};

struct service {
	struct remotes_entry entry;
	struct known_service is;
	bool is_shown; /* `status` has a line about it */
};

/* How starts go to a remote, whether or not a service is known there. It outlives this worker, too. */
struct known_path {
	struct remote remote;
	struct tcp_init_path path;
};

struct path {
	struct remotes_entry entry;
	struct known_path is;
};

struct memory {
	struct remotes services, paths; /* the verdict about a path is that it is held off */
	struct keep keep;
};

/* What bpftune_remember() has: this, the services, the paths. */
struct kept {
	uint32_t n_services, n_paths;
};

#define KEPT_VERSION 2

_Static_assert(sizeof(struct kept) + SERVICES_MAX * sizeof(struct known_service) +
			       PATHS_MAX * sizeof(struct known_path) <=
		       BPFTUNE_MEMORY_BYTES_MAX,
	       "all of it can be kept");

static void fini(struct bpftune *b, void *state)
{
	struct memory *memory = state;

	(void)b;
	remotes_free(&memory->services);
	remotes_free(&memory->paths);
	free(memory);
}

static bool is_same_path(const struct service *service, const struct tcp_init_outcome *outcome)
{
	return !memcmp(&service->is.key.remote, &outcome->remote, sizeof(outcome->remote));
}

static struct path *find_or_make_path(struct memory *memory, const struct remote *remote, uint64_t now_ns)
{
	uint8_t key[sizeof(((struct remotes_entry *)0)->key)] = { 0 };
	struct path *path;

	memcpy(key, remote, sizeof(*remote));
	path = (struct path *)remotes_get(&memory->paths, key, now_ns, NULL);
	if (path)
		path->is.remote = *remote;
	return path;
}

static void forget_path(void *arg, const struct remotes_entry *entry)
{
	(void)arg, (void)entry; /* nobody was told of it */
}

static const char *about(const struct service *service, char text[ABOUT_BYTES])
{
	char remote[REMOTE_TEXT_BYTES];

	remote_text(&service->is.key.remote, remote);
	if (service->is.key.port)
		snprintf(text, ABOUT_BYTES, "%s port %u", remote, service->is.key.port);
	else
		snprintf(text, ABOUT_BYTES, "%s", remote);
	return text;
}

/* For remotes_get(), to make room for another. */
static void forget_service(void *b, const struct remotes_entry *entry)
{
	const struct service *service = (const struct service *)entry; /* its first member */
	char text[ABOUT_BYTES];

	if (service->is_shown)
		bpftune_forget(b, about(service, text));
}

static struct service *make(struct bpftune *b, struct memory *memory, const struct tcp_init_service *key,
			    uint64_t now_ns)
{
	struct service *service = (struct service *)remotes_get(&memory->services, (const uint8_t *)key, now_ns, b);

	if (service)
		service->is.key = *key;
	return service;
}

/* A loss alone makes no service known, unless one of its decisions is there: a worker's before us. */
static struct service *find_or_make(struct bpftune *b, struct memory *memory, const struct tcp_init_outcome *outcome,
				    bool lost, uint64_t now_ns)
{
	struct tcp_init_service key = { .remote = outcome->remote, .port = outcome->port };

	if (lost && !outcome->decided && !remotes_find_key(&memory->services, (const uint8_t *)&key))
		return NULL;
	return make(b, memory, &key, now_ns);
}

static struct bpftune_verdict verdict_of(const struct service *service)
{
	struct bpftune_verdict verdict = { .valid_until_s = service->is.verdict.valid_until_ns / NSEC_PER_SEC };

	memcpy(verdict.key, &service->is.key, sizeof(verdict.key));
	memcpy(verdict.value, &service->is.verdict, sizeof(verdict.value));
	return verdict;
}

/* What new connections of the service get, and why. */
static void tell(struct bpftune *b, struct service *service, const char *why)
{
	const struct tcp_init_verdict *verdict = &service->is.verdict;
	struct bpftune_verdict record = verdict_of(service);
	char text[ABOUT_BYTES], room[32] = "";

	service->is_shown = true;
	service->entry.valid_until_ns = verdict->valid_until_ns;
	if (verdict->rwnd)
		snprintf(room, sizeof(room), " and room for %u", verdict->rwnd);
	bpftune_learnt(b, about(service, text), &record, "starts with %u segments%s%s",
		       verdict->cwnd ? verdict->cwnd : TCP_INIT_CWND, room, why);
}

/* What never had a verdict is no news. */
static void take_back(struct bpftune *b, struct service *service, bool decided, const char *why)
{
	struct bpftune_verdict record;
	char text[ABOUT_BYTES];

	if (!service->is_shown && !decided)
		return;
	service->is_shown = true;
	service->is.verdict = (struct tcp_init_verdict){ 0 };
	service->entry.valid_until_ns = 0;
	record = verdict_of(service);
	bpftune_learnt(b, about(service, text), &record, "starts as the kernel has it%s", why);
}

/* Whatever service it was: the path is the same. */
static void lose(struct bpftune *b, struct memory *memory, const struct service *lossy,
		 const struct tcp_init_outcome *outcome, bool is_held)
{
	char why[WHY_BYTES];

	memory->keep.is_due = true;
	if (is_held)
		snprintf(why, sizeof(why),
			 " for ten minutes: too many connections lost segments of their first window");
	else
		snprintf(why, sizeof(why),
			 " until %d connections have shown more: one lost segments of the window that it was given",
			 TCP_INIT_PAST);
	for (struct remotes_entry *entry = memory->services.first; entry; entry = entry->hh.next) {
		struct service *service = (struct service *)entry;

		if (!is_same_path(service, outcome))
			continue;
		service->is.known = tcp_init_unlearn(service->is.known);
		take_back(b, service, service == lossy && outcome->decided, why);
	}
}

static void describe(const struct service *service, const struct tcp_init_sample *sample,
		     const struct tcp_init_outcome *outcome, char why[WHY_BYTES])
{
	snprintf(why, WHY_BYTES, ", as the last of %u connections %s %u%s at %u.%u ms",
		 sample->cwnd ? service->is.known.senders : service->is.known.receivers,
		 sample->cwnd ? "reached" : "took in", sample->cwnd ? outcome->cwnd : outcome->rcv_space_bytes,
		 sample->cwnd ? "" : " bytes", outcome->min_rtt_us / 1000, outcome->min_rtt_us % 1000 / 100);
}

/* A kernel that offers no more than a SYN can has no use for a receive window of ours. */
static struct tcp_init_sample sample_of(const struct tcp_init_outcome *outcome)
{
	return tcp_init_sample_of(&(struct tcp_init_connection){
		.cwnd = outcome->cwnd,
		.data_segs_out = outcome->data_segs_out,
		.retransmitted = outcome->retransmitted,
		.srtt_us = outcome->srtt_us,
		.min_rtt_us = outcome->min_rtt_us,
		.bytes_received = outcome->bytes_received,
		.rcv_space_bytes = outcome->is_offer_cut ? 0 : outcome->rcv_space_bytes,
		.mss = outcome->mss,
	});
}

static bool is_in_force(const struct service *service, uint64_t now_ns)
{
	return service->is.verdict.valid_until_ns > now_ns;
}

/* Those that are in force stay while connections confirm them: taking turns, all would be in the log each time. */
static bool may_be_in_force(const struct memory *memory, const struct service *service, uint64_t now_ns)
{
	unsigned int n = 0;

	if (is_in_force(service, now_ns))
		return true;
	for (const struct remotes_entry *entry = memory->services.first; entry; entry = entry->hh.next)
		n += is_in_force((const struct service *)entry, now_ns);
	return n < IN_FORCE_MAX;
}

static void reach(struct bpftune *b, struct memory *memory, struct service *service,
		  const struct tcp_init_outcome *outcome, uint64_t now_ns)
{
	struct tcp_init_verdict before = service->is.verdict;
	struct tcp_init_sample sample = sample_of(outcome);
	struct tcp_init_windows windows;
	char why[WHY_BYTES];
	bool same;

	if (outcome->is_offer_cut)
		service->is.known.rwnd = 0;
	service->is.known = tcp_init_learn(service->is.known, sample, now_ns);
	windows = tcp_init_decide(&service->is.known, now_ns);
	if (!windows.cwnd && !windows.rwnd && (service->is.verdict.valid_until_ns || outcome->decided)) {
		take_back(b, service, true, ": no larger window is known by now");
		memory->keep.is_due = true;
	}
	if ((!windows.cwnd && !windows.rwnd) || (!sample.cwnd && !sample.rwnd) ||
	    !may_be_in_force(memory, service, now_ns))
		return;
	same = windows.cwnd == before.cwnd && windows.rwnd == before.rwnd;
	service->is.verdict = (struct tcp_init_verdict){
		.cwnd = windows.cwnd,
		.rwnd = windows.rwnd,
		.rwnd_bytes = windows.rwnd_bytes,
		.rtt_us = service->is.known.rtt_us,
		.valid_until_ns = tcp_init_valid_until(before.valid_until_ns, same, now_ns),
	};
	memory->keep.is_due |= memcmp(&service->is.verdict, &before, sizeof(before)) != 0;
	describe(service, &sample, outcome, why);
	tell(b, service, why);
}

static void event(struct bpftune *b, void *state, const struct bpftune_event *event)
{
	const struct tcp_init_outcome *outcome = (const struct tcp_init_outcome *)event->payload;
	struct memory *memory = state;
	struct path *path = find_or_make_path(memory, &outcome->remote, event->time_ns);
	struct service *service = find_or_make(b, memory, outcome, event->scenario == TCP_INIT_LOSS, event->time_ns);
	uint32_t jumps_lost, lost_before;
	bool was_held, is_held;

	memory->keep.has_heard = true;
	if (!path)
		return;
	lost_before = path->is.path.lost;
	was_held = tcp_init_is_held(&path->is.path, event->time_ns);
	path->is.path = tcp_init_count(path->is.path, &outcome->counted, event->time_ns, &jumps_lost);
	is_held = tcp_init_is_held(&path->is.path, event->time_ns);
	path->entry.valid_until_ns = path->is.path.held_until_ns;
	memory->keep.is_due |= path->is.path.lost != lost_before;
	if ((is_held && !was_held) || jumps_lost)
		lose(b, memory, service, outcome, is_held);
	else if (service && !is_held && event->scenario == TCP_INIT_WINDOW_REACHED)
		reach(b, memory, service, outcome, event->time_ns);
}

/* --- what outlives a worker ---------------------------------------------------------------------- */

static void remember(struct bpftune *b, const struct memory *memory, uint64_t now_ns)
{
	struct kept *kept =
		calloc(1, sizeof(*kept) + HASH_COUNT(memory->services.first) * sizeof(struct known_service) +
				  HASH_COUNT(memory->paths.first) * sizeof(struct known_path));
	struct known_service *services;
	struct known_path *paths;

	if (!kept)
		return;
	services = (struct known_service *)(kept + 1);
	for (const struct remotes_entry *entry = memory->services.first; entry; entry = entry->hh.next) {
		const struct service *service = (const struct service *)entry;

		if (tcp_init_is_recent(&service->is.known, now_ns))
			services[kept->n_services++] = service->is;
	}
	paths = (struct known_path *)(services + kept->n_services);
	for (const struct remotes_entry *entry = memory->paths.first; entry; entry = entry->hh.next) {
		const struct path *path = (const struct path *)entry;

		if (path->is.path.lost || tcp_init_is_held(&path->is.path, now_ns))
			paths[kept->n_paths++] = path->is;
	}
	bpftune_remember(b, KEPT_VERSION, kept, (uint8_t *)(paths + kept->n_paths) - (uint8_t *)kept);
	free(kept);
}

static void tick(struct bpftune *b, void *state)
{
	struct memory *memory = state;
	uint64_t now_ns = keep_now_ns();

	if (keep_tick(&memory->keep, now_ns))
		remember(b, memory, now_ns);
}

static const struct kept *remembered(struct bpftune *b)
{
	size_t size;
	const struct kept *kept = bpftune_remembered(b, KEPT_VERSION, &size);

	if (!kept || size < sizeof(*kept) || kept->n_services > SERVICES_MAX || kept->n_paths > PATHS_MAX ||
	    size != sizeof(*kept) + kept->n_services * sizeof(struct known_service) +
			    kept->n_paths * sizeof(struct known_path))
		return NULL;
	return kept;
}

static void recall(struct bpftune *b, struct memory *memory, uint64_t now_ns)
{
	const struct kept *kept = remembered(b);
	const struct known_service *services;
	const struct known_path *paths;

	if (!kept)
		return;
	services = (const struct known_service *)(kept + 1);
	paths = (const struct known_path *)(services + kept->n_services);
	for (uint32_t i = 0; i < kept->n_paths; i++) {
		struct path *path = find_or_make_path(memory, &paths[i].remote, now_ns);

		if (!path)
			continue;
		path->is = paths[i];
		path->entry.valid_until_ns = path->is.path.held_until_ns;
	}
	for (uint32_t i = 0; i < kept->n_services; i++) {
		struct service *service = make(b, memory, &services[i].key, now_ns);

		if (!service)
			continue;
		service->is = services[i];
		if (service->is.verdict.valid_until_ns > now_ns)
			tell(b, service, ", as before");
	}
}

static int init(struct bpftune *b, void **state)
{
	struct memory *memory = calloc(1, sizeof(*memory));

	if (!memory)
		return -ENOMEM;
	memory->services = (struct remotes){ sizeof(struct service), SERVICES_MAX, forget_service, NULL };
	memory->paths = (struct remotes){ sizeof(struct path), PATHS_MAX, forget_path, NULL };
	recall(b, memory, keep_now_ns());
	*state = memory;
	return 0;
}

BPFTUNE_TUNER(tcp_init, BPFTUNE_NOTHING_OWN,
	      .summary = "initial windows of TCP connections, from what past ones to the same remote reached",
	      .scenarios = scenarios, .n_scenarios = ARRAY_SIZE(scenarios), .init = init, .event = event, .tick = tick,
	      .fini = fini);
