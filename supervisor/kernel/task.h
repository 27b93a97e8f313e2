/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes. */
#ifndef BPFTUNE_SUPERVISOR_KERNEL_TASK_H
#define BPFTUNE_SUPERVISOR_KERNEL_TASK_H

#include <sys/types.h>

/* fork(2) with all signals blocked in the child, which resets them. */
pid_t task_fork(void);

/* As many descriptors as we may have. */
void task_raise_descriptor_limit(void);

/* What is mapped by that name in /proc/self/maps is in no child that is forked from now on. */
void task_keep_from_children(const char *mapped);

#endif
