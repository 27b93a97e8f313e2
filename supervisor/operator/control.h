/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The interface io.bpftune over Varlink, on two sockets: RUN_DIR/control.sock, root's only, and RUN_DIR/observe.sock, by which
 * the group bpftune reads.
 */
#ifndef BPFTUNE_SUPERVISOR_OPERATOR_CONTROL_H
#define BPFTUNE_SUPERVISOR_OPERATOR_CONTROL_H

#include "supervisor/operator/operator.h"

#define CONTROL_CONNECTIONS_MAX 256
#define CONTROL_OBSERVERS_MAX 64 /* they take no place of root's */

/* Listens. 0 or -errno. */
int control_start(struct operator *operator);
void control_stop(struct operator *operator);

/* A new record, for those who follow. */
void control_tell(struct operator *operator, const struct log_record *record);

/* An instance is to end: those who follow only it are done. */
void control_end(struct operator *operator, const struct instance *instance);

#endif
