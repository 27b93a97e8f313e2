/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is decided about the receive buffers of a UDP port: numbers in, numbers out. A size is tried as a tunable is
 * (worker/trial.h); but a new size is in no socket until the program says so, and a step that was kept is given up when
 * datagrams are dropped as they were before it.
 */
#ifndef BPFTUNE_TUNERS_DECIDE_UDP_H
#define BPFTUNE_TUNERS_DECIDE_UDP_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/trial.h"

/* As it is kept past a worker: without pointers or padding. All zeros: nothing. */
struct udp_port {
	uint32_t number;
	uint32_t size_bytes;	/* that its sockets are to have; sizes are as sk_rcvbuf counts */
	uint32_t granted_bytes; /* the kernel gave no more than that of what was asked; 0: all of it */
	uint8_t is_waiting;	/* no socket has the size yet */
	uint8_t has_window;
	uint8_t told_full; /* for the tuner: it has said that there is no room */
	uint8_t zero;
	uint64_t since_ns, drops, received;   /* the window's beginning, and the counters then */
	uint64_t first_drops, first_received; /* in the window that led to the first step */
	uint64_t told_drops, told_ns;	      /* the latest that the programs told, and when */
	struct trial trial;
};

_Static_assert(sizeof(struct udp_port) == 72 + sizeof(struct trial), "no padding");

enum udp_verdict_kind {
	UDP_KEEP,    /* nothing is to be done */
	UDP_RAISE,   /* a larger size */
	UDP_UNDO,    /* the last step was of no use */
	UDP_GIVE_UP, /* after some steps it is as it was before the first one */
	UDP_HELPED,  /* the last step is kept, and no other is needed */
	UDP_FULL,    /* there is no room for a step */
};

/* The program tells of drops at a socket with a receive buffer of that size. */
void udp_port_dropped(struct udp_port *port, uint64_t now_ns, uint32_t size_bytes, uint64_t drops);

/* The program has given a socket a size; it asked for the port's. */
void udp_port_sized(struct udp_port *port, uint64_t now_ns, uint32_t asked_bytes, uint32_t size_bytes);

/* The window of what was counted: so many drops of the port by datagrams that the namespace received. */
struct udp_window {
	uint64_t drops, received;
};

/*
 * To be asked about once a second, with the datagrams that the namespace has received in all. The port's new size is in
 * size_bytes, the window that led to it in `ret_window`. `cap_bytes` is the largest size.
 */
enum udp_verdict_kind udp_port_look(struct udp_port *port, uint64_t now_ns, uint64_t received, int64_t cap_bytes,
				    struct udp_window *ret_window);

/* By how much udp_mem's third value is to exceed the first one of its kind, for it to be four times what it is now. */
int64_t udp_mem_more(int64_t high, int64_t first_high);

/*
 * The largest size: a share of the machine's memory and of the container's (UINT64_MAX: it has no limit, 0: not known),
 * and no more than 16 MiB.
 */
int64_t udp_cap_bytes(uint64_t container_pages, uint64_t machine_pages, uint64_t page_bytes);

#endif
