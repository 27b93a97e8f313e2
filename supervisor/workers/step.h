/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A worker's next state, and what is done about it. */
#ifndef BPFTUNE_SUPERVISOR_WORKERS_STEP_H
#define BPFTUNE_SUPERVISOR_WORKERS_STEP_H

#include "supervisor/workers/child.h"

/* Does what the table says, and gives the state that follows. CHILD_GONE: its instance ends. */
enum child_state child_step(struct child *child, enum child_event event);

/* For capacity_start(). */
bool step_try_start(struct child *child);

#endif
