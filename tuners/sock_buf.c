// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * sock_buf: applications that fix their sockets' buffers. It tells where what they asked for holds them back, and
 * raises the host's limits where these, and not the application, made the buffer too small. A size that an application
 * fixed stays as it is, and a wish alone raises nothing.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "tuners/decide_sock_buf.h"
#include "tuners/sock_buf.h"
#include "tuners/sock_buf.skel.h"
#include "tuners/tuner.h"

#define LOGGED_MAX 16
#define LOG_AGAIN_NS (60 * 1000000000ULL)
#define ABOUT_BYTES 48

enum {
	WMEM_MAX,
	RMEM_MAX
};

static const struct bpftune_tunable tunables[] = {
	[WMEM_MAX] = { "net.core.wmem_max", BPFTUNE_SCOPE_HOST, 1, "most that SO_SNDBUF grants (bytes)" },
	[RMEM_MAX] = { "net.core.rmem_max", BPFTUNE_SCOPE_HOST, 1, "most that SO_RCVBUF grants (bytes)" },
};

static const struct bpftune_scenario scenarios[] = {
	[SOCK_BUF_WISH_CUT] = { "wish_cut",
				"An application asked for a larger socket buffer than the host's limit grants." },
	[SOCK_BUF_SEND_FIXED] = { "send_buffer_fixed",
				  "A flow had data to send, a window to send it in, and no room in a buffer whose size the application fixed." },
	[SOCK_BUF_RECEIVE_FIXED] = { "receive_buffer_fixed",
				     "A flow filled the window of a receive buffer whose size the application fixed, while it kept up." },
	[SOCK_BUF_DATAGRAMS_DROPPED] = { "datagrams_dropped",
					 "A UDP socket dropped datagrams, as the host's limit made its receive buffer smaller than the application asked for." },
	[SOCK_BUF_NOT_NEEDED] = { "not_needed",
				  "Whoever needed a higher limit has ended, or has had no need of it for an hour." },
};

static int64_t cap(const struct bpftune *b, const void *state, int64_t current)
{
	(void)b, (void)state, (void)current;
	return sock_buf_cap_bytes(sysconf(_SC_PHYS_PAGES), sysconf(_SC_PAGESIZE));
}

static int64_t whole(const struct bpftune *b, const void *state)
{
	(void)b, (void)state;
	return sock_buf_whole_bytes(sysconf(_SC_PHYS_PAGES), sysconf(_SC_PAGESIZE));
}

/* What an application is granted holds from its next call on, so nothing judges a step. */
static const struct bpftune_remedy remedies[] = {
	[WMEM_MAX] = { .scenario = SOCK_BUF_NOT_NEEDED,
		       .tunable = WMEM_MAX,
		       .step_percent = 400,
		       .is_lasting = true, /* while somebody claims it */
		       .cap = cap,
		       .whole = whole },
	[RMEM_MAX] = { .scenario = SOCK_BUF_NOT_NEEDED,
		       .tunable = RMEM_MAX,
		       .step_percent = 400,
		       .is_lasting = true,
		       .cap = cap,
		       .whole = whole },
};

/* What was logged lately, so that a server with many such sockets is named once. */
struct logged {
	char about[ABOUT_BYTES];
	uint64_t time_ns;
};

struct sock_buf {
	struct logged logged[LOGGED_MAX];
	size_t next;
};

static int init(struct bpftune *b, void **state)
{
	(void)b;
	*state = calloc(1, sizeof(struct sock_buf));
	return *state ? 0 : -ENOMEM;
}

/* True once a minute for each. */
static bool is_news(struct sock_buf *sock_buf, const char *about, uint64_t time_ns)
{
	struct logged *logged;

	for (size_t i = 0; i < LOGGED_MAX; i++) {
		logged = &sock_buf->logged[i];
		if (strcmp(logged->about, about))
			continue;
		if (time_ns - logged->time_ns < LOG_AGAIN_NS)
			return false;
		logged->time_ns = time_ns;
		return true;
	}
	logged = &sock_buf->logged[sock_buf->next++ % LOGGED_MAX];
	snprintf(logged->about, sizeof(logged->about), "%s", about);
	logged->time_ns = time_ns;
	return true;
}

/* The host's worker alone knows the limits: a container cannot read them on older kernels, nor write them on any. */
static void tell_wish(struct bpftune *b, struct sock_buf *sock_buf, const struct bpftune_event *event)
{
	const struct sock_buf_wish *wish = (const struct sock_buf_wish *)event->payload;
	long long limit[BPFTUNE_INTS_MAX];
	char about[ABOUT_BYTES];

	if (b->id != BPFTUNE_HOST_ID) {
		bpftune_request(b, event);
		return;
	}
	if (bpftune_value_ints(b, wish->receive ? RMEM_MAX : WMEM_MAX, limit) < 0 || wish->asked_bytes <= limit[0])
		return;
	snprintf(about, sizeof(about), "%" PRIu64 " %u %.*s", (uint64_t)event->asker, wish->receive, BPFTUNE_COMM_BYTES,
		 wish->comm);
	if (is_news(sock_buf, about, event->time_ns))
		bpftune_log_event(b, event, LOG_INFO,
				  "%.*s (pid %u) asked for %u bytes by %s and gets the host's limit, %lld: that stays, "
				  "unless it is measured to hold a socket back",
				  BPFTUNE_COMM_BYTES, wish->comm, wish->pid, wish->asked_bytes,
				  wish->receive ? "SO_RCVBUF" : "SO_SNDBUF", limit[0]);
}

/* A socket that was measured to need so many bytes; what its application asked for bounds that. */
static void grant(struct bpftune *b, const struct bpftune_event *event, const struct sock_buf_wish *wish,
		  uint32_t size_bytes, uint64_t needed_bytes)
{
	int64_t wanted_bytes = sock_buf_wanted_bytes(wish->asked_bytes, size_bytes, needed_bytes);
	unsigned int limit = wish->receive ? RMEM_MAX : WMEM_MAX;
	long long value[BPFTUNE_INTS_MAX], first[BPFTUNE_INTS_MAX];

	if (!wanted_bytes)
		return;
	if (b->id != BPFTUNE_HOST_ID) {
		bpftune_request(b, event);
		return;
	}
	if (bpftune_value_ints(b, limit, value) < 0)
		return;
	if (bpftune_tried_from(b, limit, first) < 0)
		memcpy(first, value, sizeof(first));
	bpftune_claim(b, limit, event, wanted_bytes - first[0]);
	if (wanted_bytes > value[0])
		bpftune_try(
			b, limit, event->scenario, event, NULL,
			"%.*s (pid %u) asked for %u bytes by %s and got %u, which holds its socket back: it needs at "
			"least %" PRId64 "; the limit was %lld, and holds for its next call",
			BPFTUNE_COMM_BYTES, wish->comm, wish->pid, wish->asked_bytes,
			wish->receive ? "SO_RCVBUF" : "SO_SNDBUF", size_bytes / 2, wanted_bytes, value[0]);
}

/* In the log once a minute, and in `status`. */
static void learn(struct bpftune *b, struct sock_buf *sock_buf, const struct bpftune_event *event, const char *about,
		  const char *text)
{
	bpftune_learnt(b, about, NULL, "%s", text);
	if (is_news(sock_buf, about, event->time_ns))
		bpftune_log(b, LOG_NOTICE, "%s: %s", about, text);
}

static void dropped(struct bpftune *b, struct sock_buf *sock_buf, const struct bpftune_event *event)
{
	const struct sock_buf_dropped *dropped = (const struct sock_buf_dropped *)event->payload;
	char about[ABOUT_BYTES], text[BPFTUNE_TEXT_BYTES];

	if (!event->asker) {
		snprintf(about, sizeof(about), "port %u (%.*s)", dropped->port, BPFTUNE_COMM_BYTES, dropped->wish.comm);
		snprintf(
			text, sizeof(text),
			"the application (pid %u) asked for %u bytes by SO_RCVBUF, and the host's limit granted %u: %u "
			"datagrams were dropped, as that was full",
			dropped->wish.pid, dropped->wish.asked_bytes, dropped->size_bytes / 2, dropped->dropped);
		learn(b, sock_buf, event, about, text);
	}
	/* While it is in the way, more is not known than that it is too small. */
	grant(b, event, &dropped->wish, dropped->size_bytes, 2ULL * dropped->size_bytes);
}

static void fixed(struct bpftune *b, struct sock_buf *sock_buf, const struct bpftune_event *event)
{
	const struct sock_buf_fixed *fixed = (const struct sock_buf_fixed *)event->payload;
	bool sending = event->scenario == SOCK_BUF_SEND_FIXED;
	/* A window that each round trip fills the kernel would double: net/ipv4/tcp_input.c: tcp_rcv_space_adjust(). */
	uint64_t needed_bytes =
		sending ? sock_buf_needed_bytes(fixed->size_bytes, fixed->limited_percent) : 2ULL * fixed->size_bytes;
	char about[ABOUT_BYTES], measured[96], who[64] = "", text[BPFTUNE_TEXT_BYTES];
	bool is_cut = sock_buf_wanted_bytes(fixed->wish.asked_bytes, fixed->size_bytes, needed_bytes) > 0;

	grant(b, event, &fixed->wish, fixed->size_bytes, needed_bytes);
	if (event->asker)
		return; /* the container's own worker has told it */
	snprintf(about, sizeof(about), "%sport %u (%.*s)", fixed->remote ? "to " : "", fixed->port, BPFTUNE_COMM_BYTES,
		 fixed->wish.comm[0] ? fixed->wish.comm : "?");
	if (fixed->wish.pid)
		snprintf(who, sizeof(who), " (pid %u asked for %u)", fixed->wish.pid, fixed->wish.asked_bytes);
	if (sending)
		snprintf(measured, sizeof(measured), "it was full for %u %% of the time", fixed->limited_percent);
	else
		snprintf(measured, sizeof(measured),
			 "a round trip brought %u bytes of a window of %u, for %u %% of the time", fixed->copied_bytes,
			 fixed->window_bytes, fixed->limited_percent);
	snprintf(
		text, sizeof(text),
		"the application fixed its %s buffer at %u bytes%s: %s, at a round trip of %u.%u ms and %.1f Mbit/s; the "
		"path needs at least %" PRIu64 " KiB: %s",
		sending ? "send" : "receive", fixed->size_bytes, who, measured, fixed->srtt_us / 1000,
		fixed->srtt_us % 1000 / 100, fixed->rate_bytes / 125e3, (needed_bytes + 1023) / 1024,
		is_cut ? "the host's limit cut it; or remove the setsockopt" : "remove the setsockopt");
	learn(b, sock_buf, event, about, text);
}

static void event(struct bpftune *b, void *state, const struct bpftune_event *event)
{
	if (event->scenario == SOCK_BUF_WISH_CUT)
		tell_wish(b, state, event);
	else if (event->scenario == SOCK_BUF_DATAGRAMS_DROPPED)
		dropped(b, state, event);
	else
		fixed(b, state, event);
}

static void fini(struct bpftune *b, void *state)
{
	(void)b;
	free(state);
}

BPFTUNE_TUNER(sock_buf, BPFTUNE_NOTHING_OWN, .summary = "socket buffers whose size applications fix",
	      .tunables = tunables, .n_tunables = ARRAY_SIZE(tunables), .scenarios = scenarios,
	      .n_scenarios = ARRAY_SIZE(scenarios), .remedies = remedies, .n_remedies = ARRAY_SIZE(remedies),
	      .init = init, .event = event, .fini = fini);
