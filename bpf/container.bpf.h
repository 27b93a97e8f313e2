/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For a program that is attached to the cgroup of each container: its name ends in _container. */
#ifndef BPFTUNE_BPF_CONTAINER_H
#define BPFTUNE_BPF_CONTAINER_H

#include "bpf/kernel.h"

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_STORAGE);
	__type(key, struct bpf_cgroup_storage_key);
	__type(value, __u64);
} instance_ids SEC(".maps");

/* The instance whose cgroup it is: written by the supervisor right after the attachment, 0 until then. */
static __always_inline __u64 instance_of_cgroup(void)
{
	__u64 *instance = bpf_get_local_storage(&instance_ids, 0);

	return *instance;
}

#endif
