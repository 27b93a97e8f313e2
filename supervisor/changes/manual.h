/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Administrator first: whoever else writes a tuner's tunable takes that tuner over, in that instance. */
#ifndef BPFTUNE_SUPERVISOR_CHANGES_MANUAL_H
#define BPFTUNE_SUPERVISOR_CHANGES_MANUAL_H

#include "ipc/event.h"

struct instance;
struct supervisor;

/* Somebody wrote a sysctl just now: a BPFTUNE_SYSCTL_WRITTEN event. */
void manual_written(struct supervisor *s, const struct bpftune_event *event);

/* A worker found another value than we left: written while nobody looked, or by netlink. */
void manual_found(struct supervisor *s, struct instance *instance, const struct bpftune_owner *owner, const char *value);

/*
 * `bpftune resume`: the tuner (or all, NULL) is active again there, and the values found now are the new
 * initial ones where it was manual. The number of tuners that were not active, or -ENOENT: no such tuner.
 */
int manual_resume(struct supervisor *s, struct instance *instance, const char *tuner);

#endif
