// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/decide_tcp_mem.h"

#define EASED_FOR_NS (10 * 1000000000ULL)

uint64_t tcp_mem_cap(uint64_t available, uint64_t allocated)
{
	return available / 4 + allocated / 4;
}

/* part * more / whole, for part <= whole, without an overflow in between. */
static uint64_t share(uint64_t part, uint64_t more, uint64_t whole)
{
	unsigned int shift = 0;

	while (whole >> shift >> 31)
		shift++;
	return (part >> shift) * (more >> shift) / (whole >> shift) << shift;
}

bool tcp_mem_next(const int64_t current[3], uint64_t cap, int64_t ret_next[3])
{
	uint64_t high = current[2], more;

	if (current[0] <= 0 || current[1] < current[0] || current[2] < current[1])
		return false;
	if (cap > INT64_MAX)
		cap = INT64_MAX;
	if (cap <= high || cap - high < high / 8)
		return false;
	more = cap - high < high / 2 ? cap - high : high / 2;
	if (!more)
		return false;
	ret_next[0] = current[0] + share(current[0], more, high);
	ret_next[1] = current[1] + share(current[1], more, high);
	ret_next[2] = high + more;
	return true;
}

uint64_t tcp_mem_eased_below(const int64_t initial[3])
{
	return initial[1] > 0 ? initial[1] / 2 : 0;
}

bool tcp_mem_is_over(uint64_t eased_ns, uint64_t now_ns)
{
	return now_ns > eased_ns && now_ns - eased_ns >= EASED_FOR_NS;
}
