/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of this room share. */
#ifndef BPFTUNE_SUPERVISOR_CHANGES_STATE_H
#define BPFTUNE_SUPERVISOR_CHANGES_STATE_H

#include "supervisor/changes/changes.h"

/* The instance's, made if it has none. NULL: no memory. */
struct instance_state *instance_state_of(struct instance *instance);

/* A tuner's state there in the ledger, also while it is turned off, and why it is in that state; NULL: nothing to say. */
enum tuner_state changes_recorded_state(const struct changes *changes, const struct instance *instance, uint16_t tuner);
const char *changes_recorded_why(const struct changes *changes, const struct instance *instance, uint16_t tuner);

/* Sets a tuner's state there, with the reason (NULL: none), in the ledger and for the BPF programs. */
void changes_set_tuner_state(struct changes *changes, struct instance *instance, uint16_t tuner, enum tuner_state state,
			     const char *why);

void changes_log(struct changes *changes, const struct log_record *record);

#endif
