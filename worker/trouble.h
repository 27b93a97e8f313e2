/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How much trouble a remedy has, and how much work, in a window of time: read from counters, or counted by the tuner.
 */
#ifndef BPFTUNE_WORKER_TROUBLE_H
#define BPFTUNE_WORKER_TROUBLE_H

#include "worker/remedy_step.h"

#define TROUBLE_COUNTERS 3 /* of each remedy whose trouble is counted */

/* Else the tuner says when there is trouble, by bpftune_try(), or the remedy comes before the trouble. */
bool trouble_is_counted(const struct bpftune_remedy *what);

/* The counters of the engine's remedies whose trouble is counted, in the order of these remedies. 0 or -errno. */
int trouble_read(const struct worker *worker, const struct engine *engine,
		 struct bpftune_counter ret_counters[TROUBLE_COUNTERS * BPFTUNE_REMEDIES_MAX]);

/* Looks at the remedy with what its counters have grown by, once there is a window of a second. `read` is changed. */
void trouble_look(struct worker *worker, struct subject *subject, struct bpftune_counter read[TROUBLE_COUNTERS]);

#endif
