/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an instance's tuners have learnt, for `status`, and decided, for their BPF programs. */
#ifndef BPFTUNE_SUPERVISOR_CHANGES_LEARNT_H
#define BPFTUNE_SUPERVISOR_CHANGES_LEARNT_H

#include <stdbool.h>
#include <uthash.h>

#include "supervisor/changes/changes.h"

#define LEARNT_MAX 64 /* a tuner, in an instance */

struct learnt_key {
	uint16_t tuner;
	char about[BPFTUNE_VALUE_BYTES]; /* zeros to its end */
};

struct learnt {
	struct learnt_key key;
	char text[BPFTUNE_TEXT_BYTES];
	bool decided; /* there is a verdict */
	bool is_held; /* and it is where the tuner's programs find it */
	struct bpftune_verdict verdict;
	UT_hash_handle hh; /* in order: the least recently told first */
};

/*
 * Keeps it, in place of what was told about the same. Past LEARNT_MAX the oldest without a verdict that holds goes, or
 * else the oldest. A verdict (or NULL) goes to the tuner's programs, but in a dry run. True: it is another one than
 * before, and the text says so.
 */
bool learnt_put(struct changes *changes, struct instance *instance, const struct learnt_key *key, const char *text,
		const struct bpftune_verdict *verdict);

/* Nothing is known of it any more; its verdict goes. */
void learnt_drop(struct changes *changes, struct instance *instance, const struct learnt_key *key);

/* These tuners' (bit n: of number n) programs find nothing any more that was decided in this instance; and find it
 * again. */
void learnt_take_back(struct changes *changes, struct instance *instance, uint64_t tuners);
void learnt_tell_again(struct changes *changes, struct instance *instance, uint64_t tuners);

/* All that these tuners (bit n: of number n) have told and decided. */
void learnt_forget(struct changes *changes, struct instance *instance, uint64_t tuners);

void learnt_free(struct changes *changes, const struct instance *instance);

#endif
