/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The budget of the host's tunables: who asked for how much more than there was at first. Whoever is in a container can
 * make its own packets drop, so evidence of trouble is no reason to trust it: what one container's trouble may raise is
 * at most its share of what all containers may have, and only as long as the container is there and in need.
 * Pure functions: no I/O, no clock, no allocation.
 */
#ifndef BPFTUNE_WORKER_BUDGET_H
#define BPFTUNE_WORKER_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#include "ipc/event.h"

#define BUDGET_CLAIMS_MAX 256
#define BUDGET_HOST 0	   /* the asker that is the host itself: it has no share */
#define BUDGET_KEPT_S 3600 /* after the last need */

struct budget_claim {
	struct bpftune_owner of; /* the tunable */
	uint64_t asker;		 /* the instance */
	uint64_t needed_ns;	 /* when it last said so */
	int64_t more;		 /* than the first value: the most that it has needed */
	uint64_t held_until_ns;	 /* it may claim nothing before that */
	uint32_t n_useless;	 /* claims that were of no use */
};

struct budget {
	uint32_t n;
	struct budget_claim claims[BUDGET_CLAIMS_MAX];
};

/* What is the same for all claims of a tunable. */
struct budget_rule {
	int64_t whole;	   /* what all askers together may have more than there was at first */
	uint32_t n_askers; /* how many instances may ask: each has an equal share */
	bool adds_up;	   /* each needs its own on top of the others'; else the largest claim is enough for all */
};

/*
 * The asker needs so much more, now. A smaller need than before renews the earlier claim, 0 does only that. Where there is no room, the
 * container's claim that was renewed least recently goes.
 */
void budget_claim(struct budget *budget, const struct bpftune_owner *of, uint64_t asker, int64_t more, uint64_t now_ns);

/*
 * What the asker has claimed was of no use: the claim ends, and the asker may claim nothing for 1 s, after the next
 * such claim for 2 s, ... 1 h. False: it has no claim.
 */
bool budget_refuse(struct budget *budget, const struct bpftune_owner *of, uint64_t asker, uint64_t now_ns);

/* The asker is no more: its claims go. False: it had none. */
bool budget_end(struct budget *budget, uint64_t asker);

/* Somebody else has set the tunable: what was needed on top of the value before says nothing of this one. */
void budget_forget(struct budget *budget, const struct bpftune_owner *of);

/* Claims that were not renewed for BUDGET_KEPT_S go. False: there is no such claim. */
bool budget_expire(struct budget *budget, uint64_t now_ns);

/* How much more than the first value the claims come to: of each asker its share at most, of all the whole at most. */
int64_t budget_granted(const struct budget *budget, const struct bpftune_owner *of, const struct budget_rule *rule);

#endif
