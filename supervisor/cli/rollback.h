/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The result of a rollback, as it is printed. */
#ifndef BPFTUNE_SUPERVISOR_CLI_ROLLBACK_H
#define BPFTUNE_SUPERVISOR_CLI_ROLLBACK_H

#include <stddef.h>

#include "supervisor/cli/ask.h"

/* A take_reply; `arg` is a size_t, which gets the number of values that were left. */
void print_rollback(const struct question *question, json_t *result, void *arg);

#endif
