/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Neighbour tables of the namespace the caller is in, by rtnetlink(7): the attributes that `ip ntable` shows.
 * A name is TABLE.thresh1 (the table's own) or TABLE.DEVICE.queue_lenbytes (a device's); TABLE is arp_cache or
 * ndisc_cache, and DEVICE may hold dots. Each call opens a socket and closes it: a worker at rest holds none.
 */
#ifndef BPFTUNE_WORKER_NETLINK_H
#define BPFTUNE_WORKER_NETLINK_H

#include <stdbool.h>

#include "ipc/report.h"

struct netlink_extack {
	char text[128]; /* the kernel's own words on an error; "": none */
};

/* Whether the name is of such a table; a sysctl's is not. */
bool netlink_is_neightbl(const char *name);

/* 0; -EINVAL: no such attribute; -ENOENT: no such table; -ENODEV; or -errno. */
int netlink_read_neightbl(const char *name, char ret_value[BPFTUNE_VALUE_BYTES]);

/* 0 when the kernel acknowledged it; else its -errno, with its words where it has any. */
int netlink_write_neightbl(const char *name, const char *value, struct netlink_extack *ret_extack);

#endif
