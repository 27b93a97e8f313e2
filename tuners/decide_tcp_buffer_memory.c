// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/decide_tcp_buffer_memory.h"

#include <limits.h>

#include "tuners/scale.h"

#define TCP_SHARE 8	       /* one buffer's part of tcp_mem[1] */
#define CONTAINER_SHARE 4      /* and of memory.max, which all large buffers have together: */
#define LARGE_SHARE 64	       /* one part in so many of that is large, */
#define WATCHED_SHARE 32       /* and twice as much is told of */
#define SMALL_BYTES (16 << 20) /* a quarter of it is what Linux allows at boot: net/ipv4/tcp.c: tcp_init() */
#define LATELY_US 600000000ULL
#define BOOT_SHARE 128	      /* of the machine's memory: the most that Linux lets one buffer have at boot */
#define GROWTH_SHARE 100      /* of tcp_mem[1]: less is no growth */
#define WORST_PERCENT 120     /* of tcp_mem[1]; the default of tcp_mem[2] is 150 */
#define PERIOD_GAP_US 3000000 /* it is told of twice a second while there is traffic */

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t bytes_of(uint64_t pages, uint64_t page_bytes)
{
	return min_u64(scale(pages, page_bytes, 1), INT_MAX);
}

/* UINT64_MAX: there is no limit. */
static uint64_t containers_bytes(const struct tcp_buffer_memory *memory)
{
	return memory->container_pages == UINT64_MAX
		       ? UINT64_MAX
		       : scale(memory->container_pages / CONTAINER_SHARE, memory->page_bytes, 1);
}

int64_t tcp_buffer_cap_bytes(const struct tcp_buffer_memory *memory)
{
	uint64_t all_bytes = containers_bytes(memory), flow_bytes = INT_MAX;

	if (all_bytes <= memory->taken_bytes)
		flow_bytes = 0;
	else if (all_bytes != UINT64_MAX)
		flow_bytes = (all_bytes - memory->taken_bytes) / (memory->n_flows ? memory->n_flows : 1);
	return min_u64(bytes_of(memory->pressure_pages / TCP_SHARE, memory->page_bytes), min_u64(flow_bytes, INT_MAX));
}

void tcp_buffer_crowd_add(struct tcp_buffer_crowd *crowd, const struct tcp_buffer_memory *memory, int64_t limit_bytes,
			  int64_t to_bytes, uint64_t size_bytes)
{
	if (size_bytes < min_u64(limit_bytes / 4 * 3, containers_bytes(memory) / LARGE_SHARE))
		return;
	crowd->bytes += size_bytes;
	if (size_bytes > (uint64_t)to_bytes)
		crowd->beyond_bytes += size_bytes;
	else
		crowd->n++;
}

uint32_t tcp_buffer_watched_bytes(const struct tcp_buffer_memory *memory, int64_t limit_bytes, int64_t first_bytes)
{
	uint64_t watched_bytes = containers_bytes(memory) / WATCHED_SHARE;

	return limit_bytes > first_bytes && watched_bytes < (uint64_t)limit_bytes ? watched_bytes : 0;
}

int64_t tcp_buffer_fit_bytes(int64_t limit_bytes, int64_t cap_bytes, int64_t first_bytes)
{
	while (limit_bytes > cap_bytes && limit_bytes > first_bytes)
		limit_bytes = limit_bytes / 2 > first_bytes ? limit_bytes / 2 : first_bytes;
	return limit_bytes;
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

bool tcp_buffer_memory_is_worst(const struct tcp_buffer_memory *memory)
{
	return used_percent(memory) >= WORST_PERCENT;
}

int64_t tcp_buffer_floor_bytes(int64_t boot_bytes, uint64_t machine_bytes, int64_t first_bytes, int64_t default_bytes)
{
	int64_t most = machine_bytes / BOOT_SHARE, floor_bytes = boot_bytes < most ? boot_bytes : most;

	if (first_bytes < floor_bytes)
		floor_bytes = first_bytes;
	return floor_bytes > default_bytes ? floor_bytes : default_bytes;
}

int64_t tcp_buffer_lower_bytes(int64_t current_bytes, int64_t floor_bytes)
{
	if (current_bytes <= floor_bytes)
		return 0;
	return current_bytes / 2 > floor_bytes ? current_bytes / 2 : floor_bytes;
}

static uint64_t grown(uint64_t from, uint64_t to)
{
	return to > from ? to - from : 0;
}

/* How much of the growth since the shortage began calls for a step: one part in so many. 0: none does. */
static unsigned int share_of_growth(const struct tcp_buffer_memory *memory)
{
	static const struct {
		unsigned int share, used_percent;
	} rows[] = { { 64, 100 }, { 32, 95 }, { 16, 90 }, { 8, 85 }, { 4, 80 } };
	uint64_t used = used_percent(memory);

	for (unsigned int i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (used >= rows[i].used_percent)
			return rows[i].share;
	return 0;
}

static void count_from(struct tcp_buffer_shortage *shortage, const struct tcp_buffer_memory *memory,
		       uint64_t held_pages)
{
	shortage->held_pages = held_pages;
	shortage->allocated_pages = memory->allocated_pages;
	shortage->has_begun = true;
}

enum tcp_buffer_relief tcp_buffer_relieve(struct tcp_buffer_shortage *shortage, const struct tcp_buffer_memory *memory,
					  uint64_t held_pages)
{
	uint64_t here = grown(shortage->held_pages, held_pages);
	uint64_t all = grown(shortage->allocated_pages, memory->allocated_pages);
	bool has_grown = here && here >= memory->pressure_pages / GROWTH_SHARE;
	unsigned int share = share_of_growth(memory);

	if (!shortage->has_begun) {
		count_from(shortage, memory, held_pages);
		return TCP_BUFFER_RELIEF_NONE;
	}
	if (shortage->is_judging) {
		shortage->is_judging = false;
		shortage->is_of_no_use = has_grown;
		count_from(shortage, memory, held_pages);
		return has_grown ? TCP_BUFFER_RELIEF_UNDO : TCP_BUFFER_RELIEF_KEEP;
	}
	if (shortage->is_of_no_use || !has_grown || !share || here < all / share)
		return TCP_BUFFER_RELIEF_NONE;
	count_from(shortage, memory, held_pages);
	shortage->is_judging = true;
	return TCP_BUFFER_RELIEF_STEP;
}

uint64_t tcp_buffer_period_us(struct tcp_buffer_period *period, uint64_t now_us)
{
	if (!period->since_us || now_us < period->since_us || now_us > period->told_us + PERIOD_GAP_US)
		period->since_us = now_us;
	period->told_us = now_us;
	return now_us - period->since_us;
}
