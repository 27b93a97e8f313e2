// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/changes/state.h"

#include <stdlib.h>

#include "ipc/unshared.h"

struct instance_state *instance_state_of(struct instance *instance)
{
	if (!instance->state)
		instance->state = unshared_alloc(sizeof(*instance->state));
	return instance->state;
}

static const struct ledger_state *state_of(const struct changes *changes, const struct instance *instance, uint16_t tuner)
{
	return ledger_get_state(&changes->ledger, instance->view.netns_cookie, changes->kernel->plugins.tuners[tuner]->name);
}

enum tuner_state changes_recorded_state(const struct changes *changes, const struct instance *instance, uint16_t tuner)
{
	const struct ledger_state *state = state_of(changes, instance, tuner);

	return state ? state->state : TUNER_ACTIVE;
}

enum tuner_state changes_tuner_state(const struct changes *changes, const struct instance *instance, uint16_t tuner)
{
	if (plugins_is_removed(&changes->kernel->plugins, tuner) || instance->switched_off >> tuner & 1)
		return TUNER_OFF;
	return changes_recorded_state(changes, instance, tuner);
}

const char *changes_recorded_why(const struct changes *changes, const struct instance *instance, uint16_t tuner)
{
	const struct ledger_state *state = state_of(changes, instance, tuner);

	return state && state->why[0] ? state->why : NULL;
}

void changes_set_tuner_state(struct changes *changes, struct instance *instance, uint16_t tuner, enum tuner_state state,
			     const char *why)
{
	uint64_t cookie = instance->view.netns_cookie, bit = 1ULL << tuner;

	ledger_set_state(&changes->ledger, cookie, changes->kernel->plugins.tuners[tuner]->name, state, why);
	if (state == TUNER_MANUAL)
		bpf_take(&changes->kernel->host, cookie, tuner);
	else
		bpf_untake(&changes->kernel->host, cookie, tuner);
	instance->tuners_off = changes_tuner_state(changes, instance, tuner) == TUNER_ACTIVE ? instance->tuners_off & ~bit :
											      instance->tuners_off | bit;
	instance_set_gate(changes->instances, instance);
}

void changes_log(struct changes *changes, const struct log_record *record)
{
	changes->instances->listener.log(changes->instances->arg, record);
}
