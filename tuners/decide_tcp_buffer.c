// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/decide_tcp_buffer.h"

#include <limits.h>

#define CAP_SHARE 8

int64_t tcp_buffer_cap_bytes(uint64_t mem_pressure_pages, uint64_t page_bytes)
{
	uint64_t share_pages = mem_pressure_pages / CAP_SHARE;

	if (!page_bytes || share_pages > INT_MAX / page_bytes)
		return INT_MAX;
	return share_pages * page_bytes;
}

int64_t tcp_buffer_next_bytes(int64_t limit_bytes, int64_t current_bytes, int64_t cap_bytes)
{
	int64_t next_bytes;

	if (limit_bytes < current_bytes || current_bytes >= cap_bytes)
		return 0;
	next_bytes = current_bytes > cap_bytes / 2 ? cap_bytes : 2 * current_bytes;
	return next_bytes > current_bytes ? next_bytes : 0;
}
