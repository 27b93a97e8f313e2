/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which tuners are turned off in an instance, by an administrator or its owner. */
#ifndef BPFTUNE_SUPERVISOR_CHANGES_OFF_H
#define BPFTUNE_SUPERVISOR_CHANGES_OFF_H

#include "supervisor/changes/changes.h"

/* What is turned off there may be other tuners than before: tells the programs and the workers. */
void off_refresh(struct changes *changes, struct instance *instance);

/* The instance is to end: what was turned off in it is forgotten. */
void off_forget(struct changes *changes, const struct instance *instance);

#endif
