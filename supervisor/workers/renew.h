/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Workers that do not have the latest tuners are replaced, one at a time. */
#ifndef BPFTUNE_SUPERVISOR_WORKERS_RENEW_H
#define BPFTUNE_SUPERVISOR_WORKERS_RENEW_H

#include "supervisor/workers/workers.h"

/* At least one worker has not got them. */
void renew_begin(struct workers *workers);

/* Begins with the next, if the last one's successor is ready or is not to come soon. */
void renew_next(struct workers *workers);

#endif
