// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/decide_sock_buf.h"

#define MIB (1024 * 1024)
#define CAP_BYTES (4 * MIB)
#define CAP_LARGE_BYTES (16 * MIB)
#define LARGE_MEMORY_BYTES (UINT64_C(64) * 1024 * MIB)
#define WHOLE_SHARE 1024
#define LIMITED_MAX_PERCENT 98 /* a few round trips, in jiffies, tell no better */

int64_t sock_buf_cap_bytes(uint64_t memory_pages, uint64_t page_bytes)
{
	if (!page_bytes || memory_pages == UINT64_MAX) /* sysconf(3) failed */
		return CAP_BYTES;
	return memory_pages > LARGE_MEMORY_BYTES / page_bytes ? CAP_LARGE_BYTES : CAP_BYTES;
}

int64_t sock_buf_whole_bytes(uint64_t memory_pages, uint64_t page_bytes)
{
	uint64_t share_pages = memory_pages / WHOLE_SHARE;

	if (!page_bytes || memory_pages == UINT64_MAX)
		return CAP_BYTES;
	return share_pages > INT64_MAX / page_bytes ? INT64_MAX : (int64_t)(share_pages * page_bytes);
}

int64_t sock_buf_wanted_bytes(uint64_t asked_bytes, uint64_t size_bytes, uint64_t needed_bytes)
{
	if (size_bytes / 2 >= asked_bytes)
		return 0;
	return asked_bytes < needed_bytes / 2 ? asked_bytes : needed_bytes / 2;
}

uint64_t sock_buf_needed_bytes(uint64_t size_bytes, uint32_t limited_percent)
{
	return size_bytes * 100 /
	       (100 - (limited_percent < LIMITED_MAX_PERCENT ? limited_percent : LIMITED_MAX_PERCENT));
}
