// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/decide_ports.h"

#define TIMES 4
#define WORTH 8				   /* an eighth more ports is worth a change */
#define TIME_WAIT_NS UINT64_C(60000000000) /* include/net/tcp.h: TCP_TIMEWAIT_LEN */

bool ports_are_waiting(uint32_t time_waits, const struct ports_range *range)
{
	return 2 * (int64_t)time_waits > range->high - range->low;
}

void ports_wall_at(struct ports_range *walls, const struct ports_range *range, uint16_t port)
{
	if (port < range->low && port >= walls->low)
		walls->low = port + 1;
	if (port > range->high && port <= walls->high)
		walls->high = port - 1;
}

static int64_t at_most(int64_t wish, int64_t most)
{
	return most < 0 ? 0 : wish < most ? wish : most;
}

bool ports_widen(struct ports_range *range, const struct ports_range *walls)
{
	int64_t ports = range->high - range->low + 1, above, below;

	if (range->low < 1 || ports < 1 || range->high > PORTS_HIGHEST)
		return false;
	above = at_most((TIMES - 1) * ports, walls->high - range->high);
	below = at_most((TIMES - 1) * ports - above, range->low - walls->low);
	/* net/ipv4/sysctl_net_ipv4.c: ipv4_local_port_range() asks for an odd and an even end. */
	if (below && (range->low - below) % 2 == (range->high + above) % 2)
		below--;
	if (above + below == 0 || above + below < ports / WORTH)
		return false;
	range->low -= below;
	range->high += above;
	return true;
}

uint64_t ports_time_waits_needed(uint64_t most, uint64_t overflows, uint64_t elapsed_ns)
{
	return most + (uint64_t)((double)overflows * TIME_WAIT_NS / (elapsed_ns ? elapsed_ns : 1));
}
