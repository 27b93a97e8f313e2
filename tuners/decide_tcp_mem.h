/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The arithmetic of tcp_mem: numbers in, numbers out. */
#ifndef BPFTUNE_TUNERS_DECIDE_TCP_MEM_H
#define BPFTUNE_TUNERS_DECIDE_TCP_MEM_H

#include <stdint.h>

/*
 * By how much the highest of TCP's memory limits would have to be above the first one, for the pressure limit to be
 * twice what is allocated: of that, the part of a namespace that holds so much of it. In pages; `first`: the first
 * values for pressure and most. 0: the first values are enough.
 */
int64_t tcp_mem_needed_pages(uint64_t allocated, uint64_t held, const int64_t first[2]);

/*
 * How much of that a container may have whose sockets' memory no cgroup pays for: with it, TCP has an eighth of the
 * machine's memory at most; each of so many containers may have an equal part of what is left of that. `first_high`:
 * the first value for most. In pages.
 */
int64_t tcp_mem_uncharged_pages(int64_t needed, uint64_t machine, int64_t first_high, uint32_t n_askers);

#endif
