/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What workers have the supervisor keep for their successors: put together from its parts, and kept in the ledger. */
#ifndef BPFTUNE_SUPERVISOR_CHANGES_MEMORY_H
#define BPFTUNE_SUPERVISOR_CHANGES_MEMORY_H

#include "supervisor/changes/changes.h"

/* One of which some parts are yet to come. A worker sends the parts of one after the other. */
struct memory_parts;

/* A BPFTUNE_MEMORY report. 0, or -errno: then that memory is not kept. */
int memory_take_part(struct changes *changes, struct instance *instance, const struct bpftune_report *report);

#endif
