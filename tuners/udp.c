// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * udp: receive buffers of UDP sockets that lose datagrams. A port whose sockets are full in bursts gets a verdict, by
 * which programs give its sockets a larger buffer, where no application has chosen a size. A size is kept where fewer
 * datagrams are lost. udp_mem, the machine's, is raised when UDP is refused memory.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "tuners/decide_udp.h"
#include "tuners/keep.h"
#include "tuners/tuner.h"
#include "tuners/udp.h"
#include "tuners/udp.skel.h"

#define PORTS_MAX 16
#define PORTS_VERSION 1
#define LOOK_MS 1000
#define ACTIVE_NS (60 * 1000000000ULL) /* so long after the latest drop, a port is looked at */
#define FORGET_NS (3600 * 1000000000ULL)
#define ABOUT_BYTES 32
#define LOG_AGAIN_NS (60 * 1000000000ULL)

enum {
	UDP_MEM
};

static const struct bpftune_tunable tunables[] = {
	[UDP_MEM] = { "net.ipv4.udp_mem", BPFTUNE_SCOPE_HOST, 3,
		      "memory of all UDP sockets: low, pressure, high (pages)", .min = 1, .max = INT64_MAX },
};

static const struct bpftune_scenario scenarios[] = {
	[UDP_BUFFER_FULL] = { "buffer_full",
			      "A UDP socket dropped datagrams, as its receive buffer was full, whose size nobody has chosen." },
	[UDP_SOCKET_SIZED] = { "socket_sized",
			       "A UDP socket has got the receive buffer that was decided on for its port." },
	[UDP_MEMORY_FULL] = { "memory_full", "A UDP socket was refused memory, at the limit of UDP as a whole." },
	[UDP_NOT_NEEDED] = { "not_needed", "Whoever needed a higher limit has ended, or has had no need of it." },
};

struct udp {
	struct udp_port ports[PORTS_MAX];
	uint64_t allocated; /* pages of UDP, as last told */
	uint64_t full_logged_ns;
};

/* An eighth of the memory that UDP has, or could have without taking it from anybody else. */
static int64_t whole(const struct bpftune *b, const void *state)
{
	const struct udp *udp = state;

	(void)b;
	return (bpftune_available_pages() + udp->allocated) / 8;
}

/* A quarter of the machine; the kernel's own value is not much less. */
static int64_t cap(const struct bpftune *b, const void *state, int64_t current)
{
	(void)b, (void)state, (void)current;
	return sysconf(_SC_PHYS_PAGES) / 4;
}

static const struct bpftune_remedy remedies[] = {
	[UDP_MEM] = { .scenario = UDP_NOT_NEEDED,
		      .tunable = UDP_MEM,
		      .value = BPFTUNE_ALL_VALUES,
		      .step_percent = 400,
		      .cap = cap,
		      .whole = whole,
		      .adds_up = true },
};

/* --- ports -------------------------------------------------------------------------------------- */

static uint32_t granted(const struct udp_port *port)
{
	return port->granted_bytes ? port->granted_bytes : port->size_bytes;
}

/* What is counted begins anew with each worker. */
static void keep_ports(struct bpftune *b, const struct udp *udp)
{
	struct udp_port kept[PORTS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < PORTS_MAX; i++) {
		const struct udp_port *port = &udp->ports[i];

		if (!port->trial.is_known)
			continue;
		kept[n] = (struct udp_port){ .number = port->number,
					     .size_bytes = port->size_bytes,
					     .granted_bytes = port->granted_bytes,
					     .is_waiting = port->is_waiting,
					     .first_drops = port->first_drops,
					     .first_received = port->first_received,
					     .trial = port->trial };
		kept[n++].trial.trouble_ns = 0; /* or each drop would be news */
	}
	bpftune_remember(b, PORTS_VERSION, kept, n * sizeof(kept[0]));
}

static const char *name(const struct udp_port *port, char ret_about[ABOUT_BYTES])
{
	snprintf(ret_about, ABOUT_BYTES, "port %" PRIu32, port->number);
	return ret_about;
}

__attribute__((format(printf, 3, 4))) static void tell(struct bpftune *b, const struct udp_port *port,
						       const char *format, ...)
{
	const struct udp_verdict size = { .size_bytes = port->size_bytes };
	struct bpftune_verdict verdict = { 0 };
	char about[ABOUT_BYTES], text[BPFTUNE_TEXT_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	memcpy(verdict.key, &port->number, sizeof(port->number));
	memcpy(verdict.value, &size, sizeof(size));
	bpftune_learnt(b, name(port, about), port->trial.is_known ? &verdict : NULL, "%s", text);
}

static void tell_full(struct bpftune *b, struct udp_port *port, const struct udp_window *window)
{
	tell(b, port,
	     "a receive buffer of %" PRIu32 " bytes is the most (%s): %" PRIu64 " datagrams are dropped per %" PRIu64
	     " received",
	     granted(port), port->granted_bytes ? "net.core.rmem_max" : "of memory", window->drops, window->received);
	if (!port->told_full)
		bpftune_log(b, LOG_NOTICE,
			    "port %" PRIu32
			    ": datagrams are still dropped, and the receive buffer is not raised any further",
			    port->number);
	port->told_full = true;
}

static void look_at(struct bpftune *b, struct udp_port *port, uint64_t now_ns, uint64_t received)
{
	int64_t most = udp_cap_bytes(b->memory_pages, sysconf(_SC_PHYS_PAGES), sysconf(_SC_PAGESIZE));
	struct udp_window window = { 0 };

	switch (udp_port_look(port, now_ns, received, most, &window)) {
	case UDP_RAISE:
		tell(b, port,
		     "%" PRIu64 " datagrams were dropped per %" PRIu64
		     " received, as the receive buffer was full: sockets get %" PRIu32
		     " bytes at bind(2), and in the next seconds at recvfrom(2)",
		     window.drops, window.received, port->size_bytes);
		break;
	case UDP_HELPED:
		tell(b, port,
		     "a receive buffer of %" PRIu32 " bytes helps: %" PRIu64 " datagrams were dropped per %" PRIu64
		     " received, before it %" PRIu64 " per %" PRIu64,
		     granted(port), window.drops, window.received, port->trial.before_trouble, port->trial.before_work);
		break;
	case UDP_UNDO:
		tell(b, port,
		     "the receive buffer is %" PRIu32 " bytes again, as a larger one was of no use: %" PRIu64
		     " datagrams were dropped per %" PRIu64 " received, with it %" PRIu64 " per %" PRIu64
		     ": the reader is too slow. The next step is not tried for %" PRIu64 " s",
		     port->size_bytes, port->trial.before_trouble, port->trial.before_work, window.drops,
		     window.received, (port->trial.held_until_ns - now_ns) / 1000000000);
		break;
	case UDP_GIVE_UP:
		tell(b, port,
		     "the receive buffer is %" PRIu32 " bytes as at first: %" PRIu64
		     " datagrams were dropped per %" PRIu64 " received, with larger ones %" PRIu64 " per %" PRIu64
		     ": the reader is too slow",
		     port->size_bytes, port->first_drops, port->first_received, window.drops, window.received);
		break;
	case UDP_FULL:
		tell_full(b, port, &window);
		break;
	case UDP_KEEP:
		return;
	}
}

static bool is_active(const struct udp_port *port, uint64_t now_ns)
{
	return port->told_ns && now_ns < port->told_ns + ACTIVE_NS;
}

/* Also without events: those end when a step has helped. */
static void tick(struct bpftune *b, void *state)
{
	struct bpftune_counter received[] = { { .group = "Udp", .name = "InDatagrams" },
					      { .group = "snmp6", .name = "Udp6InDatagrams" } };
	uint64_t now_ns = keep_now_ns();
	struct udp *udp = state;
	bool is_any = false;

	for (size_t i = 0; i < PORTS_MAX; i++)
		is_any |= is_active(&udp->ports[i], now_ns);
	if (!is_any || bpftune_counters(b, received, ARRAY_SIZE(received)) < 0)
		return;
	for (size_t i = 0; i < PORTS_MAX; i++)
		if (is_active(&udp->ports[i], now_ns)) {
			look_at(b, &udp->ports[i], now_ns, received[0].value + received[1].value);
			if (udp->ports[i].trial.is_trying)
				bpftune_wake(b, LOOK_MS);
		}
	keep_ports(b, udp);
}

static bool may_go(const struct udp_port *port, uint64_t now_ns)
{
	return !port->number || now_ns - port->told_ns >= (port->trial.is_known ? FORGET_NS : ACTIVE_NS);
}

/* The port's place, or one for it; NULL: there is none. */
static struct udp_port *find_port(struct bpftune *b, struct udp *udp, uint32_t number, uint64_t now_ns)
{
	struct udp_port *oldest = NULL;
	char about[ABOUT_BYTES];

	for (size_t i = 0; i < PORTS_MAX; i++) {
		struct udp_port *port = &udp->ports[i];

		if (port->number == number)
			return port;
		if (may_go(port, now_ns) && (!oldest || port->told_ns < oldest->told_ns))
			oldest = port;
	}
	if (!oldest)
		return NULL;
	if (oldest->trial.is_known)
		bpftune_forget(b, name(oldest, about));
	*oldest = (struct udp_port){ .number = number };
	return oldest;
}

static void heard(struct bpftune *b, struct udp *udp, const struct bpftune_event *event)
{
	const struct udp_socket *socket = (const struct udp_socket *)event->payload;
	uint64_t now_ns = keep_now_ns();
	struct udp_port *port = find_port(b, udp, socket->port, now_ns);

	if (!port)
		return;
	if (event->scenario == UDP_BUFFER_FULL) {
		udp_port_dropped(port, now_ns, socket->size_bytes, socket->drops);
		return;
	}
	udp_port_sized(port, now_ns, socket->asked_bytes, socket->size_bytes);
	bpftune_wake(b, LOOK_MS);
}

/* --- udp_mem ------------------------------------------------------------------------------------ */

static void memory_full(struct bpftune *b, struct udp *udp, const struct bpftune_event *event)
{
	const struct udp_memory *memory = (const struct udp_memory *)event->payload;
	long long value[BPFTUNE_INTS_MAX], first[BPFTUNE_INTS_MAX];
	int err;

	if (b->id != BPFTUNE_HOST_ID) {
		bpftune_request(b, event);
		return;
	}
	if (memory->allocated > (uint64_t)sysconf(_SC_PHYS_PAGES) || bpftune_value_ints(b, UDP_MEM, value) < 0)
		return;
	for (int i = 0; i < 3; i++)
		if ((uint64_t)value[i] != memory->mem[i])
			return; /* it was raised since */
	udp->allocated = memory->allocated;
	if (bpftune_tried_from(b, UDP_MEM, first) < 0)
		memcpy(first, value, sizeof(first));
	bpftune_claim(b, UDP_MEM, event, udp_mem_more(value[2], first[2]));
	err = bpftune_try(b, UDP_MEM, event->scenario, event, NULL,
			  "UDP has allocated %" PRIu64 " pages, and is refused memory from %lld on", udp->allocated,
			  value[0]);
	if (err != -ENOSPC || (udp->full_logged_ns && event->time_ns < udp->full_logged_ns + LOG_AGAIN_NS))
		return;
	udp->full_logged_ns = event->time_ns;
	bpftune_log_event(b, event, LOG_WARNING,
			  "UDP has allocated %" PRIu64
			  " pages, and is refused memory from %lld on; that is not raised any "
			  "further: an eighth of the memory to spare is %" PRId64
			  " pages, of which each container may have its share",
			  udp->allocated, value[0], whole(b, udp));
}

static void event(struct bpftune *b, void *state, const struct bpftune_event *event)
{
	if (event->scenario == UDP_MEMORY_FULL)
		memory_full(b, state, event);
	else if (!event->asker)
		heard(b, state, event);
}

/* Another supervisor does not know what this one has decided. */
static int init(struct bpftune *b, void **state)
{
	struct udp *udp = *state;
	size_t size = 0;
	const struct udp_port *kept = bpftune_remembered(b, PORTS_VERSION, &size);

	for (size_t i = 0; kept && i < PORTS_MAX && i < size / sizeof(*kept); i++) {
		if (!trial_is_sound(&kept[i].trial))
			continue;
		udp->ports[i] = kept[i];
		tell(b, &udp->ports[i],
		     "sockets get a receive buffer of %" PRIu32 " bytes at bind(2), as was decided before",
		     kept[i].size_bytes);
	}
	return 0;
}

#define PREPARE(skel) (skel)->rodata->page_bytes = sysconf(_SC_PAGESIZE)

BPFTUNE_TUNER(udp, PREPARE, .summary = "receive buffers of UDP sockets, and UDP's memory", .tunables = tunables,
	      .n_tunables = ARRAY_SIZE(tunables), .scenarios = scenarios, .n_scenarios = ARRAY_SIZE(scenarios),
	      .remedies = remedies, .n_remedies = ARRAY_SIZE(remedies), .state_size = sizeof(struct udp), .init = init,
	      .event = event, .tick = tick, .wake = tick);
