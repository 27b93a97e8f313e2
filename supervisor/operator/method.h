/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The methods of io.bpftune, and those of org.varlink.service that tell of them. */
#ifndef BPFTUNE_SUPERVISOR_OPERATOR_METHOD_H
#define BPFTUNE_SUPERVISOR_OPERATOR_METHOD_H

#include <jansson.h>

struct connection;

/* Does what a message calls for, and replies. Closes the connection if it names no method. */
void method_call(struct connection *connection, json_t *message);

#endif
