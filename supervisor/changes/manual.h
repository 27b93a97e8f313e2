/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Administrator first: whoever else writes a tuner's tunable takes that tuner over, in that instance. */
#ifndef BPFTUNE_SUPERVISOR_CHANGES_MANUAL_H
#define BPFTUNE_SUPERVISOR_CHANGES_MANUAL_H

#include "supervisor/changes/changes.h"

/* A worker found another value than we left: written while nobody looked, or by netlink. */
void manual_found(struct changes *changes, struct instance *instance, const struct bpftune_owner *owner, const char *value);

#endif
