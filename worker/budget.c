// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker/budget.h"

#include <stddef.h>

#define SECOND_NS UINT64_C(1000000000)
#define KEPT_NS (BUDGET_KEPT_S * SECOND_NS)
#define DOUBLINGS_MAX 12 /* of a hold: 4096 s is past KEPT_NS */

static bool is_of(const struct budget_claim *claim, const struct bpftune_owner *of)
{
	return claim->of.tuner == of->tuner && claim->of.tunable == of->tunable;
}

/* NULL: it has none. */
static struct budget_claim *claim_of(struct budget *budget, const struct bpftune_owner *of, uint64_t asker)
{
	for (uint32_t i = 0; i < budget->n; i++)
		if (is_of(&budget->claims[i], of) && budget->claims[i].asker == asker)
			return &budget->claims[i];
	return NULL;
}

/*
 * The asker's claim; or room for it: the next free place, or that of the one that was renewed least recently.
 * Containers, of which there may be many, take no place of the host's own.
 */
static struct budget_claim *place_of(struct budget *budget, const struct bpftune_owner *of, uint64_t asker)
{
	struct budget_claim *oldest = &budget->claims[0], *claim = claim_of(budget, of, asker);

	if (claim)
		return claim;
	for (uint32_t i = 0; i < budget->n; i++) {
		claim = &budget->claims[i];
		if (oldest->asker == BUDGET_HOST ||
		    (claim->asker != BUDGET_HOST && claim->needed_ns < oldest->needed_ns))
			oldest = claim;
	}
	if (budget->n < BUDGET_CLAIMS_MAX)
		oldest = &budget->claims[budget->n++];
	*oldest = (struct budget_claim){ .of = *of, .asker = asker };
	return oldest;
}

void budget_claim(struct budget *budget, const struct bpftune_owner *of, uint64_t asker, int64_t more, uint64_t now_ns)
{
	struct budget_claim *claim;

	if (more < 0)
		return;
	claim = more ? place_of(budget, of, asker) : claim_of(budget, of, asker);
	if (!claim || now_ns < claim->held_until_ns)
		return;
	claim->needed_ns = now_ns;
	claim->more = more > claim->more ? more : claim->more;
}

bool budget_refuse(struct budget *budget, const struct bpftune_owner *of, uint64_t asker, uint64_t now_ns)
{
	struct budget_claim *claim = claim_of(budget, of, asker);
	uint64_t hold_ns;

	if (!claim || !claim->more)
		return false;
	hold_ns = SECOND_NS << claim->n_useless;
	claim->more = 0;
	claim->needed_ns = now_ns;
	claim->held_until_ns = now_ns + (hold_ns < KEPT_NS ? hold_ns : KEPT_NS);
	claim->n_useless += claim->n_useless < DOUBLINGS_MAX;
	return true;
}

bool budget_end(struct budget *budget, uint64_t asker)
{
	uint32_t kept = 0, n = budget->n;

	for (uint32_t i = 0; i < n; i++)
		if (budget->claims[i].asker != asker)
			budget->claims[kept++] = budget->claims[i];
	budget->n = kept;
	return kept < n;
}

void budget_forget(struct budget *budget, const struct bpftune_owner *of)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < budget->n; i++)
		if (!is_of(&budget->claims[i], of))
			budget->claims[kept++] = budget->claims[i];
	budget->n = kept;
}

bool budget_expire(struct budget *budget, uint64_t now_ns)
{
	uint32_t kept = 0, n = budget->n;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t needed_ns = budget->claims[i].needed_ns;

		if (now_ns < needed_ns || now_ns - needed_ns < KEPT_NS)
			budget->claims[kept++] = budget->claims[i];
	}
	budget->n = kept;
	return kept < n;
}

int64_t budget_granted(const struct budget *budget, const struct bpftune_owner *of, const struct budget_rule *rule)
{
	int64_t share = rule->whole / (rule->n_askers ? rule->n_askers : 1), granted = 0;

	for (uint32_t i = 0; i < budget->n; i++) {
		const struct budget_claim *claim = &budget->claims[i];
		int64_t most = claim->asker == BUDGET_HOST ? rule->whole : share;
		int64_t more = claim->more < most ? claim->more : most;

		if (!is_of(claim, of))
			continue;
		if (rule->adds_up)
			granted = more < rule->whole - granted ? granted + more : rule->whole;
		else if (more > granted)
			granted = more;
	}
	return granted > 0 ? granted : 0;
}
