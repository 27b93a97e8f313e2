// SPDX-License-Identifier: GPL-2.0-or-later
/* Puts events that nobody noticed into a supervisor's ring buffer. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "tests/netns/forge.h"

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} events SEC(".maps");

struct bpftune_event forged[FORGE_MAX];
__u32 n_forged;
__u64 n_refused; /* the ring was full */

/* Never attached: each test-run puts all of them in. */
SEC("raw_tp")
int forge(void *ctx)
{
	for (__u32 i = 0; i < FORGE_MAX && i < n_forged; i++) {
		forged[i].time_ns = bpf_ktime_get_ns();
		if (bpf_ringbuf_output(&events, &forged[i], sizeof(forged[i]), 0))
			__sync_fetch_and_add(&n_refused, 1);
	}
	return 0;
}

char _license[] SEC("license") = "GPL";
