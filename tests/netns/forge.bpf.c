// SPDX-License-Identifier: GPL-2.0-or-later
/* Puts an event that nobody noticed into a supervisor's ring buffer. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "ipc/event.h"

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} events SEC(".maps");

struct bpftune_event forged;
long result;

/* Never attached: test-run for each event. */
SEC("raw_tp")
int forge(void *ctx)
{
	forged.time_ns = bpf_ktime_get_ns();
	result = bpf_ringbuf_output(&events, &forged, sizeof(forged), 0);
	return 0;
}

char _license[] SEC("license") = "GPL";
