/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ledger's file: how its lines are written, checked, and made few again. Used by the ledger's own files only. */
#ifndef BPFTUNE_SUPERVISOR_CHANGES_LEDGER_FILE_H
#define BPFTUNE_SUPERVISOR_CHANGES_LEDGER_FILE_H

#include <jansson.h>

#include "supervisor/changes/ledger_table.h"

/* One line without its newline: the object of it, a new reference. -EBADMSG: checksum or JSON is wrong; -ENOMEM. */
int ledger_file_parse(const char *line, size_t n, json_t **ret_object);

/* Each appends one line. -errno of write(2); what could not be written was complained of. */
int ledger_file_entry(struct ledger *ledger, struct ledger_entry *entry);
int ledger_file_intent(struct ledger *ledger, const struct ledger_entry *entry);
int ledger_file_change(struct ledger *ledger, const struct ledger_entry *entry);
int ledger_file_state(struct ledger *ledger, const struct ledger_state *state);
int ledger_file_memory(struct ledger *ledger, uint64_t netns_cookie, const char *name,
		       const struct bpftune_memory *memory);
int ledger_file_gone(struct ledger *ledger, uint64_t netns_cookie);

/* The whole file anew, with what is known now. -errno. */
int ledger_file_rewrite(struct ledger *ledger);

int ledger_file_read_boot_id(char ret_boot_id[64]);

/* What could not be done to the file, to whoever listens. */
void ledger_file_complain(const struct ledger *ledger, const char *what, int error);

void ledger_file_close(struct ledger *ledger);

#endif
