/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `bpftune rollback`: every initial value put back, last change first, by the workers. */
#ifndef BPFTUNE_SUPERVISOR_CHANGES_ROLLBACK_H
#define BPFTUNE_SUPERVISOR_CHANGES_ROLLBACK_H

#include "supervisor/changes/changes.h"

#define ROLLBACK_SET_SINCE "somebody else set it since"

/* An outcome that a worker reports: maybe one that a rollback waits for. */
void rollback_outcome(struct changes *changes, struct instance *instance, const struct bpftune_report *report);

/* A worker is ready, maybe in place of one that died with a value to put back. */
void rollback_ready(struct changes *changes, struct instance *instance);

/* The instance is to end. */
void rollback_drop(struct changes *changes, uint64_t instance);

#endif
