/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What memory allows tcp_buffer. Numbers in, numbers out; the clock is an argument. */
#ifndef BPFTUNE_TUNERS_DECIDE_TCP_BUFFER_MEMORY_H
#define BPFTUNE_TUNERS_DECIDE_TCP_BUFFER_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

struct tcp_buffer_memory {
	uint64_t allocated_pages; /* by TCP as a whole; a few pages a CPU more or less */
	uint64_t pressure_pages;  /* tcp_mem[1] */
	uint64_t container_pages; /* memory.max of the flow's cgroup and those above; UINT64_MAX: none */
	uint64_t page_bytes;
	uint64_t taken_bytes; /* of the container's: by large buffers that this limit does not bound */
	uint32_t n_flows;     /* with large buffers that it does; 0: as one */
};

/* The smallest memory.max met of late, where several containers share a namespace. Begins as zeroes. */
struct tcp_buffer_smallest {
	uint64_t pages, seen_us; /* 0: none */
};

/* Gives it, this one counted: the limit must not depend on whose flow it is. */
uint64_t tcp_buffer_smallest_pages(struct tcp_buffer_smallest *smallest, uint64_t container_pages, uint64_t now_us);

/* The same where the flow at hand does not tell: without an earlier one, a container is taken for a very small one. */
uint64_t tcp_buffer_reckoned_pages(const struct tcp_buffer_smallest *smallest, uint64_t page_bytes);

/*
 * The most that one buffer may be allowed to grow to, in bytes: an eighth of the memory at which TCP as a whole
 * comes under pressure, a flow's part of a quarter of what the container may have, and never more than an int, which
 * the sysctl is.
 */
int64_t tcp_buffer_cap_bytes(const struct tcp_buffer_memory *memory);

/*
 * The large buffers of a container, of one direction: three quarters of the limit, or one 64th of what all of them may
 * have. Begins as zeroes.
 */
struct tcp_buffer_crowd {
	uint64_t bytes;	       /* of all */
	uint64_t beyond_bytes; /* of those that are larger than the limit is to be: it does not make them smaller */
	uint32_t n;	       /* others */
};

/* One more buffer of such a size; the limit is to become `to_bytes`. */
void tcp_buffer_crowd_add(struct tcp_buffer_crowd *crowd, const struct tcp_buffer_memory *memory, int64_t limit_bytes,
			  int64_t to_bytes, uint64_t size_bytes);

/* From which size on a buffer is to be told of, as a limit that is raised lets it grow so large that their number
 * counts. 0: none. */
uint32_t tcp_buffer_watched_bytes(const struct tcp_buffer_memory *memory, int64_t limit_bytes, int64_t first_bytes);

/* A limit that is past its cap: halved until it is not, but no less than it was before the first step. */
int64_t tcp_buffer_fit_bytes(int64_t limit_bytes, int64_t cap_bytes, int64_t first_bytes);

/*
 * How far of that one of so many containers may have a limit raised that is the host's: its share of what is between
 * the first value and the cap.
 */
int64_t tcp_buffer_share_bytes(int64_t first_bytes, int64_t cap_bytes, uint32_t n_askers);

/* True when TCP has so much of its memory that no limit should rise. */
bool tcp_buffer_memory_is_short(const struct tcp_buffer_memory *memory);

/*
 * The least that a limit comes down to while memory is short: what Linux allows at boot on such a machine (`boot_bytes`
 * at most: net/ipv4/tcp.c: tcp_init()), or less if it was less before the first step; and what new sockets begin with.
 */
int64_t tcp_buffer_floor_bytes(int64_t boot_bytes, uint64_t machine_bytes, int64_t first_bytes, int64_t default_bytes);

/* Half of what it is, but not less than that. 0: it stays. */
int64_t tcp_buffer_lower_bytes(int64_t current_bytes, int64_t floor_bytes);

/* A namespace while memory is short. Begins as zeroes, each time. */
struct tcp_buffer_shortage {
	uint64_t held_pages, allocated_pages; /* in the namespace and in all, at first or when the last step was kept */
	bool has_begun;
	bool is_judging;   /* a step waits for its verdict; held_pages: at that step */
	bool is_of_no_use; /* a step was undone */
};

enum tcp_buffer_relief {
	TCP_BUFFER_RELIEF_NONE,
	TCP_BUFFER_RELIEF_STEP, /* lower the limits */
	TCP_BUFFER_RELIEF_KEEP, /* the namespace holds no more than at the step */
	TCP_BUFFER_RELIEF_UNDO, /* it does: its sockets grow whatever the limits are */
};

/*
 * The sockets of the namespace hold so much now. Who has grown since the shortage began gives back, not who holds much:
 * the larger its part of the growth, the earlier.
 */
enum tcp_buffer_relief tcp_buffer_relieve(struct tcp_buffer_shortage *shortage, const struct tcp_buffer_memory *memory,
					  uint64_t held_pages);

/* True: so little is left that not even a walk of the socket table is to be asked of the kernel. */
bool tcp_buffer_memory_is_worst(const struct tcp_buffer_memory *memory);

/* A state that events tell of while it lasts. Begins as zeroes. */
struct tcp_buffer_period {
	uint64_t since_us, told_us;
};

/* It is told of at now_us: for how long without a gap? */
uint64_t tcp_buffer_period_us(struct tcp_buffer_period *period, uint64_t now_us);

#endif
