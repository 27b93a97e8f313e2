// SPDX-License-Identifier: GPL-2.0-or-later
#include "ipc/bucket.h"

/* When all would have come back if n were taken now; past the whole bucket there are not so many. */
static uint64_t after(const struct bucket *bucket, uint64_t n, uint64_t interval_ms, uint64_t now_ms)
{
	return (bucket->spent_to_ms > now_ms ? bucket->spent_to_ms : now_ms) + n * interval_ms;
}

bool bucket_has(const struct bucket *bucket, uint64_t interval_ms, uint64_t burst, uint64_t now_ms)
{
	return after(bucket, 1, interval_ms, now_ms) <= now_ms + burst * interval_ms;
}

bool bucket_take(struct bucket *bucket, uint64_t n, uint64_t interval_ms, uint64_t burst, uint64_t now_ms)
{
	uint64_t then = after(bucket, n, interval_ms, now_ms);

	if (then > now_ms + burst * interval_ms)
		return false;
	bucket->spent_to_ms = then;
	return true;
}

bool bucket_is_full(const struct bucket *bucket, uint64_t now_ms)
{
	return bucket->spent_to_ms <= now_ms;
}
