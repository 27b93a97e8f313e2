/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One sentence for a machine on which a table of all instances would show nothing. */
#ifndef BPFTUNE_SUPERVISOR_CLI_QUIET_H
#define BPFTUNE_SUPERVISOR_CLI_QUIET_H

#include <jansson.h>
#include <stdbool.h>

/*
 * Nothing was changed and no decision is in effect; every tuner is active in every instance, every program is attached,
 * no event was lost. `status` is GetStatus's answer.
 */
bool is_quiet(json_t *status, json_t *instances);

/* How many containers there are, and how often a tuner has met a limit; where to look for more. */
void print_quiet(json_t *status, json_t *instances);

#endif
