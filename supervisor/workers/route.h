/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Events to the worker of the instance they are about; reports from it to ledger and log. */
#ifndef BPFTUNE_SUPERVISOR_WORKERS_ROUTE_H
#define BPFTUNE_SUPERVISOR_WORKERS_ROUTE_H

#include <stdbool.h>

#include "ipc/event.h"
#include "ipc/report.h"

struct instance;
struct supervisor;

/* One event of the ring buffer. What names no instance, tuner or scenario is counted and goes nowhere. True: a tuner waits for it. */
bool route_event(struct supervisor *s, const struct bpftune_event *event);

/* One report of the instance's worker. */
void route_report(struct supervisor *s, struct instance *instance, const struct bpftune_report *report);

#endif
