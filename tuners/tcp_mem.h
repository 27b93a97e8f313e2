/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What tcp_mem's BPF programs tell its handlers, and what they are told. */
#ifndef BPFTUNE_TUNERS_TCP_MEM_H
#define BPFTUNE_TUNERS_TCP_MEM_H

#include "ipc/event.h"

enum tcp_mem_scenario {
	TCP_MEM_NEAR_PRESSURE,
	TCP_MEM_REFUSED,
	TCP_MEM_EASED,
	TCP_MEM_NOT_NEEDED, /* no program tells it */
	TCP_MEM_UNCHARGED,
};

/* All in pages, all of the machine. */
struct tcp_mem_use {
	__u64 allocated; /* but for what each CPU keeps in reserve: up to 1 MiB */
	__u64 mem[3];	 /* tcp_mem: low, pressure, high */
	__u64 held;	 /* of that by the sockets of the namespace that it is told of: its worker fills it in */
};

_Static_assert(sizeof(struct tcp_mem_use) <= BPFTUNE_EVENT_PAYLOAD_BYTES, "fits an event");

/* The verdict on key 0: tell when less than that is allocated, since tcp_mem was raised. */
struct tcp_mem_raised {
	__u64 eased_below_pages;
	__u64 zero[2];
};

_Static_assert(sizeof(struct tcp_mem_raised) == sizeof(((struct bpftune_verdict *)0)->value), "a verdict's value");

#endif
