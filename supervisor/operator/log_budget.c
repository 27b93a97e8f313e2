// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/operator/log_budget.h"

bool log_budget_allows(struct owner_log *log, uint64_t now_ms, unsigned int *ret_left_out)
{
	if (!bucket_take(&log->records, 1, LOG_BUDGET_MS, LOG_BUDGET_BURST, now_ms)) {
		log->left_out++;
		*ret_left_out = 0;
		return false;
	}
	*ret_left_out = log->left_out;
	log->left_out = 0;
	return true;
}
