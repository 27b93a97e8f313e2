/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What each CPU counts of the frames that wait for it, and of its time. */
#ifndef BPFTUNE_TUNERS_SOFTNET_H
#define BPFTUNE_TUNERS_SOFTNET_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct softnet_cpu {
	/* Of /proc/net/softnet_stat, where they wrap. Frames that the limit of a flow drops are among `dropped`. */
	uint32_t processed, dropped, squeezed, flow_limited;
	uint64_t idle, all; /* clock ticks, of /proc/stat */
};

/* Reads both files; CPUs are found by their numbers. One past the highest number, of those below n; -EBADMSG. */
int softnet_parse(FILE *softnet_stat, FILE *stat, struct softnet_cpu *cpus, size_t n);

/* The same of this machine; or -errno of fopen(3). */
int softnet_read(struct softnet_cpu *cpus, size_t n);

#endif
