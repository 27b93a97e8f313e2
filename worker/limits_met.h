/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads the counters of limits that the worker's namespace has met. */
#ifndef BPFTUNE_WORKER_LIMITS_MET_H
#define BPFTUNE_WORKER_LIMITS_MET_H

#include <stdbool.h>

#include "ipc/limits_met.h"

/* Opens up to eight files below /proc. `is_host`: the caller is in the host's namespace, which has counters of its own.
 */
void limits_met_read(bool is_host, struct limits_met *ret_met);

#endif
