/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What TCP's sockets of one namespace hold of TCP's memory. */
#ifndef BPFTUNE_TUNERS_TCP_HELD_H
#define BPFTUNE_TUNERS_TCP_HELD_H

#include <stdint.h>

/*
 * The sum over all sockets of the caller's own namespace, in bytes, as the kernel charges them: also those that were
 * there before us, and those that are stuck and so pass no hook. The kernel walks its tables of sockets for it: that is
 * for when memory is short, not for each event (0.3 ms, and 2 us a socket). 0 or -errno; -ENOENT without its tcp_diag.
 */
int tcp_held_bytes(uint64_t *ret_bytes);

#endif
