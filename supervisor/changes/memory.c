// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/changes/memory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/unshared.h"
#include "supervisor/changes/account.h"
#include "supervisor/changes/state.h"

#define MEMORY_INTERVAL_MS 1000 /* of an instance; */
#define MEMORY_BURST 32		/* so many may come at once */

struct memory_parts {
	uint16_t tuner;
	uint32_t kind, version, size, have;
	uint8_t data[];
};

static void name_of(const struct changes *changes, uint16_t tuner, enum bpftune_memory_kind kind,
		    char ret_name[LEDGER_NAME_BYTES])
{
	snprintf(ret_name, LEDGER_NAME_BYTES, "%s%s", changes->kernel->plugins.tuners[tuner]->name,
		 kind == BPFTUNE_MEMORY_OF_TRIALS ? "/trials" : "");
}

static int begin(struct instance_state *state, uint16_t tuner, const struct bpftune_memory_part *part)
{
	struct memory_parts *parts = unshared_alloc(sizeof(*parts) + part->size);

	unshared_free(state->memory);
	state->memory = parts;
	if (!parts)
		return -ENOMEM;
	parts->tuner = tuner;
	parts->kind = part->kind;
	parts->version = part->version;
	parts->size = part->size;
	return 0;
}

static bool follows(const struct memory_parts *parts, uint16_t tuner, const struct bpftune_memory_part *part)
{
	return parts && parts->tuner == tuner && parts->kind == part->kind && parts->version == part->version &&
	       parts->size == part->size && parts->have == part->offset;
}

/*
 * Into the file, too, unless the worker has memories kept without end: then they survive the worker, but the supervisor
 * only by chance.
 */
static bool may_be_filed(struct changes *changes, struct instance *instance, uint32_t bytes)
{
	return bucket_take(&instance->state->memories, 1, MEMORY_INTERVAL_MS, MEMORY_BURST, uv_now(changes->loop)) &&
	       account_write(changes, instance, 2 * (size_t)bytes); /* two digits each */
}

/* Where its owner has too much, there is none any more: an old one may be wrong by now. */
static int keep(struct changes *changes, struct instance *instance, struct memory_parts *parts)
{
	struct bpftune_memory memory = { parts->version, parts->size, parts->data };
	char name[LEDGER_NAME_BYTES];
	int err;

	name_of(changes, parts->tuner, parts->kind, name);
	if (!account_has_room(changes, instance, name, memory.size))
		memory.size = 0;
	if (may_be_filed(changes, instance, memory.size))
		err = ledger_remember(&changes->ledger, instance->view.netns_cookie, name, &memory);
	else
		err = ledger_memory_put(&changes->ledger, instance->view.netns_cookie, name, &memory);
	account_count(changes, instance);
	return err;
}

int memory_take_part(struct changes *changes, struct instance *instance, const struct bpftune_report *report)
{
	struct instance_state *state = instance_state_of(instance);
	struct bpftune_memory_part part;
	uint32_t n;
	int err;

	memcpy(&part, report->text, sizeof(part));
	if (report->tuner >= changes->kernel->plugins.n || part.kind >= N_BPFTUNE_MEMORY_KINDS ||
	    part.size > BPFTUNE_MEMORY_BYTES_MAX || part.offset > part.size || instance->view.shares_netns)
		return -EINVAL;
	if (!state)
		return -ENOMEM;
	if (!part.offset) { /* what was not complete never will be */
		err = begin(state, report->tuner, &part);
		if (err)
			return err;
	}
	if (!follows(state->memory, report->tuner, &part))
		return -EINVAL;
	n = part.size - part.offset < sizeof(part.data) ? part.size - part.offset : sizeof(part.data);
	memcpy(state->memory->data + part.offset, part.data, n);
	state->memory->have += n;
	if (state->memory->have < part.size)
		return 0;
	err = keep(changes, instance, state->memory);
	unshared_free(state->memory);
	state->memory = NULL;
	return err;
}

struct bpftune_memory changes_remembered(const struct changes *changes, const struct bpftune *view, uint16_t tuner,
					 enum bpftune_memory_kind kind)
{
	const struct ledger_memory *memory;
	char name[LEDGER_NAME_BYTES];

	if (view->shares_netns || tuner >= changes->kernel->plugins.n)
		return (struct bpftune_memory){ 0 };
	name_of(changes, tuner, kind, name);
	memory = ledger_get_memory(&changes->ledger, view->netns_cookie, name);
	return memory ? (struct bpftune_memory){ memory->version, memory->size, (void *)memory->data }
		      : (struct bpftune_memory){ 0 };
}
