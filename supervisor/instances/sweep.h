/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The end of namespaces: who is still in them is asked after something has left, and now and then. */
#ifndef BPFTUNE_SUPERVISOR_INSTANCES_SWEEP_H
#define BPFTUNE_SUPERVISOR_INSTANCES_SWEEP_H

#include "supervisor/instances/instances.h"

#define SWEEP_AT_ONCE 256   /* namespaces; then the ring is emptied */
#define SWEEP_SLOW_MS 5000 /* for what no event announces */

/* `on_slow_sweep` is called with each slow sweep. */
void sweep_start(struct instances *instances, void (*on_slow_sweep)(struct instances *instances));
void sweep_stop(struct instances *instances);

/* Starts the slow sweep, which stops when there is nothing to wake up for. */
void sweep_slowly(struct instances *instances);

/* The instance ends: it is not looked at any more. */
void sweep_drop(struct instances *instances, struct instance *instance);

/* A BPFTUNE_NETNS_UNUSED event. */
void sweep_unused(struct instances *instances, const struct bpftune_event *event);

#endif
