// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tcp_cong: chooses the congestion control of connections by what their remote host was seen to make of it. It
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
#define KNOWN_VERSION 1

/* What is known of a remote, and outlives this worker where it led to a verdict: bpftune_remember(). */
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
	uint32_t available;
	bool stands_aside; /* the default is none that we would choose */
	uint64_t offer_ns; /* when it was read; 0: not yet */
	bool said_no_bbr;
	struct keep keep;
};

/* Never written by this tuner. An administrator's write makes the tuner step aside, in that namespace. */
static const struct bpftune_tunable tunables[] = {
	{ "net.ipv4.tcp_congestion_control", BPFTUNE_SCOPE_NETNS, 0, "the algorithm of new connections",
	  .is_inherited = true },
	{ "net.ipv4.tcp_allowed_congestion_control", BPFTUNE_SCOPE_HOST, 0, "the algorithms that everybody may choose" },
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
	struct cong_offer before = cong->offer;
	uint32_t available_before = cong->available;
	char available[256], allowed[256], standard[TCP_CONG_NAME_BYTES + 1];
	unsigned int algorithm;

	read_sysctl(SYSCTLS "available_congestion_control", available, sizeof(available));
	read_sysctl(SYSCTLS "allowed_congestion_control", allowed, sizeof(allowed));
	read_sysctl(SYSCTLS "congestion_control", standard, sizeof(standard));
	algorithm = cong_algorithm(standard);
	cong->stands_aside = algorithm == TCP_CONG_N;
	cong->available = cong_set(available);
	cong->offer.standard = cong->stands_aside ? 0 : algorithm;
	cong->offer.usable = cong->stands_aside ? 0 : cong_set(allowed) & cong->available;
	cong->said_no_bbr &= cong->available == available_before;
	return cong->offer.usable != before.usable || cong->offer.standard != before.standard ||
	       cong->available != available_before;
}

static size_t list_algorithms(uint32_t set, char *ret_text, size_t size)
{
	size_t length = 0;

	*ret_text = '\0';
	for (unsigned int i = 0; i < TCP_CONG_N && length < size; i++)
		if (set >> i & 1)
			length += snprintf(ret_text + length, size - length, "%s%s", length ? ", " : "", cong_name(i));
	return length;
}

/* What goes for remotes without a verdict of their own. */
static void tell_explore(struct bpftune *b, const struct cong *cong)
{
	struct cong_decision decision = cong_explore(&cong->offer);
	struct tcp_cong_verdict value = cong_verdict(&decision, &(struct tcp_cong_verdict){ 0 }, 0);
	struct bpftune_verdict verdict = { 0 };
	char trials[160];

	memcpy(verdict.value, &value, sizeof(value));
	if (list_algorithms(decision.trials, trials, sizeof(trials)))
		bpftune_learnt(b, "others", &verdict, "%s; one connection in %u tries another: %s",
			       cong_name(cong->offer.standard), decision.one_in, trials);
	else if (cong->stands_aside)
		bpftune_learnt(b, "others", &verdict, "the default is left alone");
	else
		bpftune_learnt(b, "others", &verdict, "%s; there is no other", cong_name(cong->offer.standard));
}

static void say_no_bbr(struct bpftune *b, struct cong *cong, const char *about)
{
	bool is_there = cong->available >> TCP_CONG_BBR & 1;

	if (cong->said_no_bbr || cong->stands_aside || cong->offer.usable >> TCP_CONG_BBR & 1)
		return;
	cong->said_no_bbr = true;
	bpftune_log(b, LOG_NOTICE, "connections to %s lose segments, where bbr would do better: %s", about,
		    is_there ? "it is not in net.ipv4.tcp_allowed_congestion_control"
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

/* "bbr, 2.1 % loss, 48 → 430 Mbit/s, 20.1 ms" */
static void describe(const struct cong *cong, const struct cong_entry *entry, const struct cong_decision *decision,
		     char *ret_text, size_t size)
{
	const struct cong_remote *memory = &entry->known.memory;
	unsigned int standard = cong->offer.standard, choice = decision->choice ? decision->choice - 1U : standard;
	const struct cong_outcome *before = &memory->outcomes[standard], *now = &memory->outcomes[choice];
	size_t n;

	if (cong->stands_aside) {
		snprintf(ret_text, size, "left alone");
		return;
	}
	n = snprintf(ret_text, size, "%s, %.1f %% loss", cong_name(choice), cong_loss_percent(memory));
	if (choice != standard && cong_tried(before) && cong_tried(now) && n < size)
		n += snprintf(ret_text + n, size - n, ", %.3g → %.3g Mbit/s", cong_rate_mbit(before),
			      cong_rate_mbit(now));
	else if (choice != standard && cong_tried(before) && n < size)
		n += snprintf(ret_text + n, size - n, ", %.3g Mbit/s with %s", cong_rate_mbit(before),
			      cong_name(standard));
	else if (cong_tried(now) && n < size)
		n += snprintf(ret_text + n, size - n, ", %.3g Mbit/s", cong_rate_mbit(now));
	if (memory->min_rtt_us && n < size)
		n += snprintf(ret_text + n, size - n, ", round trip %.3g ms", memory->min_rtt_us / 1000.0);
	if (decision->one_in == 1 && n < size)
		snprintf(ret_text + n, size - n, "; bbr is tried next");
	else if (memory->lossy && !(cong->offer.usable >> TCP_CONG_BBR & 1) && n < size)
		snprintf(ret_text + n, size - n, "; bbr is not available");
}

/*
 * A host that was seen to do well with the default keeps it, whatever its network's verdict says: the verdict of a host
 * says so, as programs look for this one first.
 */
static void keep_default(const struct cong *cong, struct known *known)
{
	struct remote network = known->remote;
	const struct remotes_entry *entry;

	if (known->verdict.valid_until_ns || remote_is_network(&network) || known->memory.segs < TCP_CONG_SEGS_MIN)
		return;
	remote_widen(&network);
	entry = remotes_find(&cong->remotes, &network);
	if (entry)
		known->verdict.valid_until_ns = entry->valid_until_ns;
}

static void tell_remote(struct bpftune *b, struct cong *cong, struct cong_entry *entry, uint64_t now_ns)
{
	struct cong_decision decision = cong_decide(&entry->known.memory, &cong->offer);
	struct tcp_cong_verdict before = entry->known.verdict;
	struct bpftune_verdict verdict = { 0 };
	char text[BPFTUNE_TEXT_BYTES], about[REMOTE_TEXT_BYTES];
	bool decides;

	entry->known.verdict = cong_verdict(&decision, &entry->known.verdict, now_ns);
	keep_default(cong, &entry->known);
	entry->is.valid_until_ns = entry->known.verdict.valid_until_ns;
	cong->keep.is_due |= memcmp(&entry->known.verdict, &before, sizeof(before)) != 0;
	decides = entry->known.verdict.valid_until_ns;
	memcpy(verdict.key, &entry->known.remote, sizeof(entry->known.remote));
	memcpy(verdict.value, &entry->known.verdict, sizeof(entry->known.verdict));
	verdict.valid_until_s = entry->known.verdict.valid_until_ns / NSEC_PER_SEC;
	describe(cong, entry, &decision, text, sizeof(text));
	remote_text(&entry->known.remote, about);
	bpftune_learnt(b, about, decides || entry->decided ? &verdict : NULL, "%s", text);
	entry->decided = decides;
	if (entry->known.memory.lossy)
		say_no_bbr(b, cong, about);
}

/* What was decided goes by the new offer as well. */
static void refresh_offer(struct bpftune *b, struct cong *cong, uint64_t now_ns)
{
	if (cong->offer_ns && now_ns - cong->offer_ns < OFFER_NS)
		return;
	if (read_offer(cong) || !cong->offer_ns) {
		tell_explore(b, cong);
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
	cong_learn(&entry->known.memory, seen, cong_algorithm(seen->algorithm), now_ns / NSEC_PER_SEC);
	tell_remote(b, cong, entry, now_ns);
}

/* The hosts that are known in there have a say when the first verdict about their network is made. */
static void learn_of_network(struct bpftune *b, struct cong *cong, const struct tcp_cong_seen *seen, uint64_t now_ns)
{
	struct tcp_cong_seen of_all = *seen;
	const struct remotes_entry *network;
	bool had_verdict;

	of_all.segs = seen->network_segs;
	of_all.retrans = seen->network_retrans;
	of_all.decided = true; /* maybe, by a worker before us */
	remote_widen(&of_all.remote);
	network = remotes_find(&cong->remotes, &of_all.remote);
	had_verdict = network && network->valid_until_ns > now_ns;
	learn(b, cong, &of_all, now_ns);
	network = remotes_find(&cong->remotes, &of_all.remote);
	if (had_verdict || !network || network->valid_until_ns <= now_ns)
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
	size_t n = 0;

	if (!known)
		return;
	for (struct remotes_entry *entry = cong->remotes.first; entry; entry = entry->hh.next)
		if (entry->valid_until_ns)
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

		if (known[i].verdict.valid_until_ns <= now_ns || known[i].memory.choice > TCP_CONG_N)
			continue;
		entry = find_or_make(b, cong, &known[i].remote, now_ns);
		if (!entry)
			continue;
		entry->known = known[i];
		entry->is.valid_until_ns = known[i].verdict.valid_until_ns;
		entry->decided = true;
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
	      .n_tunables = ARRAY_SIZE(tunables), .scenarios = scenarios, .n_scenarios = ARRAY_SIZE(scenarios), .init = init, .event = event, .tick = tick, .fini = fini);
