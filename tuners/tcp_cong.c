// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tcp_cong: gives connections bbr where their path loses segments by itself and bbr was measured to give more. It
 * changes no tunable: the namespace's default stays what it is.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "tuners/decide_tcp_cong.h"
#include "tuners/keep.h"
#include "tuners/remotes.h"
#include "tuners/tcp_cong.h"
#include "tuners/tcp_cong.skel.h"
#include "tuners/tuner.h"

#define NSEC_PER_SEC 1000000000ULL
#define OFFER_NS (10 * NSEC_PER_SEC)
#define SYSCTLS "/proc/sys/net/ipv4/tcp_"
#define KNOWN_VERSION 2

/* What is known of a remote, and outlives this worker where it led to a decision: bpftune_remember(). */
struct known {
	struct remote remote;
	struct cong_remote memory;
	struct tcp_cong_verdict verdict;
};

_Static_assert(REMOTES_MAX * sizeof(struct known) <= BPFTUNE_MEMORY_BYTES_MAX, "all of them can be kept");

struct cong_entry {
	struct remotes_entry is;
	struct known known;
	bool decided; /* there is a verdict, by a worker before us maybe */
};

struct cong {
	struct remotes remotes;
	struct cong_offer offer;
	char standard[TCP_CONG_NAME_BYTES + 1]; /* the default's name */
	bool is_loaded;				/* the kernel has bbr */
	bool stands_aside;			/* the default is neither reno nor cubic */
	uint64_t offer_ns;			/* when it was read; 0: not yet */
	bool said_no_bbr;
	struct keep keep;
};

/* Never written by this tuner. An administrator's write makes the tuner step aside, in that namespace. */
static const struct bpftune_tunable tunables[] = {
	{ "net.ipv4.tcp_congestion_control", BPFTUNE_SCOPE_NETNS, 0, "the algorithm of new connections",
	  .is_inherited = true },
	{ "net.ipv4.tcp_allowed_congestion_control", BPFTUNE_SCOPE_HOST, 0,
	  "the algorithms that everybody may choose" },
};

static const struct bpftune_scenario scenarios[] = {
	[TCP_CONG_FLOW] = { "connection_seen",
			    "A connection sent enough to tell how its algorithm does with this remote host." },
};

static void fini(struct bpftune *b, void *state)
{
	struct cong *cong = state;

	(void)b;
	remotes_free(&cong->remotes);
	free(cong);
}

/* --- what there is to choose from ---------------------------------------------------------------- */

static void read_sysctl(const char *path, char *ret_text, size_t size)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, ret_text, size - 1);

	ret_text[n > 0 ? n : 0] = '\0';
	ret_text[strcspn(ret_text, "\n")] = '\0';
}

/* True when it is another one than before. */
static bool read_offer(struct cong *cong)
{
	struct cong before = *cong;
	char available[256], allowed[256];
	unsigned int algorithm;

	read_sysctl(SYSCTLS "available_congestion_control", available, sizeof(available));
	read_sysctl(SYSCTLS "allowed_congestion_control", allowed, sizeof(allowed));
	read_sysctl(SYSCTLS "congestion_control", cong->standard, sizeof(cong->standard));
	algorithm = cong_algorithm(cong->standard);
	cong->stands_aside = algorithm != TCP_CONG_RENO && algorithm != TCP_CONG_CUBIC;
	cong->is_loaded = cong_is_in(available, cong_name(TCP_CONG_BBR));
	cong->offer = (struct cong_offer){
		.has_bbr = !cong->stands_aside && cong->is_loaded && cong_is_in(allowed, cong_name(TCP_CONG_BBR)),
		.standard = cong->stands_aside ? TCP_CONG_N : algorithm,
	};
	cong->said_no_bbr &= cong->is_loaded == before.is_loaded;
	return strcmp(cong->standard, before.standard) || cong->offer.has_bbr != before.offer.has_bbr ||
	       cong->is_loaded != before.is_loaded;
}

static void say_no_bbr(struct bpftune *b, struct cong *cong, const char *about)
{
	if (cong->said_no_bbr || cong->stands_aside || cong->offer.has_bbr)
		return;
	cong->said_no_bbr = true;
	bpftune_log(b, LOG_NOTICE, "connections to %s lose segments, where bbr would do better: %s", about,
		    cong->is_loaded ? "it is not in net.ipv4.tcp_allowed_congestion_control"
				    : "this kernel has not loaded it (modprobe tcp_bbr)");
}

/* --- remotes ------------------------------------------------------------------------------------- */

static struct cong_entry *entry_of(struct remotes_entry *is)
{
	return (struct cong_entry *)is; /* its first member */
}

/* For remotes_get(), to make room for another. */
static void forget(void *b, const struct remotes_entry *entry)
{
	char about[REMOTE_TEXT_BYTES];

	bpftune_forget(b, remote_text((const struct remote *)entry->key, about));
}

static struct cong_entry *find_or_make(struct bpftune *b, struct cong *cong, const struct remote *remote,
				       uint64_t now_ns)
{
	uint8_t key[sizeof(((struct remotes_entry *)0)->key)] = { 0 };
	struct cong_entry *entry;

	memcpy(key, remote, sizeof(*remote));
	entry = entry_of(remotes_get(&cong->remotes, key, now_ns, b));
	if (entry)
		entry->known.remote = *remote;
	return entry;
}

/* What is said of bbr beside the default, if anything. */
static void describe_bbr(const struct cong *cong, const struct cong_remote *memory, char *ret_text, size_t size)
{
	if (memory->state == CONG_TRIAL)
		snprintf(ret_text, size, "; bbr is tried");
	else if (cong_is_lossy(memory) && !cong->offer.has_bbr)
		snprintf(ret_text, size, "; bbr is not available");
	else if (memory->time_s < memory->held_until_s)
		snprintf(ret_text, size, "; bbr gave %.3g Mbit/s and lost %.1f %%: not again for %u min",
			 cong_rate_mbit(&memory->bbr), cong_loss_percent(&memory->bbr), (memory->hold_s + 59) / 60);
}

/* "bbr, 2.1 % loss, 48 → 430 Mbit/s, round trip 20.1 ms" */
static void describe(const struct cong *cong, const struct cong_entry *entry, char *ret_text, size_t size)
{
	const struct cong_remote *memory = &entry->known.memory;
	bool is_bbr = memory->state == CONG_BBR;
	char rates[64] = "", bbr[96] = "";

	if (cong->stands_aside) {
		snprintf(ret_text, size, "left alone");
		return;
	}
	if (is_bbr)
		snprintf(rates, sizeof(rates), ", %.3g → %.3g Mbit/s", cong_rate_mbit(&memory->standard),
			 cong_rate_mbit(&memory->bbr));
	else if (cong_is_known(&memory->standard))
		snprintf(rates, sizeof(rates), ", %.3g Mbit/s", cong_rate_mbit(&memory->standard));
	describe_bbr(cong, memory, bbr, sizeof(bbr));
	snprintf(ret_text, size, "%s, %.1f %% loss, %.1f %% without a queue%s, round trip %.3g ms%s",
		 is_bbr ? cong_name(TCP_CONG_BBR) : cong->standard, cong_loss_percent(&memory->standard),
		 cong_clear_percent(&memory->standard), rates, memory->min_rtt_us / 1000.0, bbr);
}

/*
 * A host that was seen to do well with the default keeps it, whatever its network's verdict says: the verdict of a host
 * says so, as programs look for this one first.
 */
static void keep_default(const struct cong *cong, struct known *known)
{
	struct remote network = known->remote;
	struct remotes_entry *entry;

	if (!cong_needs_nothing(&known->memory) || remote_is_network(&network))
		return;
	remote_widen(&network);
	entry = remotes_find(&cong->remotes, &network);
	if (entry)
		known->verdict.valid_until_ns = entry_of(entry)->known.verdict.valid_until_ns;
}

/* There is a verdict that holds, or bbr was found to be no better; nanoseconds of CLOCK_MONOTONIC. */
static uint64_t decided_until_ns(const struct known *known)
{
	uint64_t held_until_ns = known->memory.held_until_s * NSEC_PER_SEC;

	return known->verdict.valid_until_ns > held_until_ns ? known->verdict.valid_until_ns : held_until_ns;
}

static void tell_remote(struct bpftune *b, struct cong *cong, struct cong_entry *entry, uint64_t now_ns)
{
	struct cong_remote *memory = &entry->known.memory;
	struct tcp_cong_verdict before = entry->known.verdict;
	struct bpftune_verdict verdict = { 0 };
	char text[BPFTUNE_TEXT_BYTES], about[REMOTE_TEXT_BYTES];
	bool decides;

	cong_decide(memory, &cong->offer, now_ns / NSEC_PER_SEC);
	entry->known.verdict = cong_verdict(memory, &before, now_ns);
	keep_default(cong, &entry->known);
	entry->is.valid_until_ns = decided_until_ns(&entry->known);
	cong->keep.is_due |= memcmp(&entry->known.verdict, &before, sizeof(before)) != 0;
	decides = entry->known.verdict.valid_until_ns;
	memcpy(verdict.key, &entry->known.remote, sizeof(entry->known.remote));
	memcpy(verdict.value, &entry->known.verdict, sizeof(entry->known.verdict));
	verdict.valid_until_s = entry->known.verdict.valid_until_ns / NSEC_PER_SEC;
	describe(cong, entry, text, sizeof(text));
	remote_text(&entry->known.remote, about);
	bpftune_learnt(b, about, decides || entry->decided ? &verdict : NULL, "%s", text);
	entry->decided = decides;
	if (cong_is_lossy(memory))
		say_no_bbr(b, cong, about);
}

/* What was decided goes by the new offer as well. */
static void refresh_offer(struct bpftune *b, struct cong *cong, uint64_t now_ns)
{
	if (cong->offer_ns && now_ns - cong->offer_ns < OFFER_NS)
		return;
	if (read_offer(cong) || !cong->offer_ns) {
		if (cong->stands_aside)
			bpftune_learnt(b, "default", NULL, "%s is left alone", cong->standard);
		for (struct remotes_entry *entry = cong->remotes.first; entry; entry = entry->hh.next)
			tell_remote(b, cong, entry_of(entry), now_ns);
	}
	cong->offer_ns = now_ns;
}

static void learn(struct bpftune *b, struct cong *cong, const struct tcp_cong_seen *seen, uint64_t now_ns)
{
	struct cong_entry *entry = find_or_make(b, cong, &seen->remote, now_ns);

	if (!entry)
		return;
	entry->decided |= seen->decided;
	cong_learn(&entry->known.memory, &cong->offer, seen, now_ns / NSEC_PER_SEC);
	tell_remote(b, cong, entry, now_ns);
}

static bool has_verdict(struct remotes_entry *entry, uint64_t now_ns)
{
	return entry && entry_of(entry)->known.verdict.valid_until_ns > now_ns;
}

/*
 * The hosts that are known in there have a say when the first verdict about their network is made. How far away each is
 * says nothing of a queue.
 */
static void learn_of_network(struct bpftune *b, struct cong *cong, const struct tcp_cong_seen *seen, uint64_t now_ns)
{
	struct tcp_cong_seen of_all = *seen;
	struct remotes_entry *network;
	bool had_verdict;

	of_all.segs = seen->network_segs;
	of_all.retrans = seen->network_retrans;
	of_all.clear_segs = seen->network_clear_segs;
	of_all.clear_retrans = seen->network_clear_retrans;
	of_all.decided = true; /* maybe, by a worker before us */
	remote_widen(&of_all.remote);
	network = remotes_find(&cong->remotes, &of_all.remote);
	if (network && entry_of(network)->known.memory.min_rtt_us &&
	    entry_of(network)->known.memory.min_rtt_us < of_all.min_rtt_us)
		of_all.min_rtt_us = entry_of(network)->known.memory.min_rtt_us;
	had_verdict = has_verdict(network, now_ns);
	learn(b, cong, &of_all, now_ns);
	network = remotes_find(&cong->remotes, &of_all.remote);
	if (had_verdict || !has_verdict(network, now_ns))
		return;
	for (struct remotes_entry *entry = cong->remotes.first; entry; entry = entry->hh.next) {
		struct remote around = entry_of(entry)->known.remote;

		remote_widen(&around);
		if (entry != network && !memcmp(&around, &of_all.remote, sizeof(around)))
			tell_remote(b, cong, entry_of(entry), now_ns);
	}
}

static void event(struct bpftune *b, void *state, const struct bpftune_event *event)
{
	const struct tcp_cong_seen *seen = (const struct tcp_cong_seen *)event->payload;
	struct cong *cong = state;

	cong->keep.has_heard = true;
	refresh_offer(b, cong, event->time_ns);
	if (cong->stands_aside)
		return;
	learn(b, cong, seen, event->time_ns);
	if (seen->network_segs)
		learn_of_network(b, cong, seen, event->time_ns);
}

/* --- what outlives a worker ---------------------------------------------------------------------- */

static void remember(struct bpftune *b, const struct cong *cong)
{
	struct known *known = calloc(REMOTES_MAX, sizeof(*known));
	uint64_t now_ns = keep_now_ns();
	size_t n = 0;

	if (!known)
		return;
	for (struct remotes_entry *entry = cong->remotes.first; entry; entry = entry->hh.next)
		if (entry->valid_until_ns > now_ns)
			known[n++] = entry_of(entry)->known;
	bpftune_remember(b, KNOWN_VERSION, known, n * sizeof(*known));
	free(known);
}

static void tick(struct bpftune *b, void *state)
{
	struct cong *cong = state;

	if (keep_tick(&cong->keep, keep_now_ns()))
		remember(b, cong);
}

/* What a verdict no longer holds for is told of anew when something is seen of it. */
static void recall(struct bpftune *b, struct cong *cong)
{
	uint64_t now_ns = keep_now_ns();
	size_t size;
	const struct known *known = bpftune_remembered(b, KNOWN_VERSION, &size);

	for (size_t i = 0; known && i < size / sizeof(*known); i++) {
		struct cong_entry *entry;

		if (decided_until_ns(&known[i]) <= now_ns || known[i].memory.state > CONG_BBR)
			continue;
		entry = find_or_make(b, cong, &known[i].remote, now_ns);
		if (!entry)
			continue;
		entry->known = known[i];
		entry->is.valid_until_ns = decided_until_ns(&known[i]);
		entry->decided = known[i].verdict.valid_until_ns != 0;
	}
	if (cong->remotes.first)
		refresh_offer(b, cong, now_ns);
}

static int init(struct bpftune *b, void **state)
{
	struct cong *cong = calloc(1, sizeof(*cong));

	if (!cong)
		return -ENOMEM;
	cong->remotes.entry_bytes = sizeof(struct cong_entry);
	cong->remotes.forget = forget;
	recall(b, cong);
	*state = cong;
	return 0;
}

/* A tick is what the kernel's coarse clocks count: kernel/time/hrtimer.c: low_res. */
static void prepare(struct tcp_cong_bpf *skel)
{
	struct timespec tick = { .tv_nsec = 10000000 };

	clock_getres(CLOCK_MONOTONIC_COARSE, &tick);
	skel->rodata->jiffy_us = tick.tv_nsec / 1000;
	for (unsigned int i = 0; i < TCP_CONG_N; i++)
		strncpy((char *)skel->rodata->names[i], cong_name(i), sizeof(skel->rodata->names[i]) - 1);
}

BPFTUNE_TUNER(tcp_cong, prepare, .summary = "TCP congestion control, for each remote host", .tunables = tunables,
	      .n_tunables = ARRAY_SIZE(tunables), .scenarios = scenarios, .n_scenarios = ARRAY_SIZE(scenarios),
	      .init = init, .event = event, .tick = tick, .fini = fini);
