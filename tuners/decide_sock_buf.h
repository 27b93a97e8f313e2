/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The arithmetic of sock_buf: numbers in, numbers out. */
#ifndef BPFTUNE_TUNERS_DECIDE_SOCK_BUF_H
#define BPFTUNE_TUNERS_DECIDE_SOCK_BUF_H

#include <stdint.h>

/*
 * The most that rmem_max or wmem_max is raised to, in bytes, as any process can ask for that much for each of its
 * sockets: 4 MiB, and 16 MiB on a machine with more than 64 GiB of memory.
 */
int64_t sock_buf_cap_bytes(uint64_t memory_pages, uint64_t page_bytes);

/* By how much all containers together may have such a limit raised: 1/1024 of the machine's memory. */
int64_t sock_buf_whole_bytes(uint64_t memory_pages, uint64_t page_bytes);

/*
 * What the limit would have to be for a socket that was measured to need a buffer of so many bytes: that, and no more
 * than the application asked for. 0: the limit has not cut the socket's wish. Sizes are the kernel's, twice what an
 * application asks for; the limit is as an application asks.
 */
int64_t sock_buf_wanted_bytes(uint64_t asked_bytes, uint64_t size_bytes, uint64_t needed_bytes);

/*
 * What a send buffer would have to be at least for the path to be busy all the time, in bytes as sk_sndbuf counts them:
 * it holds what the path takes while the sender does not wait for room. Fifty times its size at most.
 */
uint64_t sock_buf_needed_bytes(uint64_t size_bytes, uint32_t limited_percent);

#endif
