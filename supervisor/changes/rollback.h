/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `bpftune rollback`: every initial value put back, last change first, by the workers. */
#ifndef BPFTUNE_SUPERVISOR_CHANGES_ROLLBACK_H
#define BPFTUNE_SUPERVISOR_CHANGES_ROLLBACK_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "ipc/report.h"

struct instance;
struct rollback;
struct supervisor;

#define ROLLBACK_DEADLINE_MS 5000

/*
 * Called once, when all is done or the deadline has come. `result` is borrowed: { "restored": [...], "left":
 * [...] }, each { instance, container, tunable, from, to, why } with why null or the reason it was left.
 */
typedef void rollback_done(void *arg, json_t *result);

/*
 * Rolls back one instance, or all (NULL). `pause`: the tuners stay paused until `resume`. NULL: nothing is
 * under way any more, `done` has been called.
 */
struct rollback *rollback_start(struct supervisor *s, struct instance *only, bool pause, rollback_done *done, void *arg);

/* What a rollback would do: [{ instance, container, tunable, from, to, command, why }], a new reference. */
json_t *rollback_plan(struct supervisor *s, const struct instance *only);

/* An outcome that a worker reports: maybe one that a rollback waits for. */
void rollback_outcome(struct supervisor *s, struct instance *instance, const struct bpftune_report *report);

/* A worker is ready, maybe in place of one that died with a value to put back. */
void rollback_ready(struct supervisor *s, struct instance *instance);

/* Nobody waits for the result any more; the values are put back all the same. */
void rollback_detach(struct rollback *rollback);

/* The instance is gone. */
void rollback_drop(struct supervisor *s, uint64_t instance);

#endif
