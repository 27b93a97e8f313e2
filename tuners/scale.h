/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BPFTUNE_TUNERS_SCALE_H
#define BPFTUNE_TUNERS_SCALE_H

#include <stdint.h>

/* rest * b / c for rest < c, where rest * b may not fit in 64 bits: division by hand, as not every target has __int128.
 */
static inline uint64_t scale_rest(uint64_t rest, uint64_t b, uint64_t c)
{
	uint64_t result = 0, left = 0;

	for (int bit = 63; bit >= 0; bit--) {
		uint64_t twice = 2 * left;

		result *= 2;
		if (left >> 63 || twice >= c) {
			twice -= c;
			result++;
		}
		left = twice;
		if (b >> bit & 1) {
			left += rest;
			if (left < rest || left >= c) {
				left -= c;
				result++;
			}
		}
	}
	return result;
}

/* a * b / c, at most INT64_MAX; 0 for c == 0. */
static inline uint64_t scale(uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t result;

	if (!c)
		return 0;
	if (!__builtin_mul_overflow(a, b, &result))
		result /= c;
	else if (__builtin_mul_overflow(a / c, b, &result) ||
		 __builtin_add_overflow(result, scale_rest(a % c, b, c), &result))
		result = INT64_MAX;
	return result > INT64_MAX ? INT64_MAX : result;
}

#endif
