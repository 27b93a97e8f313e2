/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The arithmetic of ports: pure functions. */
#ifndef BPFTUNE_TUNERS_DECIDE_PORTS_H
#define BPFTUNE_TUNERS_DECIDE_PORTS_H

#include <stdbool.h>
#include <stdint.h>

#define PORTS_LOWEST 10240 /* below are the ports at which services listen */
#define PORTS_HIGHEST 65535

struct ports_range {
	int64_t low, high;
};

/* Sockets in TIME-WAIT hold half of the ports or more. */
bool ports_are_waiting(uint32_t time_waits, const struct ports_range *range);

/* Moves a wall to where the range would not grow over this port. One inside of the range says nothing. */
void ports_wall_at(struct ports_range *walls, const struct ports_range *range, uint16_t port);

/*
 * Four times as many ports, as far as the walls: above the range first, then below. False: there are hardly any more,
 * or what is given is no range.
 */
bool ports_widen(struct ports_range *range, const struct ports_range *walls);

/*
 * How many sockets in TIME-WAIT it takes to hold all that end, each for a minute, where `most` are held and so many did
 * not find room in that time.
 */
uint64_t ports_time_waits_needed(uint64_t most, uint64_t overflows, uint64_t elapsed_ns);

#endif
