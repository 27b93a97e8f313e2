/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The arithmetic of tcp_mem, in pages and 64 bits: numbers in, numbers out. */
#ifndef BPFTUNE_TUNERS_DECIDE_TCP_MEM_H
#define BPFTUNE_TUNERS_DECIDE_TCP_MEM_H

#include <stdbool.h>
#include <stdint.h>

/*
 * The most that tcp_mem[2] may become: a quarter of the memory that TCP has or could have without taking it from
 * anybody else.
 */
uint64_t tcp_mem_cap(uint64_t available, uint64_t allocated);

/*
 * All three half as much again, in proportion, or as far as tcp_mem[2] may go. False: there is no room for an eighth
 * more, or they are not values to go on from (unordered, zero).
 */
bool tcp_mem_next(const int64_t current[3], uint64_t cap, int64_t ret_next[3]);

/* Below that it has eased: half of where TCP comes under pressure with the values that were there first. */
uint64_t tcp_mem_eased_below(const int64_t initial[3]);

/* When it has eased at eased_ns, and does so still at now_ns: long enough to go back? */
bool tcp_mem_is_over(uint64_t eased_ns, uint64_t now_ns);

#endif
