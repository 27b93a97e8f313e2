// SPDX-License-Identifier: GPL-2.0-or-later
/* Raises scenario N of the test tuner in the caller's namespace when a process named poke-N starts. */
#include "bpf/tuner.bpf.h"
#include "tests/netns/poke.h"

VERDICTS(1024, __u8[24]);

SEC("raw_tp/sched_process_exec")
int poke_exec(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];
	__u64 cookie = BPF_CORE_READ(task, nsproxy, net_ns, net_cookie);
	struct bpftune_verdict_key key = { .netns_cookie = cookie };
	struct bpftune_event *event;
	__u8 *verdict;
	char comm[16] = {};
	__u16 scenario;

	BPF_CORE_READ_STR_INTO(&comm, task, comm);
	if (comm[0] != 'p' || comm[1] != 'o' || comm[2] != 'k' || comm[3] != 'e' || comm[4] != '-')
		return 0;
	scenario = comm[5] - '0';
	if (comm[6])
		scenario = 10 * scenario + comm[6] - '0';
	if (tuner_is_off(cookie))
		return 0;
	event = tuner_event(cookie, 0, scenario);
	if (!event)
		return 0;
	verdict = bpf_map_lookup_elem(&verdicts, &key);
	event->payload[0] = verdict ? *verdict : 0;
	bpf_ringbuf_submit(event, 0);
	return 0;
}
