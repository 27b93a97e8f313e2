/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The arithmetic of neigh: numbers in, numbers out. */
#ifndef BPFTUNE_TUNERS_DECIDE_NEIGH_H
#define BPFTUNE_TUNERS_DECIDE_NEIGH_H

#include <stdbool.h>
#include <stdint.h>

#include "tuners/neigh.h"

enum neigh_verdict {
	NEIGH_WAIT,	 /* too little is known of the new neighbours */
	NEIGH_RAISE,	 /* most of the new neighbours have answered */
	NEIGH_OF_NO_USE, /* most had the time to answer, and have not: nobody has those addresses */
};

/* Does the namespace fill the table with neighbours that exist? */
enum neigh_verdict neigh_judge(const struct neigh_counts *now, const struct neigh_counts *past);

/* New neighbours and refused ones in a second. */
uint64_t neigh_per_second(const struct neigh_counts *now, uint32_t now_ms);

/* By how much gc_thresh3 has to be above the first value to become four times as large; 0: no sensible value. */
int64_t neigh_more(int64_t first, int64_t current);

/* By how many entries all containers together may have a table raised: a 64th of the memory, and 131,072. */
int64_t neigh_whole(int64_t memory_pages, int64_t page_bytes);

/* gc_thresh2 past which nothing is gained: each new neighbour of a full table would look for one that can go. */
int64_t neigh_thresh2_max(int64_t thresh3);

/*
 * gc_thresh1 and gc_thresh2 for a gc_thresh3, of which all three first values are known: in proportion. Where
 * neighbours are collected that are of use, as high as makes sense.
 */
void neigh_in_proportion(const int64_t first[3], int64_t thresh3, bool is_churned, int64_t ret_thresh[2]);

#endif
