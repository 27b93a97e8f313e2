/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One question to the kernel about sockets of the caller's own namespace: sock_diag(7). */
#ifndef BPFTUNE_TUNERS_SOCK_DIAG_H
#define BPFTUNE_TUNERS_SOCK_DIAG_H

#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Sends a request of SOCK_DIAG_BY_FAMILY and calls `take` for each message of the answer: one, or those of a dump. 0 or
 * -errno; -ENOENT: the kernel does not tell of such sockets, or there is no such socket.
 */
int sock_diag_ask(const void *request, size_t bytes, bool is_dump, mnl_cb_t take, void *arg);

#endif
