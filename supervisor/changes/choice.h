/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an operator calls a namespace while no supervisor runs: as the ledger knows it. */
#ifndef BPFTUNE_SUPERVISOR_CHANGES_CHOICE_H
#define BPFTUNE_SUPERVISOR_CHANGES_CHOICE_H

#include "supervisor/changes/ledger_table.h"
#include "supervisor/kernel/kernel.h"

/* Whether the namespace is one of those that are so called. */
typedef bool choice(const struct ledger_netns *netns, const char *container);

/*
 * How to tell those that `container` is the name, the container id or its beginning of; NULL: all. At most one of them
 * exists. 0; -ENOENT: none; -ENOTUNIQ.
 */
int choice_of(const struct ledger *ledger, const struct surveyed_netns *survey, const char *container,
	      choice **ret_choice);

#endif
