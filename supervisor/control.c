// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/control.h"

#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <utlist.h>

#include "config.h"
#include "ipc/cleanup.h"
#include "ipc/varlink.h"
#include "supervisor/io.bpftune.varlink.h"
#include "supervisor/manual.h"
#include "supervisor/pair.h"
#include "supervisor/rollback.h"
#include "supervisor/status.h"
#include "supervisor/supervisor.h"

#define BACKLOG 64
#define LOG_LINES 100
#define FOLLOW_BYTES_MAX (256 * 1024)  /* what one slow follower may make us keep */
#define SHED_BYTES (64 * 1024)         /* an answer that leaves some behind */
#define ANSWER_BYTES_MAX (256 * 1024)  /* past it, a client that calls and does not read is not read either */

struct connection {
	uv_pipe_t pipe;
	struct supervisor *s;
	struct varlink_reader reader;
	bool following, closing, paused;
	json_t *calls; /* of what was read before it was paused */
	uint64_t follow_instance; /* 0: all */
	unsigned int missed;
	struct rollback *rollback; /* whose result it waits for */
	struct connection *prev, *next;
};

struct call {
	struct connection *connection;
	const char *method;
	json_t *parameters; /* an object; borrowed */
	bool more, oneway;
};

/* --- replies ------------------------------------------------------------------------------------ */

struct reply {
	uv_write_t write;
	char *text;
	size_t size;
};

/*
 * A worker shares our pages until we write to them: then the old ones are its own. What a large answer leaves
 * free in the heap would be so with each worker that is forked before the next.
 */
static void shed_free_pages(size_t answered_bytes)
{
#ifdef __GLIBC__
	if (answered_bytes >= SHED_BYTES)
		malloc_trim(0);
#else
	(void)answered_bytes;
#endif
}

static void on_closed(uv_handle_t *handle)
{
	struct connection *connection = handle->data;

	json_decref(connection->calls);
	varlink_reader_clear(&connection->reader);
	free(connection);
}

static void connection_close(struct connection *connection)
{
	struct control *control = &connection->s->control;

	if (connection->closing)
		return;
	connection->closing = true;
	if (connection->rollback)
		rollback_detach(connection->rollback);
	DL_DELETE(control->connections, connection);
	control->n_connections--;
	uv_close((uv_handle_t *)&connection->pipe, on_closed);
}

static void go_on(struct connection *connection);

static void on_written(uv_write_t *write, int status)
{
	struct reply *reply = container_of(write, struct reply, write);
	struct connection *connection = write->handle->data;

	(void)status; /* a client that left is noticed by its end of file */
	free(reply->text);
	shed_free_pages(reply->size);
	free(reply);
	if (connection->paused && !connection->closing)
		go_on(connection);
}

static void send_message(struct connection *connection, json_t *message)
{
	struct reply *reply = calloc(1, sizeof(*reply));
	uv_buf_t buf;

	if (!reply) {
		json_decref(message);
		return;
	}
	reply->text = varlink_encode(message, &reply->size);
	if (reply->text) {
		buf = uv_buf_init(reply->text, reply->size);
		if (!uv_write(&reply->write, (uv_stream_t *)&connection->pipe, &buf, 1, on_written))
			return;
	}
	free(reply->text);
	free(reply);
	connection_close(connection);
}

static void send_reply(const struct call *call, json_t *parameters, bool continues)
{
	if (call->oneway)
		json_decref(parameters);
	else if (continues)
		send_message(call->connection, json_pack("{s:o s:b}", "parameters", parameters, "continues", true));
	else
		send_message(call->connection, json_pack("{s:o}", "parameters", parameters));
}

static void send_error(const struct call *call, const char *error, json_t *parameters)
{
	if (call->oneway)
		json_decref(parameters);
	else
		send_message(call->connection, json_pack("{s:s s:o}", "error", error, "parameters", parameters));
}

/* --- methods ------------------------------------------------------------------------------------ */

static void get_info(const struct call *call)
{
	send_reply(call, json_pack("{s:s s:s s:s s:s s:[s s]}", "vendor", "bpftune", "product", "bpftune", "version",
				   PACKAGE_VERSION, "url", PACKAGE_URL, "interfaces", "org.varlink.service",
				   "io.bpftune"), false);
}

static void get_interface(const struct call *call)
{
	static const char service[] =
		"interface org.varlink.service\n"
		"method GetInfo() -> (vendor: string, product: string, version: string, url: string, interfaces: []string)\n"
		"method GetInterfaceDescription(interface: string) -> (description: string)\n"
		"error InterfaceNotFound (interface: string)\n"
		"error MethodNotFound (method: string)\n"
		"error MethodNotImplemented (method: string)\n"
		"error InvalidParameter (parameter: string)\n";
	const char *interface = json_string_value(json_object_get(call->parameters, "interface"));

	if (!interface)
		send_error(call, "org.varlink.service.InvalidParameter", json_pack("{s:s}", "parameter", "interface"));
	else if (!strcmp(interface, "io.bpftune"))
		send_reply(call, json_pack("{s:s}", "description", io_bpftune_varlink), false);
	else if (!strcmp(interface, "org.varlink.service"))
		send_reply(call, json_pack("{s:s}", "description", service), false);
	else
		send_error(call, "org.varlink.service.InterfaceNotFound", json_pack("{s:s}", "interface", interface));
}

/* The `container` parameter: its instance's id, 0 when absent. False: an error was sent. */
static bool container_of_call(const struct call *call, bool ended_too, uint64_t *ret_id)
{
	const struct supervisor *s = call->connection->s;
	json_t *parameter = json_object_get(call->parameters, "container");
	const char *container = json_string_value(parameter);
	const struct instance *instance;

	*ret_id = 0;
	if (!parameter || json_is_null(parameter))
		return true;
	if (!container) {
		send_error(call, "org.varlink.service.InvalidParameter", json_pack("{s:s}", "parameter", "container"));
		return false;
	}
	instance = instance_find(&s->registry, container);
	if (instance && instance->pub.id == INSTANCE_HOST && !strncmp(container, "pid:", 4)) {
		const struct instance *sharer = pair_sharer_of(s, atoi(container + 4));

		if (sharer && !instance_is_claim(sharer))
			instance = sharer;
	}
	if (instance)
		*ret_id = instance->pub.id;
	else if (errno == ENOENT && ended_too)
		*ret_id = streams_find_ended(&s->streams, container);
	if (!*ret_id)
		send_error(call, errno == ENOTUNIQ ? "io.bpftune.AmbiguousContainer" :
				 errno == EACCES ? "io.bpftune.PermissionDenied" : "io.bpftune.NoSuchContainer",
			   json_pack("{s:s}", "container", container));
	return *ret_id != 0;
}

static void get_status(const struct call *call)
{
	const struct supervisor *s = call->connection->s;
	uint64_t id;

	if (container_of_call(call, false, &id))
		send_reply(call, status_json(s, id ? instance_by_id(&s->registry, id) : NULL), false);
}

static void append_record(void *arg, const struct log_record *record)
{
	json_array_append_new(arg, log_json(record));
}

static void get_log(const struct call *call)
{
	struct connection *connection = call->connection;
	struct supervisor *s = connection->s;
	json_t *lines = json_object_get(call->parameters, "lines"), *records;
	json_int_t n = json_is_integer(lines) ? json_integer_value(lines) : LOG_LINES;
	uint64_t id;

	if ((lines && !json_is_integer(lines) && !json_is_null(lines)) || n < 0) {
		send_error(call, "org.varlink.service.InvalidParameter", json_pack("{s:s}", "parameter", "lines"));
		return;
	}
	if (!container_of_call(call, true, &id))
		return;
	records = json_array();
	streams_read(&s->streams, id, n, append_record, records);
	connection->follow_instance = id;
	connection->following = call->more && !(id && !instance_by_id(&s->registry, id));
	send_reply(call, json_pack("{s:o s:i}", "records", records, "missed", 0), connection->following);
}

static void on_rolled_back(void *arg, json_t *result)
{
	struct connection *connection = arg;
	struct call call = { .connection = connection };

	if (!connection)
		return; /* it left */
	connection->rollback = NULL;
	if (result)
		send_reply(&call, json_incref(result), false);
	else
		connection_close(connection);
}

static void roll_back(const struct call *call)
{
	struct connection *connection = call->connection;
	struct supervisor *s = connection->s;
	struct instance *only;
	uint64_t id;

	if (!container_of_call(call, false, &id))
		return;
	only = id ? instance_by_id(&s->registry, id) : NULL;
	if (json_is_true(json_object_get(call->parameters, "dry_run")) || s->options.dry_run)
		send_reply(call, json_pack("{s:[] s:[] s:o}", "restored", "left", "plan", rollback_plan(s, only)), false);
	else if (connection->rollback || s->stopping)
		send_error(call, "io.bpftune.Busy", json_object());
	else if (call->oneway)
		rollback_start(s, only, true, on_rolled_back, NULL);
	else
		connection->rollback = rollback_start(s, only, true, on_rolled_back, connection);
}

static void resume(const struct call *call)
{
	struct supervisor *s = call->connection->s;
	const char *tuner = json_string_value(json_object_get(call->parameters, "tuner"));
	uint64_t id;
	int n;

	if (!json_is_string(json_object_get(call->parameters, "container"))) {
		send_error(call, "org.varlink.service.InvalidParameter", json_pack("{s:s}", "parameter", "container"));
		return;
	}
	if (!container_of_call(call, false, &id))
		return;
	n = manual_resume(s, instance_by_id(&s->registry, id), tuner);
	if (n < 0)
		send_error(call, "io.bpftune.NoSuchTuner", json_pack("{s:s}", "tuner", tuner));
	else
		send_reply(call, json_pack("{s:i}", "resumed", n), false);
}

static const struct {
	const char *name;
	void (*handle)(const struct call *call);
} methods[] = {
	{ "org.varlink.service.GetInfo", get_info },
	{ "org.varlink.service.GetInterfaceDescription", get_interface },
	{ "io.bpftune.GetStatus", get_status },
	{ "io.bpftune.GetLog", get_log },
	{ "io.bpftune.Rollback", roll_back },
	{ "io.bpftune.Resume", resume },
};

static void send_not_found(const struct call *call)
{
	const char *dot = strrchr(call->method, '.');
	size_t n = dot ? dot - call->method : 0;

	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		if (n && !strncmp(methods[i].name, call->method, n + 1)) {
			send_error(call, "org.varlink.service.MethodNotFound", json_pack("{s:s}", "method", call->method));
			return;
		}
	send_error(call, "org.varlink.service.InterfaceNotFound",
		   json_pack("{s:s%}", "interface", call->method, n));
}

static void handle_call(struct connection *connection, json_t *message)
{
	struct call call = {
		.connection = connection,
		.method = json_string_value(json_object_get(message, "method")),
		.parameters = json_object_get(message, "parameters"),
		.more = json_is_true(json_object_get(message, "more")),
		.oneway = json_is_true(json_object_get(message, "oneway")),
	};

	if (!call.method) {
		connection_close(connection);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		if (!strcmp(methods[i].name, call.method)) {
			methods[i].handle(&call);
			return;
		}
	send_not_found(&call);
}

/* --- clients that do not read what they ask for ------------------------------------------------- */

static bool is_behind(const struct connection *connection)
{
	return uv_stream_get_write_queue_size((const uv_stream_t *)&connection->pipe) > ANSWER_BYTES_MAX;
}

static void on_call(void *arg, json_t *message)
{
	struct connection *connection = arg;

	if (connection->closing)
		return;
	connection->paused |= is_behind(connection);
	if (connection->paused)
		json_array_append(connection->calls, message); /* no more than one read brought */
	else
		handle_call(connection, message);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	(void)handle;
	buf->base = malloc(suggested);
	buf->len = buf->base ? suggested : 0;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct connection *connection = stream->data;
	_cleanup_free_ char *bytes = buf->base;

	if (n < 0 || (n > 0 && varlink_feed(&connection->reader, bytes, n, on_call, connection) < 0))
		connection_close(connection);
	else if (connection->paused)
		uv_read_stop(stream);
}

/* What it asked for has been read, at least in part. */
static void go_on(struct connection *connection)
{
	size_t done = 0, n = json_array_size(connection->calls);
	json_t *left = json_array();

	for (; done < n && !connection->closing && !is_behind(connection); done++)
		handle_call(connection, json_array_get(connection->calls, done));
	for (; done < n; done++)
		json_array_append(left, json_array_get(connection->calls, done));
	json_decref(connection->calls);
	connection->calls = left;
	if (connection->closing || json_array_size(left) || is_behind(connection))
		return;
	connection->paused = false;
	uv_read_start((uv_stream_t *)&connection->pipe, on_alloc, on_read);
}

/* --- followers ---------------------------------------------------------------------------------- */

static bool follows(const struct connection *connection, uint64_t instance)
{
	return connection->following && (!connection->follow_instance || connection->follow_instance == instance);
}

void control_tell(struct supervisor *s, const struct log_record *record)
{
	struct connection *connection, *next;

	DL_FOREACH_SAFE(s->control.connections, connection, next) {
		struct call call = { .connection = connection };

		if (!follows(connection, record->instance))
			continue;
		if (uv_stream_get_write_queue_size((uv_stream_t *)&connection->pipe) > FOLLOW_BYTES_MAX) {
			connection->missed++;
			continue;
		}
		send_reply(&call, json_pack("{s:[o] s:i}", "records", log_json(record), "missed",
					    (int)connection->missed), true);
		connection->missed = 0;
	}
}

void control_end_follow(struct supervisor *s, uint64_t instance)
{
	struct connection *connection, *next;

	DL_FOREACH_SAFE(s->control.connections, connection, next) {
		struct call call = { .connection = connection };

		if (!connection->following || connection->follow_instance != instance)
			continue;
		connection->following = false;
		send_reply(&call, json_pack("{s:[] s:i}", "records", "missed", (int)connection->missed), false);
	}
}

/* --- connections -------------------------------------------------------------------------------- */

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
	struct supervisor *s = listener->data;
	struct connection *connection = status < 0 ? NULL : calloc(1, sizeof(*connection));

	if (!connection)
		return;
	connection->s = s;
	connection->calls = json_array();
	connection->reader.max = VARLINK_CALL_MAX;
	uv_pipe_init(&s->loop, &connection->pipe, 0);
	connection->pipe.data = connection;
	DL_APPEND(s->control.connections, connection);
	s->control.n_connections++;
	if (uv_accept(listener, (uv_stream_t *)&connection->pipe) < 0 ||
	    s->control.n_connections > CONTROL_CONNECTIONS_MAX) {
		connection_close(connection);
	} else if (!is_allowed(&connection->pipe)) {
		send_error(&(struct call){ .connection = connection }, "io.bpftune.PermissionDenied", json_object());
		connection_close(connection);
	} else {
		uv_read_start((uv_stream_t *)&connection->pipe, on_alloc, on_read);
	}
}

int control_start(struct supervisor *s)
{
	char path[4096];
	mode_t mask;
	int err;

	if ((size_t)snprintf(path, sizeof(path), "%s/control.sock", s->options.run_dir) >= 108)
		return -ENAMETOOLONG; /* sizeof sun_path: unix(7) */
	unlink(path); /* the lock is ours: what is there is a dead supervisor's */
	uv_pipe_init(&s->loop, &s->control.listener, 0);
	s->control.listener.data = s;
	mask = umask(0177);
	err = uv_pipe_bind(&s->control.listener, path);
	umask(mask);
	return err ? err : uv_listen((uv_stream_t *)&s->control.listener, BACKLOG, on_connection);
}

void control_stop(struct supervisor *s)
{
	struct connection *connection, *next;

	DL_FOREACH_SAFE(s->control.connections, connection, next)
		connection_close(connection);
	if (s->control.listener.data)
		uv_close((uv_handle_t *)&s->control.listener, NULL); /* unlinks the socket */
	s->control.listener.data = NULL;
}
