// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/changes/account.h"

#include <syslog.h>

#include "supervisor/changes/state.h"

#define CHANGE_BYTES 2048 /* an intent's line, the entry's and the change's */

static const char *name_of(const struct owner *owner)
{
	return *owner->name ? owner->name : "no container";
}

static void charge(struct changes *changes, struct instance_state *state, struct owner *owner, size_t bytes)
{
	struct owner *before = state->charged;

	if (before) {
		before->memories_bytes -= state->charged_bytes;
		before->n_verdicts -= state->n_verdicts;
		if (before->memories_bytes <= ACCOUNT_MEMORIES_MAX / 2)
			before->said_memories = false;
		if (before->n_verdicts <= ACCOUNT_VERDICTS_MAX / 2)
			before->said_verdicts = false;
	}
	if (owner) {
		owner->memories_bytes += bytes;
		owner->n_verdicts += state->n_verdicts;
	}
	state->charged = owner;
	state->charged_bytes = bytes;
	owner_put(changes->instances, before);
}

void account_count(struct changes *changes, struct instance *instance)
{
	size_t bytes =
		instance->view.shares_netns ? 0 : ledger_memories_bytes(&changes->ledger, instance->view.netns_cookie);
	struct instance_state *state = bytes ? instance_state_of(instance) : instance->state;

	if (state && (bytes || state->n_verdicts || state->charged))
		charge(changes, state, owner_get(changes->instances, instance), bytes);
}

void account_uncount(struct changes *changes, struct instance *instance)
{
	if (instance->state)
		charge(changes, instance->state, NULL, 0);
}

/* --- memories ----------------------------------------------------------------------------------- */

bool account_has_room(struct changes *changes, struct instance *instance, const char *name, size_t bytes)
{
	const struct ledger_memory *old = ledger_get_memory(&changes->ledger, instance->view.netns_cookie, name);
	struct owner *owner = owner_get(changes->instances, instance);
	bool has_room = !owner || owner_is_root(owner) ||
			owner->memories_bytes - (old ? old->size : 0) + bytes <= ACCOUNT_MEMORIES_MAX;

	if (!has_room && !owner->said_memories) {
		instance_log(
			changes->instances, instance, LOG_WARNING,
			"what tuners know is not kept any more for the next workers: namespaces of %s have %zu KiB, the most for one owner",
			name_of(owner), owner->memories_bytes / 1024);
		owner->said_memories = true;
	}
	owner_put(changes->instances, owner);
	return has_room;
}

/* --- verdicts ----------------------------------------------------------------------------------- */

bool account_has_verdict_left(struct changes *changes, struct instance *instance)
{
	struct owner *owner = owner_get(changes->instances, instance);
	bool is_left = !owner || owner_is_root(owner) || owner->n_verdicts < ACCOUNT_VERDICTS_MAX;

	if (!is_left && !owner->said_verdicts) {
		instance_log(changes->instances, instance, LOG_WARNING,
			     "a decision has no effect: %u of namespaces of %s have, the most for one owner",
			     owner->n_verdicts, name_of(owner));
		owner->said_verdicts = true;
	}
	owner_put(changes->instances, owner);
	return is_left;
}

void account_count_verdict(struct changes *changes, struct instance *instance, bool is_given)
{
	instance->state->n_verdicts += is_given ? 1 : -1;
	if (instance->state->charged)
		instance->state->charged->n_verdicts += is_given ? 1 : -1;
	else
		account_count(changes, instance);
}

/* --- the file ----------------------------------------------------------------------------------- */

/* NULL: it may be written. Else whose it is; held. */
static struct owner *refuse(struct changes *changes, const struct instance *instance, size_t bytes)
{
	struct owner *owner = owner_get(changes->instances, instance);

	if (owner && (owner_is_root(owner) || bucket_take(&owner->filed, 1 + bytes / 1024, ACCOUNT_FILE_MS,
							  ACCOUNT_FILE_KIB, uv_now(changes->loop)))) {
		owner->said_filed = false;
		owner_put(changes->instances, owner);
		return NULL;
	}
	return owner;
}

bool account_write(struct changes *changes, const struct instance *instance, size_t bytes)
{
	struct owner *owner = refuse(changes, instance, bytes);

	owner_put(changes->instances, owner);
	return !owner;
}

bool account_change(struct changes *changes, const struct instance *instance)
{
	struct owner *owner = refuse(changes, instance, CHANGE_BYTES);

	if (!owner)
		return true;
	if (!owner->said_filed)
		instance_log(changes->instances, instance, LOG_WARNING,
			     "a change was refused: namespaces of %s have put too much into the ledger of late",
			     name_of(owner));
	owner->said_filed = true;
	owner_put(changes->instances, owner);
	return false;
}
