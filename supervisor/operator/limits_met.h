/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The limits that an instance's namespace has met: its worker reads them when somebody asks. */
#ifndef BPFTUNE_SUPERVISOR_OPERATOR_LIMITS_MET_H
#define BPFTUNE_SUPERVISOR_OPERATOR_LIMITS_MET_H

#include "supervisor/operator/connection.h"

void limits_start(struct operator* operator);
void limits_close(struct operator* operator);

/*
 * Replies with the instance and the limits that its namespace has met, once its worker has told them; or without the
 * limits, if there is no worker, or it has told nothing for a second.
 */
void limits_reply(const struct call *call, struct instance *instance);

/* The instance is to end: who waits for its worker is answered, and what was read is forgotten. */
void limits_end(struct operator* operator, const struct instance * instance);

#endif
