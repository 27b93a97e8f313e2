/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a worker is given at its start, all in one mapping: copies of what concerns its instance, and its stack. Nothing
 * of it is in memory that the workers have that are forked after it.
 */
#ifndef BPFTUNE_SUPERVISOR_WORKERS_KIT_H
#define BPFTUNE_SUPERVISOR_WORKERS_KIT_H

#include "supervisor/workers/child.h"
#include "worker/worker.h"

struct kit;

/* For a child that has its slot; `enters`: a namespace is in it. NULL: no memory. */
struct kit *kit_new(const struct child *child, bool enters);

/* Forks the worker. A pid, or -errno. */
pid_t kit_start(struct kit *kit);

void kit_free(struct kit *kit);

#endif
