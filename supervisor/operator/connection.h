/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A client of the control socket, or an observer: the calls that it makes, and what it is replied. */
#ifndef BPFTUNE_SUPERVISOR_OPERATOR_CONNECTION_H
#define BPFTUNE_SUPERVISOR_OPERATOR_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "ipc/varlink.h"
#include "supervisor/operator/operator.h"

struct connection {
	uv_pipe_t pipe;
	struct operator *operator;
	struct varlink_reader reader;
	bool is_observer; /* it came by observe.sock, and may only read */
	bool following, closing;
	bool is_stopped; /* not read from, until `calls` are handled */
	bool is_brief;	 /* what it is told of instances: status_instance_json() */
	json_t *calls;
	void (*call)(struct connection *connection, json_t *message);
	void (*go_on)(struct connection *connection); /* with an answer in pieces; NULL: there is none under way */
	const struct instance *listed_next;	      /* of such an answer; NULL: it has ended, and there is none after it */
	uint64_t follow_instance; /* 0: all */
	uint64_t limits_instance; /* it waits for what that instance's worker reads; 0: for none */
	uint64_t limits_due_ms;	  /* uv_now(): so long */
	unsigned int missed;
	bool holds;		 /* `replies`, to send them together */
	struct replies *replies; /* NULL: none */
	struct rollback *rollback; /* whose result it waits for */
	struct connection *prev, *next;
};

struct call {
	struct connection *connection;
	const char *method;
	json_t *parameters; /* an object, null, or NULL; borrowed */
	bool more, oneway;
};

/* One more of the control socket's, yet to be accepted; `call` handles its calls. NULL: no memory. */
struct connection *connection_new(struct operator *operator, void (*call)(struct connection *connection, json_t *message));

/* Reads the calls that it makes from now on, until it closes. */
void connection_read(struct connection *connection);

/* Handles the calls that have come, and goes on with what is answered in pieces. */
void connection_handle(struct connection *connection);

/* It is none of the control socket's any more; freed when the loop lets go of it. */
void connection_close(struct connection *connection);

/* Replies between the two are sent together. */
void connection_hold(struct connection *connection);
void connection_release(struct connection *connection);

/* Replies, unless the call wants none. `parameters` are given away. `continues`: more replies follow. */
void call_reply(const struct call *call, json_t *parameters, bool continues);

/* The same with an error. */
void call_fail(const struct call *call, const char *error, json_t *parameters);

#endif
