// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * sock_buf: applications that fix their sockets' buffers. It raises the host's limits where they ask for more, and
 * tells where what they asked for holds them back. A size that an application fixed stays as it is.
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
static void grant(struct bpftune *b, const struct bpftune_event *event)
{
	const struct sock_buf_wish *wish = (const struct sock_buf_wish *)event->payload;
	unsigned int tunable = wish->receive ? RMEM_MAX : WMEM_MAX;
	int64_t cap_bytes = sock_buf_cap_bytes(sysconf(_SC_PHYS_PAGES), sysconf(_SC_PAGESIZE));
	long long value[BPFTUNE_INTS_MAX], current;
	int64_t next_bytes;

	if (b->id != BPFTUNE_HOST_ID) {
		bpftune_request(b, event);
		return;
	}
	if (bpftune_value_ints(b, tunable, value) < 0)
		return;
	current = value[0];
	next_bytes = sock_buf_next_bytes(wish->asked_bytes, current, cap_bytes);
	if (!next_bytes)
		return;
	value[0] = next_bytes;
	bpftune_propose(b, tunable, value, SOCK_BUF_WISH_CUT, event,
			"%.*s (pid %u) asked for %u bytes by %s, the limit was %lld; its next call is granted %lld",
			BPFTUNE_COMM_BYTES, wish->comm, wish->pid, wish->asked_bytes,
			wish->receive ? "SO_RCVBUF" : "SO_SNDBUF", current, value[0]);
}

static void tell(struct bpftune *b, struct sock_buf *sock_buf, const struct bpftune_event *event)
{
	const struct sock_buf_fixed *fixed = (const struct sock_buf_fixed *)event->payload;
	bool sending = event->scenario == SOCK_BUF_SEND_FIXED;
	/* A window that each round trip fills the kernel would double: net/ipv4/tcp_input.c: tcp_rcv_space_adjust(). */
	uint64_t needed_bytes =
		sending ? sock_buf_needed_bytes(fixed->size_bytes, fixed->limited_percent) : 2ULL * fixed->size_bytes;
	char about[ABOUT_BYTES], measured[96], who[64] = "", text[BPFTUNE_TEXT_BYTES];

	snprintf(about, sizeof(about), "%sport %u (%.*s)", fixed->remote ? "to " : "", fixed->port, BPFTUNE_COMM_BYTES,
		 fixed->wish.comm[0] ? fixed->wish.comm : "?");
	if (fixed->wish.pid)
		snprintf(who, sizeof(who), " (pid %u asked for %u)", fixed->wish.pid, fixed->wish.asked_bytes);
	if (sending)
		snprintf(measured, sizeof(measured), "it was full for %u %% of the time", fixed->limited_percent);
	else
		snprintf(measured, sizeof(measured), "a round trip brought %u bytes of a window of %u, for %u %% of the time",
			 fixed->copied_bytes, fixed->window_bytes, fixed->limited_percent);
	snprintf(
		text, sizeof(text),
		"the application fixed its %s buffer at %u bytes%s: %s, at a round trip of %u.%u ms and %.1f Mbit/s; the "
		"path needs at least %" PRIu64 " KiB: remove the setsockopt",
		sending ? "send" : "receive", fixed->size_bytes, who, measured, fixed->srtt_us / 1000,
		fixed->srtt_us % 1000 / 100, fixed->rate_bytes / 125e3, (needed_bytes + 1023) / 1024);
	bpftune_learnt(b, about, NULL, "%s", text);
	if (is_news(sock_buf, about, event->time_ns))
		bpftune_log(b, LOG_NOTICE, "%s: %s", about, text);
}

static void event(struct bpftune *b, void *state, const struct bpftune_event *event)
{
	if (event->scenario == SOCK_BUF_WISH_CUT)
		grant(b, event);
	else
		tell(b, state, event);
}

static void fini(struct bpftune *b, void *state)
{
	(void)b;
	free(state);
}

BPFTUNE_TUNER(sock_buf, BPFTUNE_NOTHING_OWN,
	.summary = "socket buffers whose size applications fix",
	.tunables = tunables,
	.n_tunables = ARRAY_SIZE(tunables),
	.scenarios = scenarios,
	.n_scenarios = ARRAY_SIZE(scenarios),
	.init = init,
	.event = event,
	.fini = fini);
