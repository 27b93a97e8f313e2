// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/decide_tcp_mem.h"

#define ROOM 2		  /* times what is allocated */
#define UNCHARGED_SHARE 8 /* of the machine */

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

int64_t tcp_mem_uncharged_pages(int64_t needed, uint64_t machine, int64_t first_high, uint32_t n_askers)
{
	int64_t most = machine / UNCHARGED_SHARE, share;

	if (first_high < 0 || most <= first_high)
		return 0;
	share = (most - first_high) / (n_askers ? n_askers : 1);
	return needed < share ? needed : share;
}
