/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `bpftune status` as JSON. */
#ifndef BPFTUNE_SUPERVISOR_OPERATOR_STATUS_H
#define BPFTUNE_SUPERVISOR_OPERATOR_STATUS_H

#include <jansson.h>

struct instance;
struct supervisor;

/* Everything, or only that instance of `instances`. A new reference; NULL: no memory. */
json_t *status_json(const struct supervisor *s, const struct instance *only);

#endif
