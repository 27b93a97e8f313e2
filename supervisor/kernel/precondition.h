/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The namespaces that a supervisor must run in, and the capabilities that it needs. */
#ifndef BPFTUNE_SUPERVISOR_KERNEL_PRECONDITION_H
#define BPFTUNE_SUPERVISOR_KERNEL_PRECONDITION_H

#include <stddef.h>

#include "supervisor/kernel/bpf.h"

/* 0: this process is in the initial PID, user and cgroup namespaces. -EPERM: it is not; or another -errno; with the words. */
int precondition_check(struct bpf_refusal *ret_refusal);

/*
 * `complain` gets a sentence for each capability that this process needs and lacks: its name, and what does not work without it.
 * The number of those.
 */
size_t precondition_check_capabilities(void (*complain)(void *arg, const char *text), void *arg);

#endif
