// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/decide_neigh.h"

#define STEP 4	     /* at most that many times as large, as trials step */
#define JUDGED_MIN 8 /* new neighbours; past ones count half */
#define NEIGHBOUR_BYTES \
	1024 /* struct neighbour takes 512 of the kernel's memory, an entry under way what it queues besides */
#define MEMORY_SHARE 64
#define ENTRIES_MAX 131072 /* a full table is walked for each new neighbour, with its lock held */

enum neigh_verdict neigh_judge(const struct neigh_counts *now, const struct neigh_counts *past)
{
	uint64_t created = (uint64_t)now->created + past->created, answered = (uint64_t)now->answered + past->answered;

	if (2 * answered >= created)
		return NEIGH_RAISE;
	return past->created >= JUDGED_MIN && 2 * (uint64_t)past->answered < past->created ? NEIGH_OF_NO_USE
											   : NEIGH_WAIT;
}

uint64_t neigh_per_second(const struct neigh_counts *now, uint32_t now_ms)
{
	return 1000 * ((uint64_t)now->created + now->refused) / (now_ms < 1000 ? 1000 : now_ms);
}

int64_t neigh_more(int64_t first, int64_t current)
{
	if (first <= 0 || current < first || current > INT32_MAX)
		return 0;
	return STEP * current - first;
}

int64_t neigh_whole(int64_t memory_pages, int64_t page_bytes)
{
	int64_t entries = memory_pages / MEMORY_SHARE * page_bytes / NEIGHBOUR_BYTES;

	return entries < ENTRIES_MAX ? entries : ENTRIES_MAX;
}

int64_t neigh_thresh2_max(int64_t thresh3)
{
	return thresh3 - thresh3 / 8;
}

static int64_t larger(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

void neigh_in_proportion(const int64_t first[3], int64_t thresh3, bool is_churned, int64_t ret_thresh[2])
{
	bool is_raised = first[2] > 0 && thresh3 > first[2];

	for (int i = 0; i < 2; i++) {
		ret_thresh[i] = is_raised ? first[i] * thresh3 / first[2] : first[i];
		if (ret_thresh[i] > INT32_MAX)
			ret_thresh[i] = INT32_MAX;
	}
	if (is_churned) {
		ret_thresh[1] = larger(ret_thresh[1], neigh_thresh2_max(thresh3));
		ret_thresh[0] = larger(ret_thresh[0], ret_thresh[1] / 2);
	}
}
