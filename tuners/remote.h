/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A remote host as tuners remember it: one IPv4 address, or a network of 64 bits of IPv6, which is what one
 * host usually has. Or the network that the host is in: 24 bits of IPv4, 48 of IPv6. Filled in by bpf/remote.bpf.h;
 * included by BPF programs and by handlers.
 */
#ifndef BPFTUNE_TUNERS_REMOTE_H
#define BPFTUNE_TUNERS_REMOTE_H

#include <linux/types.h>

struct remote {
	/*
	 * Network byte order; IPv4 as ::ffff:a.b.c.d, IPv6 with its last 8 bytes zero. The ninth byte, which is zero in
	 * both, is the length of a network's prefix.
	 */
	__u8 address[16];
};

_Static_assert(sizeof(struct remote) == 16, "part of map keys");

#define REMOTE_PREFIX 8 /* the index of that byte */
#define REMOTE_IPV4_BITS 24
#define REMOTE_IPV6_BITS 48

static inline _Bool remote_is_network(const struct remote *remote)
{
	return remote->address[REMOTE_PREFIX];
}

/* A host becomes the network that it is in. */
static inline void remote_widen(struct remote *remote)
{
	if (remote->address[10]) { /* IPv4: of IPv6 this byte is zero */
		remote->address[15] = 0;
		remote->address[REMOTE_PREFIX] = REMOTE_IPV4_BITS;
	} else {
		remote->address[6] = remote->address[7] = 0;
		remote->address[REMOTE_PREFIX] = REMOTE_IPV6_BITS;
	}
}

#define REMOTE_TEXT_BYTES 50 /* INET6_ADDRSTRLEN and "/64" */

/* Writes "10.9.1.1" or "2001:db8::/64", of a network "10.9.1.0/24" or "2001:db8::/48"; gives `text`. */
const char *remote_text(const struct remote *remote, char text[REMOTE_TEXT_BYTES]);

#endif
