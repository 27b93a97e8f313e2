// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/operator/log_budget.h"

#include <stdlib.h>
#include <string.h>

static void forget(struct log_owner **owners, struct log_owner *owner)
{
	HASH_DEL(*owners, owner);
	free(owner->name);
	free(owner);
}

static void forget_idle(struct log_owner **owners, uint64_t now_ms)
{
	struct log_owner *owner, *next;

	HASH_ITER (hh, *owners, owner, next)
		if (owner->spent_to_ms <= now_ms)
			forget(owners, owner);
}

/* NULL: no memory. */
static struct log_owner *get(struct log_owner **owners, const char *name, uint64_t now_ms)
{
	struct log_owner *owner;

	HASH_FIND_STR(*owners, name, owner);
	if (owner)
		return owner;
	if (HASH_COUNT(*owners) >= LOG_BUDGET_OWNERS)
		forget_idle(owners, now_ms);
	owner = calloc(1, sizeof(*owner));
	if (owner)
		owner->name = strdup(name);
	if (!owner || !owner->name) {
		free(owner);
		return NULL;
	}
	HASH_ADD_KEYPTR(hh, *owners, owner->name, strlen(owner->name), owner);
	return owner;
}

bool log_budget_allows(struct log_owner **owners, const char *name, uint64_t now_ms, unsigned int *ret_left_out)
{
	struct log_owner *owner = get(owners, name, now_ms);
	uint64_t from_ms;

	*ret_left_out = 0;
	if (!owner)
		return true;
	from_ms = owner->spent_to_ms > now_ms ? owner->spent_to_ms : now_ms;
	if (from_ms + LOG_BUDGET_MS > now_ms + LOG_BUDGET_BURST * LOG_BUDGET_MS) {
		owner->left_out++;
		return false;
	}
	owner->spent_to_ms = from_ms + LOG_BUDGET_MS;
	*ret_left_out = owner->left_out;
	owner->left_out = 0;
	return true;
}

void log_budget_free(struct log_owner **owners)
{
	struct log_owner *owner, *next;

	HASH_ITER (hh, *owners, owner, next)
		forget(owners, owner);
}
