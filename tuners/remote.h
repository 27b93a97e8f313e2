/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A remote host as tuners remember it: one IPv4 address, or a network of 64 bits of IPv6, which is what one
 * host usually has. Filled in by bpf/remote.bpf.h; included by BPF programs and by handlers.
 */
#ifndef BPFTUNE_TUNERS_REMOTE_H
#define BPFTUNE_TUNERS_REMOTE_H

#include <linux/types.h>

struct remote {
	__u8 address[16]; /* network byte order; IPv4 as ::ffff:a.b.c.d, IPv6 with its last 8 bytes zero */
};

_Static_assert(sizeof(struct remote) == 16, "part of map keys");

#define REMOTE_TEXT_BYTES 50 /* INET6_ADDRSTRLEN and "/64" */

/* Writes "10.9.1.1" or "2001:db8::/64"; gives `text`. */
const char *remote_text(const struct remote *remote, char text[REMOTE_TEXT_BYTES]);

#endif
