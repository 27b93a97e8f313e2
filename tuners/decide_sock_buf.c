// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/decide_sock_buf.h"

#define CAP_SHARE 256
#define CAP_MAX_BYTES (256 * 1024 * 1024)
#define LIMITED_MAX_PERCENT 98 /* a few round trips, in jiffies, tell no better */

int64_t sock_buf_cap_bytes(uint64_t memory_pages, uint64_t page_bytes)
{
	uint64_t share_pages = memory_pages / CAP_SHARE;

	if (!page_bytes || share_pages > CAP_MAX_BYTES / page_bytes)
		return CAP_MAX_BYTES;
	return share_pages * page_bytes;
}

int64_t sock_buf_next_bytes(int64_t asked_bytes, int64_t current_bytes, int64_t cap_bytes)
{
	int64_t next_bytes = asked_bytes < cap_bytes ? asked_bytes : cap_bytes;

	return next_bytes > current_bytes ? next_bytes : 0;
}

uint64_t sock_buf_needed_bytes(uint64_t size_bytes, uint32_t limited_percent)
{
	return size_bytes * 100 / (100 - (limited_percent < LIMITED_MAX_PERCENT ? limited_percent : LIMITED_MAX_PERCENT));
}
