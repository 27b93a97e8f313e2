// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/operator/control.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utlist.h>

#include "supervisor/operator/connection.h"
#include "supervisor/operator/method.h"

#define BACKLOG 64
#define FOLLOW_BYTES_MAX (256 * 1024) /* what one slow follower may make us keep */

/* --- followers ---------------------------------------------------------------------------------- */

static bool follows(const struct connection *connection, const struct log_record *record)
{
	return connection->following &&
	       (connection->follow_instance ? connection->follow_instance == record->instance : !record->is_copy);
}

void control_tell(struct operator *operator, const struct log_record *record)
{
	struct connection *connection, *next;

	DL_FOREACH_SAFE(operator->connections, connection, next) {
		struct call call = { .connection = connection };

		if (!follows(connection, record))
			continue;
		if (uv_stream_get_write_queue_size((uv_stream_t *)&connection->pipe) > FOLLOW_BYTES_MAX) {
			connection->missed++;
			continue;
		}
		call_reply(&call, json_pack("{s:[o] s:i}", "records", log_json(record), "missed",
					    (int)connection->missed), true);
		connection->missed = 0;
	}
}

void control_end(struct operator *operator, const struct instance *instance)
{
	struct connection *connection, *next;

	DL_FOREACH_SAFE(operator->connections, connection, next) {
		struct call call = { .connection = connection };

		if (connection->listed_next == instance)
			connection->listed_next = instance->by_id.next;
		if (!connection->following || connection->follow_instance != instance->view.id)
			continue;
		connection->following = false;
		call_reply(&call, json_pack("{s:[] s:i}", "records", "missed", (int)connection->missed), false);
	}
}

/* --- the socket --------------------------------------------------------------------------------- */

/* The socket's mode lets only its owner in; this holds if somebody loosens it. */
static bool is_allowed(const uv_pipe_t *pipe)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	uv_os_fd_t fd;

	return uv_fileno((const uv_handle_t *)pipe, &fd) == 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && (peer.uid == 0 || peer.uid == geteuid());
}

static void on_connection(uv_stream_t *listener, int status)
{
	struct operator *operator = listener->data;
	struct connection *connection = status < 0 ? NULL : connection_new(operator, method_call);

	if (!connection)
		return;
	if (uv_accept(listener, (uv_stream_t *)&connection->pipe) < 0 ||
	    operator->n_connections > CONTROL_CONNECTIONS_MAX) {
		connection_close(connection);
	} else if (!is_allowed(&connection->pipe)) {
		call_fail(&(struct call){ .connection = connection }, "io.bpftune.PermissionDenied", json_object());
		connection_close(connection);
	} else {
		connection_read(connection);
	}
}

int control_start(struct operator *operator)
{
	char path[4096];
	mode_t mask;
	int err;

	if ((size_t)snprintf(path, sizeof(path), "%s/control.sock", operator->run_dir) >= 108)
		return -ENAMETOOLONG; /* sizeof sun_path: unix(7) */
	unlink(path); /* the lock is ours: what is there is a dead supervisor's */
	uv_pipe_init(operator->loop, &operator->listener, 0);
	operator->listener.data = operator;
	mask = umask(0177);
	err = uv_pipe_bind(&operator->listener, path);
	umask(mask);
	return err ? err : uv_listen((uv_stream_t *)&operator->listener, BACKLOG, on_connection);
}

void operator_handle(struct operator *operator)
{
	struct connection *connection, *next;

	DL_FOREACH_SAFE(operator->connections, connection, next)
		connection_handle(connection);
}

void control_stop(struct operator *operator)
{
	struct connection *connection, *next;

	DL_FOREACH_SAFE(operator->connections, connection, next)
		connection_close(connection);
	if (operator->listener.data)
		uv_close((uv_handle_t *)&operator->listener, NULL); /* unlinks the socket */
	operator->listener.data = NULL;
}
