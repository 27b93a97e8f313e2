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

/* Adds to the value of those counters; if none was found of one yet, it is the value. */
void procnet_add(struct bpftune_counter *counters, size_t n, const char *group, const char *name, uint64_t value);

/* A file like /proc/net/snmp6: "Udp6RcvbufErrors 0" in each line. All are of that group. 0 or -EBADMSG. */
int procnet_lines(FILE *file, const char *group, struct bpftune_counter *counters, size_t n);

/*
 * A file like those in /proc/net/stat: a line of names, then one of hexadecimal numbers for each CPU, which are added
 * up. `names`: the file has no line of names, and these are they, parted by blanks. 0 or -EBADMSG.
 */
int procnet_table(FILE *file, const char *group, const char *names, struct bpftune_counter *counters, size_t n);

#endif
