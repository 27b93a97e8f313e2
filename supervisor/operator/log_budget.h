/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How many records the namespaces of one owner may put into the log: so many at once, and one more every now and then.
 */
#ifndef BPFTUNE_SUPERVISOR_OPERATOR_LOG_BUDGET_H
#define BPFTUNE_SUPERVISOR_OPERATOR_LOG_BUDGET_H

#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#define LOG_BUDGET_BURST 512
#define LOG_BUDGET_MS 200      /* for one more */
#define LOG_BUDGET_OWNERS 1024 /* past that, those that have all of theirs again are forgotten */

struct log_owner {
	char *name;
	uint64_t spent_to_ms;
	unsigned int left_out; /* records since the last that was logged */
	UT_hash_handle hh;
};

/* Whether one more record may be. If so, *ret_left_out is how many were left out before it. */
bool log_budget_allows(struct log_owner **owners, const char *name, uint64_t now_ms, unsigned int *ret_left_out);

void log_budget_free(struct log_owner **owners);

#endif
