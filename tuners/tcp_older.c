// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/tcp_older.h"

#include <inttypes.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "tuners/keep.h"
#include "tuners/tcp_buffer.h"
#include "tuners/tcp_diag.h"

#define FIRST_MS 1000
#define GLANCE_MS 200 /* between two looks that tell whether a sender is limited */
#define GLANCES 5     /* after a walk: on a busy machine a sender may just not run */
#define LOOK_MS 100
#define FOLLOW_NS 10000000000ULL /* at an unchanged limit: as in tcp_buffer.bpf.c */
#define HEARD_NS 2000000000ULL
#define IN_VAIN_MAX 3
#define PRESSURE_SHARE 16 /* of the machine's memory: net/ipv4/tcp.c: tcp_init_mem() */
#define TOLD_MEMORY (1 << (INET_DIAG_SKMEMINFO - 1))
#define TOLD_ALL (TOLD_MEMORY | 1 << (INET_DIAG_INFO - 1))
#define ESTABLISHED (1 << 1) /* enum of net/tcp_states.h, which <linux/tcp.h> does not have */

/* What a look reads: it is filled in if the sender is still there. */
struct shown {
	uint32_t mem[SK_MEMINFO_VARS];
	struct tcp_info info;
	bool is_there;
};

static void show(const struct tcp_diag_socket *socket, void *arg)
{
	struct shown *shown = arg;

	if (!socket->mem || !socket->info)
		return;
	memcpy(shown->mem, socket->mem, (SK_MEMINFO_WMEM_QUEUED + 1) * sizeof(*shown->mem));
	memcpy(&shown->info, socket->info,
	       socket->info_bytes < sizeof(shown->info) ? socket->info_bytes : sizeof(shown->info));
	shown->is_there = true;
}

static bool look(const struct tcp_older *older, unsigned int i, struct shown *ret_shown,
		 struct tcp_older_look *ret_look)
{
	struct shown shown = { 0 };

	if (tcp_diag_get(older->senders[i].family, &older->senders[i].id, TOLD_ALL, show, &shown) < 0 ||
	    !shown.is_there)
		return false;
	*ret_shown = shown;
	*ret_look = (struct tcp_older_look){
		.time_us = keep_now_ns() / 1000,
		.sndbuf_limited_us = shown.info.tcpi_sndbuf_limited,
		.size_bytes = shown.mem[SK_MEMINFO_SNDBUF],
		.queued_bytes = shown.mem[SK_MEMINFO_WMEM_QUEUED],
		.notsent_bytes = shown.info.tcpi_notsent_bytes,
		.mss_bytes = shown.info.tcpi_snd_mss,
		.unacked = shown.info.tcpi_unacked,
		.cwnd = shown.info.tcpi_snd_cwnd,
	};
	return true;
}

/* --- finding one -------------------------------------------------------------------------------- */

/* A buffer of another size is one that the application has fixed, or one that still grows by itself. */
static void take_if_full(const struct tcp_diag_socket *socket, void *arg)
{
	struct tcp_older *older = arg;
	const uint32_t *mem = socket->mem;

	if (!mem || older->n == TCP_OLDER_MAX || mem[SK_MEMINFO_SNDBUF] != older->limit_bytes ||
	    mem[SK_MEMINFO_WMEM_QUEUED] < mem[SK_MEMINFO_SNDBUF] / 2)
		return;
	older->senders[older->n].id = socket->message->id;
	older->senders[older->n].family = socket->message->idiag_family;
	older->n++;
}

static void drop(struct tcp_older *older, unsigned int i)
{
	older->n--;
	memmove(&older->senders[i], &older->senders[i + 1], (older->n - i) * sizeof(*older->senders));
}

static void next_walk(struct bpftune *b, struct tcp_older *older)
{
	older->n = 0;
	older->is_following = false;
	bpftune_wake(b, tcp_older_pause_ns(older->in_vain++, older->walk_ns) / 1000000);
}

/* Nobody is limited. After a few such walks there is none until the limit changes. */
static void give_up(struct bpftune *b, struct tcp_older *older)
{
	if (older->in_vain < IN_VAIN_MAX)
		next_walk(b, older);
	older->n = 0;
}

static void walk(struct bpftune *b, struct tcp_older *older)
{
	uint64_t begun_ns = keep_now_ns();
	struct shown shown;

	if (tcp_diag_walk(ESTABLISHED, TOLD_MEMORY, take_if_full, older) < 0)
		return; /* the kernel does not tell */
	older->walk_ns = keep_now_ns() - begun_ns;
	for (unsigned int i = older->n; i--;)
		if (!look(older, i, &shown, &older->senders[i].look))
			drop(older, i);
	older->glances = GLANCES;
	if (older->n)
		bpftune_wake(b, GLANCE_MS);
	else
		give_up(b, older);
}

/* The first one that is limited becomes the first of all. */
static void choose(struct bpftune *b, struct tcp_older *older)
{
	struct tcp_older_look now;
	struct shown shown;

	for (unsigned int i = 0; i < older->n; i++) {
		if (!look(older, i, &shown, &now) || !tcp_older_is_limited(&older->senders[i].look, &now))
			continue;
		older->senders[0] = older->senders[i];
		older->senders[0].look = now;
		older->is_following = true;
		older->since_ns = keep_now_ns();
		older->turn++;
		bpftune_wake(b, LOOK_MS);
		return;
	}
	if (--older->glances)
		bpftune_wake(b, GLANCE_MS);
	else
		give_up(b, older);
}

/* --- following it ------------------------------------------------------------------------------- */

/* The machine's tcp_mem is the host's to see: else what Linux sets at boot is a good guess. */
static uint64_t pressure_pages(void)
{
	_cleanup_fclose_ FILE *file = fopen("/proc/sys/net/ipv4/tcp_mem", "re");
	uint64_t pages;

	if (file && fscanf(file, "%*u %" SCNu64, &pages) == 1)
		return pages;
	return sysconf(_SC_PHYS_PAGES) / PRESSURE_SHARE;
}

static uint64_t allocated_pages(void)
{
	_cleanup_fclose_ FILE *file = fopen("/proc/self/net/sockstat", "re");
	char line[128];
	uint64_t pages;

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "TCP: inuse %*u orphan %*u tw %*u alloc %*u mem %" SCNu64, &pages) == 1)
			return pages;
	return 0;
}

static uint32_t saturated(uint64_t value)
{
	return value < UINT32_MAX ? value : UINT32_MAX;
}

static void tell(const struct bpftune *b, const struct tcp_older *older, const struct shown *shown, bool is_limited,
		 struct bpftune_event *ret_event)
{
	const struct tcp_info *info = &shown->info;
	bool is_host = b->id == BPFTUNE_HOST_ID;
	const struct tcp_older_look *now = &older->senders[0].look;
	struct tcp_buffer_seen seen = {
		.flow = (uint64_t)older->senders[0].id.idiag_cookie[1] << 32 | older->senders[0].id.idiag_cookie[0],
		.bytes = info->tcpi_bytes_acked,
		.limit_bytes = older->limit_bytes,
		.size_bytes = now->size_bytes,
		.srtt_us = info->tcpi_rtt,
		.min_rtt_us = info->tcpi_min_rtt,
		.held_bytes = now->queued_bytes,
		.data_bytes = saturated((uint64_t)info->tcpi_unacked * info->tcpi_snd_mss + info->tcpi_notsent_bytes),
		.turn = older->turn,
		.looks = older->looks,
		.limited = older->limited,
		.ticks = now->time_us,
		.busy = info->tcpi_busy_time,
		.sndbuf_limited = info->tcpi_sndbuf_limited,
		.rwnd_limited = info->tcpi_rwnd_limited,
		.mem_allocated_pages = saturated(allocated_pages()),
		.mem_pressure_pages = saturated(pressure_pages()),
		.container_pages = is_host ? TCP_BUFFER_UNLIMITED_PAGES : saturated(b->memory_pages),
		.flags = (is_limited ? TCP_BUFFER_LIMITED_NOW : 0) |
			 (is_host || b->memory_pages ? 0 : TCP_BUFFER_MEMORY_UNKNOWN),
	};

	*ret_event = (struct bpftune_event){
		.netns_cookie = b->netns_cookie,
		.time_ns = now->time_us * 1000,
		.scenario = TCP_BUFFER_SEND_LIMITED,
	};
	memcpy(ret_event->payload, &seen, sizeof(seen));
}

static bool follow(struct bpftune *b, struct tcp_older *older, struct bpftune_event *ret_event)
{
	uint64_t now_ns = keep_now_ns();
	struct tcp_older_look now;
	struct shown shown;
	bool is_limited;

	if (now_ns > older->since_ns + FOLLOW_NS || now_ns < older->heard_ns + HEARD_NS ||
	    !look(older, 0, &shown, &now)) {
		next_walk(b, older);
		return false;
	}
	is_limited = tcp_older_is_limited(&older->senders[0].look, &now) && now.size_bytes >= older->limit_bytes;
	older->senders[0].look = now;
	older->looks++;
	older->limited += is_limited;
	tell(b, older, &shown, is_limited, ret_event);
	bpftune_wake(b, LOOK_MS);
	return true;
}

/* --- the tuner's -------------------------------------------------------------------------------- */

void tcp_older_begin(struct bpftune *b, struct tcp_older *older)
{
	struct bpftune_counter established = { .group = "Tcp", .name = "CurrEstab" };

	(void)older;
	if (!b->shares_netns && !bpftune_counters(b, &established, 1) && established.value)
		bpftune_wake(b, FIRST_MS);
}

void tcp_older_heard(struct tcp_older *older, uint64_t time_ns)
{
	older->heard_ns = time_ns;
}

bool tcp_older_wake(struct bpftune *b, struct tcp_older *older, uint32_t limit_bytes, struct bpftune_event *ret_event)
{
	if (older->limit_bytes != limit_bytes) {
		older->limit_bytes = limit_bytes;
		older->since_ns = keep_now_ns();
		older->in_vain = 0;
	}
	if (older->is_following)
		return follow(b, older, ret_event);
	if (older->n)
		choose(b, older);
	else if (keep_now_ns() < older->heard_ns + HEARD_NS)
		next_walk(b, older);
	else
		walk(b, older);
	return false;
}
