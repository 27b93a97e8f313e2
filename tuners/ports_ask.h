/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What sockets of the caller's own namespace say about its ports: sock_diag(7). The kernel walks its tables for it. */
#ifndef BPFTUNE_TUNERS_PORTS_ASK_H
#define BPFTUNE_TUNERS_PORTS_ASK_H

#include "tuners/decide_ports.h"

/* How far the range may grow without a port at which somebody listens, or is bound by UDP. 0 or -errno. */
int ports_ask_walls(const struct ports_range *range, struct ports_range *ret_walls);

/* The port of a remote that most local ports are used with. */
struct ports_users {
	uint16_t port;
	uint32_t sockets, time_waits; /* of these */
};

/* `remote` is as in struct ports_failed. 0 or -errno; -ENOENT: no socket is connected to it. */
int ports_ask_users(const uint32_t remote[4], struct ports_users *ret_users);

#define PORTS_REMOTE_BYTES 64

/* "to 10.1.2.3 port 80"; gives what it was given. */
const char *ports_show_users(const uint32_t remote[4], const struct ports_users *users, char text[PORTS_REMOTE_BYTES]);

#endif
