/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the hooks tell of namespaces and of where their tasks are, and when an instance is looked at for it. */
#ifndef BPFTUNE_SUPERVISOR_INSTANCES_WATCH_H
#define BPFTUNE_SUPERVISOR_INSTANCES_WATCH_H

#include "supervisor/instances/instances.h"

#define WATCH_YOUNG_MS 250 /* how long a namespace must live to be worth a worker */
#define WATCH_MOVED_MS 500 /* tasks that moved within it are looked at once */

void watch_start(struct instances *instances);
void watch_stop(struct instances *instances);

/* Looks whether the cgroups that are paired are still there: the event of one's end may have been lost. */
void watch_look_at_cgroups(struct instances *instances);

/* A task of the host's namespace is in that cgroup: maybe of a container that shares the namespace. */
void watch_host_task(struct instances *instances, const char *path);

/* The instance's namespace was mounted by a name after it had been looked at. */
void watch_mounted(struct instances *instances, struct instance *instance);

/* The instance goes: take it out of the queues. */
void watch_drop(struct instances *instances, struct instance *instance);

#endif
