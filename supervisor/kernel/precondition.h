/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The namespaces that a supervisor must run in. */
#ifndef BPFTUNE_SUPERVISOR_KERNEL_PRECONDITION_H
#define BPFTUNE_SUPERVISOR_KERNEL_PRECONDITION_H

#include "supervisor/kernel/bpf.h"

/* 0: this process is in the initial PID, user and cgroup namespaces. -EPERM: it is not; or another -errno; with the words. */
int precondition_check(struct bpf_refusal *ret_refusal);

#endif
