// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tcp_init: remembers what window past connections reached, per remote host and service, and starts new ones from
 * there. It owns no tunable: what it decides is carried out by its BPF programs, a connection at a time.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "ipc/cleanup.h"
#include "tuners/decide_tcp_init.h"
#include "tuners/tcp_init.h"
#include "tuners/tcp_init.skel.h"
#include "tuners/tuner.h"

#define SERVICES_MAX 256
#define PATHS_MAX 1024
#define ABOUT_BYTES (REMOTE_TEXT_BYTES + 12)
#define LOSS_BYTES 96

static const struct bpftune_scenario scenarios[] = {
	[TCP_INIT_WINDOW_REACHED] = { "window_reached",
		"A connection ended without loss and had reached a larger window than it started with." },
	[TCP_INIT_LOSS] = { "loss_on_path", "A connection lost segments: new ones on that path start as the kernel has it." },
};

struct service {
	struct tcp_init_service key;
	struct tcp_init_known known;
	struct tcp_init_verdict verdict;
	UT_hash_handle hh; /* in order: the least recently heard of first */
};

/* Where something was lost, whether or not a service is known there. */
struct path {
	struct remote remote;
	uint64_t lost_ns;
	UT_hash_handle hh; /* in order: the one that lost least recently first */
};

struct memory {
	struct service *services;
	struct path *paths;
};

static int init(struct bpftune *b, void **state)
{
	(void)b;
	*state = calloc(1, sizeof(struct memory));
	return *state ? 0 : -ENOMEM;
}

static void forget(struct memory *memory, struct service *service)
{
	HASH_DEL(memory->services, service);
	free(service);
}

static void forget_path(struct memory *memory, struct path *path)
{
	HASH_DEL(memory->paths, path);
	free(path);
}

static void fini(struct bpftune *b, void *state)
{
	struct memory *memory = state;
	struct service *service, *next;
	struct path *path, *next_path;

	(void)b;
	HASH_ITER(hh, memory->services, service, next)
		forget(memory, service);
	HASH_ITER(hh, memory->paths, path, next_path)
		forget_path(memory, path);
	free(memory);
}

static bool is_same_path(const struct service *service, const struct tcp_init_outcome *outcome)
{
	return !memcmp(&service->key.remote, &outcome->remote, sizeof(outcome->remote));
}

static void remember_loss(struct memory *memory, const struct remote *remote, uint64_t now_ns)
{
	struct path *path;

	HASH_FIND(hh, memory->paths, remote, sizeof(*remote), path);
	if (path)
		HASH_DEL(memory->paths, path); /* to be the newest */
	else if (HASH_COUNT(memory->paths) >= PATHS_MAX)
		forget_path(memory, memory->paths);
	path = path ? path : calloc(1, sizeof(*path));
	if (!path)
		return;
	path->remote = *remote;
	path->lost_ns = now_ns;
	HASH_ADD(hh, memory->paths, remote, sizeof(path->remote), path);
}

/* A new one knows of a loss that others had on its path. */
static struct service *make(struct memory *memory, const struct tcp_init_service *key)
{
	struct service *service = calloc(1, sizeof(*service));
	const struct path *path;

	if (!service)
		return NULL;
	service->key = *key;
	HASH_FIND(hh, memory->paths, &key->remote, sizeof(key->remote), path);
	if (path)
		service->known = tcp_init_forget(path->lost_ns);
	if (HASH_COUNT(memory->services) >= SERVICES_MAX)
		forget(memory, memory->services);
	return service;
}

/* A loss alone makes no service known, unless one of its decisions is there: a worker's before us. */
static struct service *find_or_make(struct memory *memory, const struct tcp_init_outcome *outcome, bool lost)
{
	struct tcp_init_service key = { .remote = outcome->remote, .port = outcome->port };
	struct service *service;

	HASH_FIND(hh, memory->services, &key, sizeof(key), service);
	if (service)
		HASH_DEL(memory->services, service); /* to be the newest */
	else if (!lost || outcome->decided)
		service = make(memory, &key);
	if (service)
		HASH_ADD(hh, memory->services, key, sizeof(service->key), service);
	return service;
}

static const char *about(const struct service *service, char text[ABOUT_BYTES])
{
	char remote[REMOTE_TEXT_BYTES];

	remote_text(&service->key.remote, remote);
	if (service->key.port)
		snprintf(text, ABOUT_BYTES, "%s port %u", remote, service->key.port);
	else
		snprintf(text, ABOUT_BYTES, "%s", remote);
	return text;
}

static struct bpftune_verdict verdict_of(const struct service *service)
{
	struct bpftune_verdict verdict;

	memcpy(verdict.key, &service->key, sizeof(verdict.key));
	memcpy(verdict.value, &service->verdict, sizeof(verdict.value));
	return verdict;
}

static void describe_loss(const struct tcp_init_outcome *outcome, bool own, char text[LOSS_BYTES])
{
	if (!own)
		snprintf(text, LOSS_BYTES, "a connection of port %u lost segments", outcome->port);
	else if (outcome->retransmitted)
		snprintf(text, LOSS_BYTES, "a connection that started with %u segments sent %u of %u again",
			 outcome->given ? outcome->given : TCP_INIT_CWND, outcome->retransmitted, outcome->data_segs_out);
	else
		snprintf(text, LOSS_BYTES, "%u segments came out of order", outcome->out_of_order);
}

/* Whatever service it was: the path is the same. What had nothing to lose is no news. */
static void lose(struct bpftune *b, struct memory *memory, const struct service *lossy,
		 const struct tcp_init_outcome *outcome, uint64_t now_ns)
{
	for (struct service *service = memory->services; service; service = service->hh.next) {
		struct bpftune_verdict verdict;
		char text[ABOUT_BYTES], loss[LOSS_BYTES];
		bool decided;

		if (!is_same_path(service, outcome))
			continue;
		decided = service->verdict.valid_until_ns || (service == lossy && outcome->decided);
		service->known = tcp_init_forget(now_ns);
		service->verdict = (struct tcp_init_verdict){ 0 };
		if (!decided)
			continue;
		verdict = verdict_of(service);
		describe_loss(outcome, service == lossy, loss);
		bpftune_learnt(b, about(service, text), &verdict, "starts as the kernel has it for ten minutes: %s", loss);
	}
}

static void reach(struct bpftune *b, struct service *service, const struct tcp_init_outcome *outcome, uint64_t now_ns)
{
	struct tcp_init_windows sample = tcp_init_sample(&(struct tcp_init_connection){
		.cwnd = outcome->cwnd,
		.data_segs_out = outcome->data_segs_out,
		.srtt_us = outcome->srtt_us,
		.min_rtt_us = outcome->min_rtt_us,
		.bytes_received = outcome->bytes_received,
		.rcv_space_bytes = outcome->rcv_space_bytes,
		.mss = outcome->mss,
	});
	struct tcp_init_windows windows;
	struct bpftune_verdict verdict;
	char text[ABOUT_BYTES], room[32] = "";
	bool same;

	service->known = tcp_init_learn(service->known, sample, now_ns);
	windows = tcp_init_decide(&service->known, now_ns);
	if (!windows.cwnd && !windows.rwnd)
		return;
	same = windows.cwnd == service->verdict.cwnd && windows.rwnd == service->verdict.rwnd;
	service->verdict = (struct tcp_init_verdict){
		.cwnd = windows.cwnd,
		.rwnd = windows.rwnd,
		.valid_until_ns = tcp_init_valid_until(service->verdict.valid_until_ns, same, now_ns),
	};
	verdict = verdict_of(service);
	if (windows.rwnd)
		snprintf(room, sizeof(room), " and room for %u", windows.rwnd);
	bpftune_learnt(b, about(service, text), &verdict,
		       "starts with %u segments%s, as the last of %u connections without loss %s %u%s at %u.%u ms",
		       windows.cwnd ? windows.cwnd : TCP_INIT_CWND, room, service->known.connections,
		       sample.cwnd ? "reached" : "took in", sample.cwnd ? outcome->cwnd : outcome->rcv_space_bytes,
		       sample.cwnd ? "" : " bytes", outcome->min_rtt_us / 1000, outcome->min_rtt_us % 1000 / 100);
}

static void event(struct bpftune *b, void *state, const struct bpftune_event *event)
{
	const struct tcp_init_outcome *outcome = (const struct tcp_init_outcome *)event->payload;
	struct memory *memory = state;
	bool lost = event->scenario == TCP_INIT_LOSS;
	struct service *service = find_or_make(memory, outcome, lost);

	if (lost) {
		remember_loss(memory, &outcome->remote, event->time_ns);
		lose(b, memory, service, outcome, event->time_ns);
	} else if (service) {
		reach(b, service, outcome, event->time_ns);
	}
}

BPFTUNE_TUNER(tcp_init, BPFTUNE_NOTHING_OWN,
	.summary = "initial windows of TCP connections, from what past ones to the same remote reached",
	.scenarios = scenarios,
	.n_scenarios = ARRAY_SIZE(scenarios),
	.init = init,
	.event = event,
	.fini = fini);
