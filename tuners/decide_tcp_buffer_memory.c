// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/decide_tcp_buffer_memory.h"

#include <limits.h>

#define TCP_SHARE 8	       /* one buffer's part of tcp_mem[1] */
#define CONTAINER_SHARE 4      /* and of memory.max */
#define SMALL_BYTES (16 << 20) /* a quarter of it is what Linux allows at boot: net/ipv4/tcp.c: tcp_init() */
#define LATELY_US 600000000ULL
#define PERIOD_GAP_US 3000000 /* it is told of twice a second while there is traffic */

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* a * b / c without overflow: all that it is used for ends up compared with an int. */
static uint64_t scale(uint64_t a, uint64_t b, uint64_t c)
{
	unsigned __int128 result = c ? (unsigned __int128)a * b / c : 0;

	return result > INT64_MAX ? INT64_MAX : (uint64_t)result;
}

static uint64_t bytes_of(uint64_t pages, uint64_t page_bytes)
{
	return min_u64(scale(pages, page_bytes, 1), INT_MAX);
}

int64_t tcp_buffer_cap_bytes(const struct tcp_buffer_memory *memory)
{
	return min_u64(bytes_of(memory->pressure_pages / TCP_SHARE, memory->page_bytes),
		       bytes_of(memory->container_pages / CONTAINER_SHARE, memory->page_bytes));
}

int64_t tcp_buffer_share_bytes(int64_t first_bytes, int64_t cap_bytes, uint32_t n_askers)
{
	return cap_bytes > first_bytes ? first_bytes + (cap_bytes - first_bytes) / (n_askers ? n_askers : 1)
				       : cap_bytes;
}

uint64_t tcp_buffer_smallest_pages(struct tcp_buffer_smallest *smallest, uint64_t container_pages, uint64_t now_us)
{
	if (!smallest->seen_us || container_pages <= smallest->pages || now_us - smallest->seen_us > LATELY_US)
		*smallest = (struct tcp_buffer_smallest){ .pages = container_pages, .seen_us = now_us };
	return smallest->pages;
}

uint64_t tcp_buffer_reckoned_pages(const struct tcp_buffer_smallest *smallest, uint64_t page_bytes)
{
	return smallest->seen_us ? smallest->pages : SMALL_BYTES / page_bytes;
}

static uint64_t used_percent(const struct tcp_buffer_memory *memory)
{
	return scale(memory->allocated_pages, 100, memory->pressure_pages);
}

bool tcp_buffer_memory_is_short(const struct tcp_buffer_memory *memory)
{
	return used_percent(memory) >= 75;
}

int64_t tcp_buffer_give_back_bytes(const struct tcp_buffer_memory *memory, uint64_t held_pages, int64_t default_bytes,
				   int64_t current_bytes)
{
	static const struct {
		unsigned int share, used_percent; /* one part in so many */
	} rows[] = { { 4, 80 }, { 8, 85 }, { 16, 90 }, { 32, 95 }, { 64, 100 } };
	uint64_t used = used_percent(memory);

	if (!held_pages || default_bytes <= 0 || current_bytes <= default_bytes)
		return 0;
	for (unsigned int i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (held_pages >= memory->allocated_pages / rows[i].share && used >= rows[i].used_percent)
			return max_u64(current_bytes / 2, default_bytes);
	return 0;
}

uint64_t tcp_buffer_period_us(struct tcp_buffer_period *period, uint64_t now_us)
{
	if (!period->since_us || now_us < period->since_us || now_us > period->told_us + PERIOD_GAP_US)
		period->since_us = now_us;
	period->told_us = now_us;
	return now_us - period->since_us;
}
