/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Workers that do not have the latest tuners are replaced, one at a time. */
#ifndef BPFTUNE_SUPERVISOR_WORKERS_RENEW_H
#define BPFTUNE_SUPERVISOR_WORKERS_RENEW_H

#include "supervisor/workers/workers.h"

/* At least one worker has not got them. */
void renew_begin(struct workers *workers);

/* Whom to replace next, once the last one's successor is ready or is not to come soon. NULL: nobody yet, or nobody is
 * left. */
struct child *renew_next(struct workers *workers);

#endif
