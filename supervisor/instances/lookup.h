/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a container's runtime has on record of it (on_record.h) is looked up by a short-lived child, for many containers
 * at once. The child that reads a user's files is that user; the other one is root without capabilities. Until there is
 * an answer, or there is to be none, instance->is_unread is set, and the room asks for no worker.
 */
#ifndef BPFTUNE_SUPERVISOR_INSTANCES_LOOKUP_H
#define BPFTUNE_SUPERVISOR_INSTANCES_LOOKUP_H

#include "supervisor/instances/instances.h"

/*
 * After so many ticks the child is killed: the file system of a record may hang. A machine that stands still makes one
 * tick late, however long that takes.
 */
#define LOOKUP_TICKS 5
#define LOOKUP_TICK_MS 1000
#define LOOKUP_PACE_MS 50 /* from one child's start to the next: whoever makes many containers makes few children */

void lookup_start(struct instances *instances);
void lookup_stop(struct instances *instances);

/* Looks the instance up soon, if it is_unread and is not asked for already. */
void lookup_ask(struct instances *instances, struct instance *instance);

/* No answer is wanted any more. */
void lookup_drop(struct instance *instance);

/* Whether the child was one that has looked something up. */
bool lookup_child_ended(struct instances *instances, pid_t pid);

#endif
