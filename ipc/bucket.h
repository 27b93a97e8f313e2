/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A rate: so many at once (`burst`), and one more every `interval_ms`. Numbers in, numbers out; the clock is an
 * argument. */
#ifndef BPFTUNE_IPC_BUCKET_H
#define BPFTUNE_IPC_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

/* All zeros: nothing is spent. */
struct bucket {
	uint64_t spent_to_ms; /* then all has come back */
};

/* Whether there is one. */
bool bucket_has(const struct bucket *bucket, uint64_t interval_ms, uint64_t burst, uint64_t now_ms);

/* Takes n, or none if there are fewer: then it returns false. */
bool bucket_take(struct bucket *bucket, uint64_t n, uint64_t interval_ms, uint64_t burst, uint64_t now_ms);

/* Nothing is spent any more: the bucket is as good as a new one. */
bool bucket_is_full(const struct bucket *bucket, uint64_t now_ms);

#endif
