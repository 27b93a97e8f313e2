/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A tuner's program that only carries out verdicts: it is loaded from the start, and attached when brief.c says so. */
#ifndef BPFTUNE_SUPERVISOR_KERNEL_LATE_H
#define BPFTUNE_SUPERVISOR_KERNEL_LATE_H

#include <stdbool.h>

struct bpf_program;

/* All zeros: none. */
struct late {
	int program_fd, type; /* enum bpf_attach_type */
	int link_fd;	      /* 0: it is not attached now */
};

/* Is this the section of such a program? And of one whose hook runs for each datagram that is received? */
bool late_is_section(const char *section);
bool late_is_per_call(const char *section);

/* Keeps a program that was loaded. 0, or -errno when it cannot be attached. */
int late_keep(struct late *late, const struct bpf_program *program, int cgroup_fd);

/* 0 or -errno. */
int late_attach(struct late *late, int cgroup_fd);
void late_detach(struct late *late);

/* Detaches it, and lets go of it. */
void late_free(struct late *late);

#endif
