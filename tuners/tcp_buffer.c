// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tcp_buffer: raises tcp_wmem[2] and tcp_rmem[2] of the namespace in which a flow meets them.
 * Sockets whose size the application fixed are never asked about: the kernel ignores the limits there.
 */
#include <errno.h>
#include <stdbool.h>
#include <syslog.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "tuners/decide_tcp_buffer.h"
#include "tuners/tcp_buffer.h"
#include "tuners/tcp_buffer.skel.h"
#include "tuners/tuner.h"

enum { TCP_WMEM, TCP_RMEM };

static const struct bpftune_tunable tunables[] = {
	[TCP_WMEM] = { "net.ipv4.tcp_wmem", BPFTUNE_SCOPE_NETNS, 3, "send buffer: minimum, default, maximum (bytes)" },
	[TCP_RMEM] = { "net.ipv4.tcp_rmem", BPFTUNE_SCOPE_NETNS, 3, "receive buffer: minimum, default, maximum (bytes)" },
};

static const struct bpftune_scenario scenarios[] = {
	[TCP_BUFFER_SEND_LIMITED] = { "send_buffer_limited",
		"A flow had data to send and a window to send it in, but no room in its send buffer." },
	[TCP_BUFFER_RECEIVE_LIMITED] = { "receive_buffer_limited",
		"A flow filled the window that its receive buffer allows while the application kept up." },
};

static int attach(struct bpftune_host *host, uint16_t number)
{
	struct tcp_buffer_bpf *skel = tcp_buffer_bpf__open();
	int err;

	if (!skel)
		return -errno;
	skel->rodata->tuner = number;
	err = bpftune_host_load(host, take_ptr(skel->obj));
	tcp_buffer_bpf__destroy(skel);
	return err;
}

static void event(struct bpftune *b, void *state, const struct bpftune_event *event)
{
	const struct tcp_buffer_limited *limited = (const struct tcp_buffer_limited *)event->payload;
	bool sending = event->scenario == TCP_BUFFER_SEND_LIMITED;
	unsigned int tunable = sending ? TCP_WMEM : TCP_RMEM;
	int64_t cap_bytes = tcp_buffer_cap_bytes(limited->mem_pressure_pages, sysconf(_SC_PAGESIZE));
	long long value[BPFTUNE_INTS_MAX];
	int64_t next_bytes;

	(void)state;
	if (b->shares_netns) {
		bpftune_log(b, LOG_INFO, "a flow met the host's limit of %u bytes; asking the host's worker", limited->limit_bytes);
		bpftune_request(b, event);
		return;
	}
	if (bpftune_value_ints(b, tunable, value) < 0)
		return;
	next_bytes = tcp_buffer_next_bytes(limited->limit_bytes, value[2], cap_bytes);
	if (!next_bytes)
		return;
	value[2] = next_bytes;
	if (sending)
		bpftune_propose(b, tunable, value, event->scenario, event,
				"a send buffer of %u bytes was full for %u %% of the time at a round trip of %u.%u ms",
				limited->size_bytes, limited->limited_percent, limited->srtt_us / 1000,
				limited->srtt_us % 1000 / 100);
	else
		bpftune_propose(b, tunable, value, event->scenario, event,
				"a receive buffer of %u bytes: a round trip of %u.%u ms brought %u bytes of a window of %u",
				limited->size_bytes, limited->srtt_us / 1000, limited->srtt_us % 1000 / 100,
				limited->copied_bytes, limited->window_bytes);
}

BPFTUNE_API const struct bpftune_tuner bpftune_tuner = {
	.abi = BPFTUNE_ABI,
	.name = "tcp_buffer",
	.summary = "TCP send and receive buffer limits that hold flows back",
	.tunables = tunables,
	.n_tunables = ARRAY_SIZE(tunables),
	.scenarios = scenarios,
	.n_scenarios = ARRAY_SIZE(scenarios),
	.attach = attach,
	.event = event,
};
