/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the namespaces of one owner may add to the ledger, and to the maps of verdicts. Root of the host, who names namespaces by mounts, may add
 * anything.
 */
#ifndef BPFTUNE_SUPERVISOR_CHANGES_ACCOUNT_H
#define BPFTUNE_SUPERVISOR_CHANGES_ACCOUNT_H

#include "bpf/sizes.h"
#include "supervisor/changes/changes.h"

#define ACCOUNT_MEMORIES_MAX (LEDGER_MEMORIES_MAX / 16) /* bytes that are kept for workers' successors */
#define ACCOUNT_FILE_KIB 8192				/* of lines at once; */
#define ACCOUNT_FILE_MS 4				/* and one KiB more every so often */

#define ACCOUNT_VERDICTS_MAX (BPFTUNE_VERDICTS_MAX / 8) /* in the maps of all tuners */

/* Counts what the instance has of all that for its owner, and no longer for an earlier one. */
void account_count(struct changes *changes, struct instance *instance);

/* Counts it for nobody: the instance ends. */
void account_uncount(struct changes *changes, struct instance *instance);

/* Whether a memory may be kept; if not, the log says so once. */
bool account_has_room(struct changes *changes, struct instance *instance, const char *name, size_t bytes);

/* Whether the programs may be given one verdict more; if not, the log says so once. */
bool account_has_verdict_left(struct changes *changes, struct instance *instance);

/* The programs have been given a verdict, or lost it. */
void account_count_verdict(struct changes *changes, struct instance *instance, bool is_given);

/* Takes so much of what may be written to the ledger's file; false: too much was written of late. */
bool account_write(struct changes *changes, const struct instance *instance, size_t bytes);

/* That, for a change: it is refused if there is too much, which the log says once. */
bool account_change(struct changes *changes, const struct instance *instance);

#endif
