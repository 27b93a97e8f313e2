/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an operator sees and asks for: the log streams, the control socket and its methods, the service manager. */
#ifndef BPFTUNE_SUPERVISOR_OPERATOR_OPERATOR_H
#define BPFTUNE_SUPERVISOR_OPERATOR_OPERATOR_H

#include <stdbool.h>
#include <uv.h>

#include "ipc/pool.h"
#include "supervisor/changes/changes.h"
#include "supervisor/operator/claim.h"
#include "supervisor/operator/log_budget.h"
#include "supervisor/operator/notify.h"
#include "supervisor/operator/stream.h"

struct connection;
struct limits_of;

struct operator {
	uv_loop_t *loop;
	struct kernel *kernel;
	struct instances *instances;
	struct workers *workers;
	struct changes *changes;
	const char *run_dir;
	bool dry_run, stopping;
	uint64_t started_ms;	  /* uv_now() */
	uint64_t events_received; /* from the ring buffer */

	/* Of this room only. */
	struct streams streams;
	struct notify notify;
	uv_timer_t notify_due; /* the service manager's watchdog, or READY=1 that it had no room for */
	bool said_ready;
	uv_pipe_t listener, observers; /* of control.sock, and of observe.sock */
	struct connection *connections;
	unsigned int n_connections, n_observers; /* observers are connections, too */
	struct limits_of *limits; /* what was last read of the instances that were asked about */
	struct pool limits_pool;
	uv_timer_t limits_due; /* the first of the clients who wait for that */
};

void operator_start(struct operator *operator);
/* Closes its handles: the loop is to run once more. */
void operator_stop(struct operator *operator);
void operator_close(struct operator *operator);

/* Listens on RUN_DIR/control.sock and observe.sock, and tells the service manager that we are ready. 0 or -errno. */
int operator_listen(struct operator *operator);

/* To the service manager. */
void operator_say_stopping(struct operator *operator);

/* A record for its instance's stream, for who follows it, and for the sink; or none, if its owner has had too many. */
void operator_log(struct operator *operator, const struct log_record *record);

/* Handles the calls that were there when the loop last looked. */
void operator_handle(struct operator *operator);

/* A worker's report of the limits that its namespace has met. */
void operator_limits_met(struct operator *operator, const struct instance *instance, const struct bpftune_report *report);

/* The instance is to end: its stream is kept for a while; who follows only it is done. */
void operator_end(struct operator *operator, const struct instance *instance);

#endif
