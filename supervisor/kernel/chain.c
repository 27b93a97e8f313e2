// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/kernel/chain.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define SOCKOPS(name)                                                     \
	{                                                                 \
		"sockops/" #name, "chain_" #name, "observe_sockops", true \
	}
#define DROP(name)                                                                    \
	{                                                                             \
		"raw_tp/kfree_skb/" #name, "chain_drop_" #name, "observe_drop", false \
	}

static const struct {
	const char *section, *map, *observer;
	bool is_sockops;
} chains[BPFTUNE_N_CHAINS] = {
	[BPFTUNE_CHAIN_LOOK] = SOCKOPS(look),
	[BPFTUNE_CHAIN_ACK] = SOCKOPS(ack),
	[BPFTUNE_CHAIN_START] = SOCKOPS(start),
	[BPFTUNE_CHAIN_ACCEPT] = SOCKOPS(accept),
	[BPFTUNE_CHAIN_END] = SOCKOPS(end),
	[BPFTUNE_CHAIN_LOSS] = SOCKOPS(loss),
	[BPFTUNE_CHAIN_LISTEN] = SOCKOPS(listen),
	[BPFTUNE_CHAIN_SYN] = SOCKOPS(syn),
	[BPFTUNE_CHAIN_RCV_SPACE] = { "raw_tp/tcp_rcv_space_adjust", "chain_rcv_space", "observe_rcv_space", false },
	[BPFTUNE_CHAIN_DROP_BACKLOG] = DROP(backlog),
	[BPFTUNE_CHAIN_DROP_NETFILTER] = DROP(netfilter),
	[BPFTUNE_CHAIN_DROP_UNSPECIFIED] = DROP(unspecified),
	[BPFTUNE_CHAIN_UDP_DROP] = { "raw_tp/udp_fail_queue_rcv_skb", "chain_udp_drop", "observe_udp_drop", false },
};

int chain_of(const char *section)
{
	for (int i = 0; i < BPFTUNE_N_CHAINS; i++)
		if (!strcmp(chains[i].section, section))
			return i;
	return -1;
}

const char *chain_observer(enum bpftune_chain chain)
{
	return chains[chain].observer;
}

const char *chain_map(enum bpftune_chain chain)
{
	return chains[chain].map;
}

void chain_prepare(struct bpf_program *program, enum bpftune_chain chain)
{
	if (!chains[chain].is_sockops)
		return;
	bpf_program__set_type(program, BPF_PROG_TYPE_SOCK_OPS);
	bpf_program__set_expected_attach_type(program, BPF_CGROUP_SOCK_OPS);
}

int chain_join(int map_fd, uint16_t tuner, const struct bpf_program *program)
{
	uint32_t slot = tuner;
	int fd = bpf_program__fd(program);

	return tuner < BPFTUNE_SLOTS_MAX ? bpf_map_update_elem(map_fd, &slot, &fd, BPF_ANY) : -E2BIG;
}

void chain_leave(int map_fd, uint16_t tuner)
{
	uint32_t slot = tuner;

	bpf_map_delete_elem(map_fd, &slot);
}
