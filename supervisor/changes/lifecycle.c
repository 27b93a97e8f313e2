// SPDX-License-Identifier: GPL-2.0-or-later
/* The room's start and end, and those of what it has of an instance. */
#include <stdlib.h>

#include "ipc/unshared.h"
#include "supervisor/changes/account.h"
#include "supervisor/changes/learnt.h"
#include "supervisor/changes/off.h"
#include "supervisor/changes/rollback.h"
#include "supervisor/changes/state.h"

#define PRUNE_MS 5000
#define PRUNE_ENTRIES 16384

/* --- start and end ------------------------------------------------------------------------------ */

int changes_open(struct changes *changes, const char *run_dir, void (*complain)(void *arg, const char *text), void *arg)
{
	return ledger_open(&changes->ledger, run_dir, complain, arg);
}

int changes_read_off(struct changes *changes, const char *run_dir, const char *state_dir, const char **ret_path)
{
	return off_rules_open(&changes->off, run_dir, state_dir, ret_path);
}

static bool lives(void *arg, uint64_t netns_cookie)
{
	const struct changes *changes = arg;

	return instance_by_cookie(changes->instances, netns_cookie) != NULL;
}

static void on_prune(uv_timer_t *timer)
{
	struct changes *changes = timer->data;

	/* Cookies are never used again: an old entry does no harm, and its namespace may be held by a descriptor only. */
	if (HASH_COUNT(changes->ledger.entries) > PRUNE_ENTRIES)
		ledger_prune(&changes->ledger, lives, changes);
}

int changes_start(struct changes *changes)
{
	int err = uv_timer_init(changes->loop, &changes->prune);

	changes->prune.data = changes;
	return err ? err : uv_timer_start(&changes->prune, on_prune, PRUNE_MS, 0);
}

void changes_stop(struct changes *changes)
{
	if (changes->prune.data)
		uv_close((uv_handle_t *)&changes->prune, NULL);
}

void changes_close(struct changes *changes)
{
	ledger_close(&changes->ledger);
	pool_close(&changes->learnt);
	off_rules_close(&changes->off);
}

/* --- instances ---------------------------------------------------------------------------------- */

void changes_begun(struct changes *changes, struct instance *instance)
{
	off_refresh(changes, instance);
}

void changes_tuners_changed(struct changes *changes, uint64_t removed)
{
	struct instance *instance;

	for (instance = changes->instances->by_id; instance; instance = instance->by_id.next) {
		learnt_forget(changes, instance, removed);
		instance->verdicts &= ~removed;
		off_refresh(changes, instance); /* one that was added may have been paused here before */
	}
}

void changes_ready(struct changes *changes, struct instance *instance)
{
	rollback_ready(changes, instance);
}

/* What it asked for goes back, unless others need it: worker/budget.h. */
static void end_asker(struct changes *changes, const struct instance *instance)
{
	struct instance *host = instance_host(changes->instances);
	uint64_t id = instance->view.id;

	if (instance->state && instance->state->has_asked && host)
		workers_order(changes->workers, host, BPFTUNE_ASKER_GONE, &id, sizeof(id));
}

void changes_end(struct changes *changes, struct instance *instance)
{
	if (!changes->stopping)
		end_asker(changes, instance);
	rollback_drop(changes, instance->view.id);
	if (!changes->stopping && !instance->view.shares_netns)
		ledger_gone(&changes->ledger, instance->view.netns_cookie);
	if (!changes->stopping)
		off_forget(changes, instance);
	learnt_take_back(changes, instance, UINT64_MAX);
}

void changes_free(struct changes *changes, struct instance *instance)
{
	if (!instance->state)
		return;
	learnt_free(changes, instance);
	account_uncount(changes, instance);
	unshared_free(instance->state->memory);
	unshared_free(instance->state->manual);
	unshared_free(instance->state);
	instance->state = NULL;
}
