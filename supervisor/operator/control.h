/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control socket: RUN_DIR/control.sock, root only, interface io.bpftune over Varlink. */
#ifndef BPFTUNE_SUPERVISOR_OPERATOR_CONTROL_H
#define BPFTUNE_SUPERVISOR_OPERATOR_CONTROL_H

#include "supervisor/operator/operator.h"

#define CONTROL_CONNECTIONS_MAX 256

/* Listens. 0 or -errno. */
int control_start(struct operator *operator);
void control_stop(struct operator *operator);

/* A new record, for those who follow. */
void control_tell(struct operator *operator, const struct log_record *record);

/* An instance is to end: those who follow only it are done. */
void control_end(struct operator *operator, const struct instance *instance);

#endif
