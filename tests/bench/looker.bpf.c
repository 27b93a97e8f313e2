// SPDX-License-Identifier: GPL-2.0-or-later
/* Counts looks at flows that are due. */
#include "bpf/tuner.bpf.h"

MAP(looks, BPF_MAP_TYPE_PERCPU_ARRAY, 1, __u32, __u64);

ON_LOOK(looker_look)
{
	struct tcp_sock *tp = tcp_sock_of(ctx);
	__u32 zero = 0;
	__u64 *count;

	if (!tp || !look_of(tp))
		return;
	count = bpf_map_lookup_elem(&looks, &zero);
	if (count)
		++*count;
}
