// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/decide_idle.h"

#define WINDOWS_MAX 100
#define LOST_MIN 4 /* less may be chance */
#define SEGS_PER_LOST 100
#define WINDOWS_PER_LOSSY 10
#define HOLD_S 600
#define DOUBLINGS_MAX 7

void idle_add(struct idle_kept *kept, uint32_t segs, uint32_t lost)
{
	if (kept->windows >= WINDOWS_MAX)
		*kept = (struct idle_kept){ 0 };
	kept->windows++;
	kept->lossy += lost > 0;
	kept->segs += segs;
	kept->lost += lost;
}

bool idle_is_harmful(const struct idle_kept *kept)
{
	return kept->lost >= LOST_MIN && (SEGS_PER_LOST * kept->lost > kept->segs ||
					  UINT64_C(1) * WINDOWS_PER_LOSSY * kept->lossy > kept->windows);
}

unsigned int idle_hold_s(unsigned int n_before)
{
	return HOLD_S << (n_before < DOUBLINGS_MAX ? n_before : DOUBLINGS_MAX);
}
