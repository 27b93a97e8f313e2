/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The protocols' counters of the caller's namespace. /proc/self/net/{snmp,netstat} are pairs of lines, of names and of
 * values, that both begin with the group: "TcpExt: SyncookiesSent SyncookiesRecv ..." and "TcpExt: 0 0 ...".
 */
#ifndef BPFTUNE_WORKER_PROCNET_H
#define BPFTUNE_WORKER_PROCNET_H

#include <stddef.h>
#include <stdio.h>

#include "tuners/tuner.h"

/* Sets value and found of those counters that one pair of lines has. -EBADMSG: that is no such pair. */
int procnet_pair(const char *names, const char *values, struct bpftune_counter *counters, size_t n);

/* The same for each pair of a file, up to its first bad one. */
int procnet_read(FILE *file, struct bpftune_counter *counters, size_t n);

#endif
