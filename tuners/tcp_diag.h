/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel tells of TCP's sockets of the caller's own namespace: inet_diag. */
#ifndef BPFTUNE_TUNERS_TCP_DIAG_H
#define BPFTUNE_TUNERS_TCP_DIAG_H

#include <linux/inet_diag.h>
#include <stddef.h>
#include <stdint.h>

struct tcp_diag_socket {
	const struct inet_diag_msg *message;
	const uint32_t *mem; /* by SK_MEMINFO_...; NULL: not told */
	const void *info;    /* struct tcp_info, of so many bytes; NULL: not told */
	size_t info_bytes;
};

typedef void (*tcp_diag_fn)(const struct tcp_diag_socket *socket, void *arg);

/*
 * Calls `each` for each socket in one of these states (a bit each), IPv4 first. `told` has the bits 1 << (INET_DIAG_...
 * - 1) of what the kernel is to tell; INET_DIAG_INFO takes each socket's lock. 0 or -errno; -ENOENT without the
 * kernel's tcp_diag.
 */
int tcp_diag_walk(uint32_t states, uint8_t told, tcp_diag_fn each, void *arg);

/* Calls it for this socket, which a walk has told of. The kernel finds it by its addresses. -ENOENT: it is no more. */
int tcp_diag_get(uint8_t family, const struct inet_diag_sockid *id, uint8_t told, tcp_diag_fn each, void *arg);

#endif
