// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/operator/control.h"

#include <errno.h>
#include <grp.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utlist.h>

#include "ipc/observers.h"
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

/* --- the sockets -------------------------------------------------------------------------------- */

/* The socket's mode lets only its owner in; this holds if somebody loosens it. */
static bool is_allowed(const uv_pipe_t *pipe)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	uv_os_fd_t fd;

	return uv_fileno((const uv_handle_t *)pipe, &fd) == 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && (peer.uid == 0 || peer.uid == geteuid());
}

static bool has_place(const struct operator *operator, const struct connection *connection)
{
	return connection->is_observer ? operator->n_observers <= CONTROL_OBSERVERS_MAX :
					 operator->n_connections - operator->n_observers <= CONTROL_CONNECTIONS_MAX;
}

static void on_connection(uv_stream_t *listener, int status)
{
	struct operator *operator = listener->data;
	struct connection *connection = status < 0 ? NULL : connection_new(operator, method_call);

	if (!connection)
		return;
	connection->is_observer = listener == (uv_stream_t *)&operator->observers;
	operator->n_observers += connection->is_observer;
	if (uv_accept(listener, (uv_stream_t *)&connection->pipe) < 0 || !has_place(operator, connection)) {
		connection_close(connection);
	} else if (!connection->is_observer && !is_allowed(&connection->pipe)) {
		call_fail(&(struct call){ .connection = connection }, "io.bpftune.PermissionDenied", json_object());
		connection_close(connection);
	} else {
		connection_read(connection);
	}
}

static int listen_on(struct operator *operator, uv_pipe_t *listener, const char *name, mode_t mode)
{
	char path[4096];
	mode_t mask;
	int err;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", operator->run_dir, name) >= 108)
		return -ENAMETOOLONG; /* sizeof sun_path: unix(7) */
	unlink(path); /* the lock is ours: what is there is a dead supervisor's */
	uv_pipe_init(operator->loop, listener, 0);
	listener->data = operator;
	mask = umask(~mode & 0777);
	err = uv_pipe_bind(listener, path);
	umask(mask);
	return err ? err : uv_listen((uv_stream_t *)listener, BACKLOG, on_connection);
}

/*
 * The socket is made with its group and its mode, so that nobody else ever gets in, and CAP_CHOWN is not needed. A change of
 * group makes a process not dumpable (kernel/cred.c: commit_creds()). Without the group, the socket is root's.
 */
static int listen_to_observers(struct operator *operator)
{
	const struct group *group = getgrnam(OBSERVERS_GROUP);
	int was_dumpable = prctl(PR_GET_DUMPABLE), err;
	gid_t own = getegid();

	if (!group || setegid(group->gr_gid) < 0)
		return listen_on(operator, &operator->observers, OBSERVERS_SOCKET, 0600);
	err = listen_on(operator, &operator->observers, OBSERVERS_SOCKET, 0660);
	if (setegid(own) < 0)
		return -errno;
	prctl(PR_SET_DUMPABLE, was_dumpable == 1);
	return err;
}

int control_start(struct operator *operator)
{
	int err = listen_on(operator, &operator->listener, "control.sock", 0600);

	return err ? err : listen_to_observers(operator);
}

void operator_handle(struct operator *operator)
{
	struct connection *connection, *next;

	DL_FOREACH_SAFE(operator->connections, connection, next)
		connection_handle(connection);
}

static void stop_listening(uv_pipe_t *listener)
{
	if (listener->data)
		uv_close((uv_handle_t *)listener, NULL); /* unlinks the socket */
	listener->data = NULL;
}

void control_stop(struct operator *operator)
{
	struct connection *connection, *next;

	DL_FOREACH_SAFE(operator->connections, connection, next)
		connection_close(connection);
	stop_listening(&operator->listener);
	stop_listening(&operator->observers);
}
