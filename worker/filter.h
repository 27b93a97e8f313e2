/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The system calls that a worker may make: a list of what is allowed. All others fail with EPERM. */
#ifndef BPFTUNE_WORKER_FILTER_H
#define BPFTUNE_WORKER_FILTER_H

#include <linux/filter.h>

/* Makes the program, which is the same for all workers; its instructions are the caller's to free(). 0 or -errno. */
int filter_make(struct sock_fprog *ret_program);

/* Loads it into this process, for good. 0 or -errno. */
int filter_load(const struct sock_fprog *program);

#endif
