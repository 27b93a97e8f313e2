/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The arithmetic of tcp_buffer: numbers in, numbers out. */
#ifndef BPFTUNE_TUNERS_DECIDE_TCP_BUFFER_H
#define BPFTUNE_TUNERS_DECIDE_TCP_BUFFER_H

#include <stdint.h>

/*
 * The most that one buffer may be allowed to grow to, in bytes: an eighth of the memory at which TCP as
 * a whole comes under pressure (tcp_mem[1], pages), and never more than an int, which the sysctl is.
 */
int64_t tcp_buffer_cap_bytes(uint64_t mem_pressure_pages, uint64_t page_bytes);

/*
 * The next limit for a flow that met `limit_bytes`, when the sysctl is `current_bytes` now: twice the
 * current one, at most the cap. 0: hold, because the limit has moved since or the cap is reached.
 */
int64_t tcp_buffer_next_bytes(int64_t limit_bytes, int64_t current_bytes, int64_t cap_bytes);

#endif
