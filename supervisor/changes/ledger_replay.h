/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ledger's file read back. */
#ifndef BPFTUNE_SUPERVISOR_CHANGES_LEDGER_REPLAY_H
#define BPFTUNE_SUPERVISOR_CHANGES_LEDGER_REPLAY_H

#include "supervisor/changes/ledger_table.h"

/*
 * Takes the text of a ledger file into an empty ledger. 0; -EBADMSG: damaged; -EPROTONOSUPPORT: another
 * version; -ESTALE: another boot. After an error the ledger is empty again.
 */
int ledger_replay(struct ledger *ledger, const char *text, size_t size, const char *boot_id);

#endif
