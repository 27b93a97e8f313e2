/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control socket: RUN_DIR/control.sock, root only, interface io.bpftune over Varlink. */
#ifndef BPFTUNE_SUPERVISOR_OPERATOR_CONTROL_H
#define BPFTUNE_SUPERVISOR_OPERATOR_CONTROL_H

#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

struct connection;
struct log_record;
struct supervisor;

#define CONTROL_CONNECTIONS_MAX 256

struct control {
	uv_pipe_t listener;
	struct connection *connections;
	unsigned int n_connections;
};

/* Listens. 0 or -errno. */
int control_start(struct supervisor *s);
void control_stop(struct supervisor *s);

/* A new record, for those who follow. */
void control_tell(struct supervisor *s, const struct log_record *record);

/* An instance is gone: those who follow only it are done. */
void control_end_follow(struct supervisor *s, uint64_t instance);

#endif
