// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/decide_backlog.h"

#define FRAME_BYTES 2048
#define MEMORY_SHARE 64
#define MOST_FRAMES 16384 /* take 16 to 32 ms where each takes 1 or 2 us: everybody's frames wait in one queue */
#define SPARE_PERCENT 20
#define DROPPED_MIN 16	 /* fewer are chance */
#define LIMITED_ERROR 16 /* one in so many: the CPUs' counters are not read at one moment */

static uint64_t grown(uint64_t before, uint64_t now)
{
	return now > before ? now - before : 0; /* iowait may go back */
}

static unsigned int idle_percent(const struct softnet_cpu *before, const struct softnet_cpu *now)
{
	uint64_t all = grown(before->all, now->all), idle = grown(before->idle, now->idle);

	return idle < all ? 100 * idle / all : all ? 100 : 0;
}

static bool was_online(const struct softnet_cpu *before, const struct softnet_cpu *now)
{
	return before->all && now->all;
}

/* net/core/dev.c: skb_flow_limit() */
static uint64_t limited(const struct softnet_cpu *before, const struct softnet_cpu *now, size_t n)
{
	uint64_t frames = 0;

	for (size_t i = 0; i < n; i++)
		if (was_online(&before[i], &now[i]))
			frames += (uint32_t)(now[i].flow_limited - before[i].flow_limited);
	return frames;
}

/* How many of those that were dropped are known to have missed room. */
static uint64_t wanted_room(uint64_t of_flows, uint64_t dropped)
{
	uint64_t frames = grown(of_flows, dropped);

	return frames >= DROPPED_MIN && frames > of_flows / LIMITED_ERROR ? frames : 0;
}

struct backlog_view backlog_look(const struct softnet_cpu *before, const struct softnet_cpu *now, size_t n)
{
	uint64_t of_flows = limited(before, now, n), dropped_by_all = 0, came_to_all = 0;
	struct backlog_view view = { 0 };

	for (size_t i = 0; i < n; i++) {
		uint32_t dropped = now[i].dropped - before[i].dropped;
		uint64_t came = (uint64_t)dropped + (uint32_t)(now[i].processed - before[i].processed);
		unsigned int idle = idle_percent(&before[i], &now[i]);

		if (!dropped || !was_online(&before[i], &now[i]))
			continue;
		dropped_by_all += dropped;
		came_to_all += came;
		if (idle >= SPARE_PERCENT) {
			view.dropped += dropped;
			view.came += came;
		}
		if (dropped > view.worst_dropped) {
			view.worst = i;
			view.worst_dropped = dropped;
			view.worst_squeezed = (uint32_t)(now[i].squeezed - before[i].squeezed);
			view.worst_idle_percent = idle;
		}
	}
	view.has_spare = wanted_room(of_flows, view.dropped);
	view.dropped = wanted_room(of_flows, view.has_spare ? view.dropped : dropped_by_all);
	view.came = view.has_spare ? view.came : came_to_all;
	return view;
}

int64_t backlog_needed(int64_t current, uint32_t burst)
{
	int64_t more = (int64_t)burst + burst / 2, sum;

	if (more < current / 2)
		more = current / 2;
	return __builtin_add_overflow(current, more, &sum) ? INT64_MAX : sum;
}

int64_t backlog_whole(uint64_t memory_pages, uint64_t page_bytes, size_t n_cpus)
{
	uint64_t frames_a_page = page_bytes / FRAME_BYTES, frames;

	if (memory_pages == UINT64_MAX || !frames_a_page) /* sysconf(3) failed */
		return 0;
	frames = memory_pages / MEMORY_SHARE / (n_cpus ? n_cpus : 1);
	return frames < MOST_FRAMES / frames_a_page ? (int64_t)(frames * frames_a_page) : MOST_FRAMES;
}
