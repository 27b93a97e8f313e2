// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/decide_tcp_mem.h"

#define ROOM 2 /* times what is allocated */

int64_t tcp_mem_needed_pages(uint64_t allocated, uint64_t held, const int64_t first[2])
{
	double needed, part;

	if (!allocated || first[0] <= 0 || first[1] < first[0])
		return 0;
	part = held < allocated ? (double)held / allocated : 1;
	needed = ((double)ROOM * allocated / first[0] - 1) * first[1] * part;
	if (needed <= 0)
		return 0;
	return needed < (double)(INT64_MAX / 2) ? (int64_t)needed : INT64_MAX / 2;
}
