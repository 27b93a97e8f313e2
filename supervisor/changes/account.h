/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the namespaces of one owner may add to the ledger. Root of the host, who names namespaces by mounts, may add
 * anything.
 */
#ifndef BPFTUNE_SUPERVISOR_CHANGES_ACCOUNT_H
#define BPFTUNE_SUPERVISOR_CHANGES_ACCOUNT_H

#include "supervisor/changes/changes.h"

#define ACCOUNT_MEMORIES_MAX (LEDGER_MEMORIES_MAX / 16) /* bytes that are kept for workers' successors */
#define ACCOUNT_FILE_KIB 8192				/* of lines at once; */
#define ACCOUNT_FILE_MS 4				/* and one KiB more every so often */

/* Counts what is kept of the instance's namespace for its owner, and no longer for an earlier one. */
void account_count(struct changes *changes, struct instance *instance);

/* Counts it for nobody: the instance ends. */
void account_uncount(struct changes *changes, struct instance *instance);

/* Whether a memory may be kept; if not, the log says so once. */
bool account_has_room(struct changes *changes, struct instance *instance, const char *name, size_t bytes);

/* Takes so much of what may be written to the ledger's file; false: too much was written of late. */
bool account_write(struct changes *changes, const struct instance *instance, size_t bytes);

/* That, for a change: it is refused if there is too much, which the log says once. */
bool account_change(struct changes *changes, const struct instance *instance);

#endif
