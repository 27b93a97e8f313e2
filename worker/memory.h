/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a tuner, and its trials, have the supervisor keep for the worker that comes next. */
#ifndef BPFTUNE_WORKER_MEMORY_H
#define BPFTUNE_WORKER_MEMORY_H

#include "worker/tunable.h"

/* Takes a copy of what there is: the worker's own from now on. 0 or -ENOMEM. */
int memory_take(struct engine *engine, enum bpftune_memory_kind kind, const struct bpftune_memory *memory);

/* Tells the supervisor, if that is other than it has. 0; -E2BIG; -EPERM: this instance has no memory; -ENOMEM. */
int memory_keep(struct worker *worker, struct engine *engine, enum bpftune_memory_kind kind,
		const struct bpftune_memory *memory);

#endif
