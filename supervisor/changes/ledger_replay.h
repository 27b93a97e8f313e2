/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ledger's file read back. */
#ifndef BPFTUNE_SUPERVISOR_CHANGES_LEDGER_REPLAY_H
#define BPFTUNE_SUPERVISOR_CHANGES_LEDGER_REPLAY_H

#include "supervisor/changes/ledger_table.h"

/*
 * Takes the text of a ledger file into an empty ledger. 0; -EBADMSG: some lines are damaged, and what the others say is
 * taken, unless the first one is, which tells the boot. -EPROTONOSUPPORT: another version; -ESTALE: another boot;
 * -ENOMEM: then the ledger is empty again.
 */
int ledger_replay(struct ledger *ledger, const char *text, size_t size, const char *boot_id);

#endif
