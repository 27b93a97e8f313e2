// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/decide_pmtu.h"

#define SECOND_NS UINT64_C(1000000000)
#define WAIT_NS \
	(20 * SECOND_NS) /* the kernel begins to probe after 6.5 s on a short path, after 13 s on one of 0.3 s */
#define HOLD_NS (600 * SECOND_NS)
#define DOUBLINGS_MAX 7

bool pmtu_is_black_hole(const struct pmtu_counts *counts)
{
	return counts->stuck && (counts->answering || (counts->stuck > 1 && counts->moving));
}

enum pmtu_verdict pmtu_judge(const struct pmtu_outcome *outcome)
{
	if (outcome->rescued)
		return PMTU_HELPED;
	return outcome->stuck && outcome->since_ns < WAIT_NS ? PMTU_WAIT : PMTU_USELESS;
}

uint64_t pmtu_hold_ns(unsigned int n_before)
{
	return HOLD_NS << (n_before < DOUBLINGS_MAX ? n_before : DOUBLINGS_MAX);
}
