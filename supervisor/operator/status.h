/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `bpftune status` and `bpftune tuners` as JSON: new references; NULL: no memory. */
#ifndef BPFTUNE_SUPERVISOR_OPERATOR_STATUS_H
#define BPFTUNE_SUPERVISOR_OPERATOR_STATUS_H

#include "supervisor/operator/operator.h"

/* All but the instances. */
json_t *status_json(const struct operator *operator);

json_t *status_tuners_json(const struct operator *operator);

/* `brief`: without the tuners that are active with nothing to say, and the tunables that nobody has changed. */
json_t *status_instance_json(const struct operator *operator, const struct instance *instance, bool brief);

#endif
