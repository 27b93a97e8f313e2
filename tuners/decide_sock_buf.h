/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The arithmetic of sock_buf: numbers in, numbers out. */
#ifndef BPFTUNE_TUNERS_DECIDE_SOCK_BUF_H
#define BPFTUNE_TUNERS_DECIDE_SOCK_BUF_H

#include <stdint.h>

/*
 * The most that rmem_max or wmem_max may be, in bytes: any process can ask for that much for each of its sockets, so
 * 1/256 of the machine's memory, and at most 256 MiB.
 */
int64_t sock_buf_cap_bytes(uint64_t memory_pages, uint64_t page_bytes);

/* The limit that grants a wish, or as much of it as the cap allows. 0: hold, the wish fits or the cap is reached. */
int64_t sock_buf_next_bytes(int64_t asked_bytes, int64_t current_bytes, int64_t cap_bytes);

/*
 * What a send buffer would have to be at least for the path to be busy all the time, in bytes as sk_sndbuf counts them:
 * it holds what the path takes while the sender does not wait for room. Fifty times its size at most.
 */
uint64_t sock_buf_needed_bytes(uint64_t size_bytes, uint32_t limited_percent);

#endif
