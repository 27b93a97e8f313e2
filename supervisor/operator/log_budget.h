/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How many records the namespaces of one owner may put into the log: so many at once, and one more every now and then.
 */
#ifndef BPFTUNE_SUPERVISOR_OPERATOR_LOG_BUDGET_H
#define BPFTUNE_SUPERVISOR_OPERATOR_LOG_BUDGET_H

#include "supervisor/instances/instances.h"

#define LOG_BUDGET_BURST 512
#define LOG_BUDGET_MS 200 /* for one more */

/* Whether one more record may be. If so, *ret_left_out is how many were left out before it. */
bool log_budget_allows(struct owner_log *log, uint64_t now_ms, unsigned int *ret_left_out);

#endif
