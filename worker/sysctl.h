/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sysctls of the namespace the caller is in: below /proc/sys/net the kernel looks each name up in the
 * namespace of the task that asks (net/sysctl_net.c: net_ctl_header_lookup()). `dir_fd` is /proc/sys, of any procfs.
 */
#ifndef BPFTUNE_WORKER_SYSCTL_H
#define BPFTUNE_WORKER_SYSCTL_H

#include <stddef.h>

#include "tuners/tuner.h"

/*
 * net.ipv4.conf.eth0/1.rp_filter -> net/ipv4/conf/eth0.1/rp_filter: sysctl(8)'s rule, in which a slash
 * stands for a dot in a component. -EINVAL: empty, absolute, or with a `..` component. -ENAMETOOLONG.
 */
int sysctl_path(const char *name, char *ret_path, size_t size);

/*
 * The value without its newline, tabs turned to single blanks. -errno of open(2) or read(2);
 * -EMSGSIZE when it does not fit in BPFTUNE_VALUE_BYTES.
 */
int sysctl_read(int dir_fd, const char *name, char ret_value[BPFTUNE_VALUE_BYTES]);

/* -errno of open(2), write(2) or close(2); -EIO: the kernel took only a part. */
int sysctl_write(int dir_fd, const char *name, const char *value);

/* Exactly n decimal integers, nothing else: 0 or -EINVAL; -ERANGE past long long. */
int sysctl_parse_ints(const char *value, unsigned int n, long long *ret_ints);

void sysctl_format_ints(const long long *ints, unsigned int n, char ret_value[BPFTUNE_VALUE_BYTES]);

#endif
