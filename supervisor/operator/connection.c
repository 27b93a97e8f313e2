// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/operator/connection.h"

#include <stdlib.h>
#include <utlist.h>

#include "ipc/cleanup.h"
#include "ipc/unshared.h"

#define ANSWER_BYTES_MAX (256 * 1024) /* past it, a client that calls and does not read is not read either */

struct connection *connection_new(struct operator *operator, void (*call)(struct connection *connection, json_t *message))
{
	struct connection *connection = calloc(1, sizeof(*connection));

	if (!connection)
		return NULL;
	connection->operator = operator;
	connection->call = call;
	connection->calls = json_array();
	connection->reader.max = VARLINK_CALL_MAX;
	uv_pipe_init(operator->loop, &connection->pipe, 0);
	connection->pipe.data = connection;
	DL_APPEND(operator->connections, connection);
	operator->n_connections++;
	return connection;
}

static void on_closed(uv_handle_t *handle)
{
	struct connection *connection = handle->data;

	json_decref(connection->calls);
	varlink_reader_clear(&connection->reader);
	free(connection);
}

void connection_close(struct connection *connection)
{
	struct operator *operator = connection->operator;

	if (connection->closing)
		return;
	connection->closing = true;
	if (connection->rollback)
		rollback_detach(connection->rollback);
	DL_DELETE(operator->connections, connection);
	operator->n_connections--;
	operator->n_observers -= connection->is_observer;
	uv_close((uv_handle_t *)&connection->pipe, on_closed);
}

/* --- calls, and clients that do not read what they ask for -------------------------------------- */

static bool is_behind(const struct connection *connection)
{
	return uv_stream_get_write_queue_size((const uv_stream_t *)&connection->pipe) > ANSWER_BYTES_MAX;
}

/* Calls are handled later, after the events that had been noticed by now: supervisor.c. */
static void on_call(void *arg, json_t *message)
{
	struct connection *connection = arg;

	json_array_append(connection->calls, message); /* no more than one read brought */
	connection->is_stopped = true;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	(void)handle;
	buf->base = unshared_alloc(suggested);
	buf->len = buf->base ? suggested : 0;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct connection *connection = stream->data;
	_cleanup_unshared_ char *bytes = buf->base;

	if (n < 0 || (n > 0 && varlink_feed(&connection->reader, bytes, n, on_call, connection) < 0))
		connection_close(connection);
	else if (connection->is_stopped)
		uv_read_stop(stream); /* until they are handled, and the answers read */
}

void connection_read(struct connection *connection)
{
	uv_read_start((uv_stream_t *)&connection->pipe, on_alloc, on_read);
}

/* Whose call is being answered in pieces, or waits for a worker, makes no other meanwhile. */
static bool may_call(const struct connection *connection)
{
	return !connection->closing && !connection->go_on && !connection->limits_instance && !is_behind(connection);
}

static void handle_calls(struct connection *connection)
{
	size_t done = 0, n = json_array_size(connection->calls);
	json_t *left = json_array();

	for (; done < n && may_call(connection); done++)
		connection->call(connection, json_array_get(connection->calls, done));
	for (; done < n; done++)
		json_array_append(left, json_array_get(connection->calls, done));
	json_decref(connection->calls);
	connection->calls = left;
}

void connection_handle(struct connection *connection)
{
	if (!connection->is_stopped || is_behind(connection))
		return;
	if (connection->go_on)
		connection->go_on(connection);
	handle_calls(connection);
	if (json_array_size(connection->calls) || !may_call(connection))
		return;
	connection->is_stopped = false;
	connection_read(connection);
}

/* --- replies ------------------------------------------------------------------------------------ */

/* A system call, which wakes up the client, for so many. */
#define TEXTS_MAX 16

struct replies {
	uv_write_t write;
	unsigned int n;
	uv_buf_t texts[TEXTS_MAX];
};

static void free_replies(struct replies *replies)
{
	for (unsigned int i = 0; replies && i < replies->n; i++)
		json_text_free(replies->texts[i].base);
	free(replies);
}

static void on_written(uv_write_t *write, int status)
{
	(void)status; /* a client that left is noticed by its end of file */
	free_replies(container_of(write, struct replies, write));
}

static void send_replies(struct connection *connection)
{
	struct replies *replies = take_ptr(connection->replies);

	if (!replies)
		return;
	if (!connection->closing && !uv_write(&replies->write, (uv_stream_t *)&connection->pipe, replies->texts, replies->n, on_written))
		return;
	free_replies(replies);
	connection_close(connection);
}

static void send_message(struct connection *connection, json_t *message)
{
	struct replies *replies = connection->replies ? connection->replies : calloc(1, sizeof(*replies));
	size_t size = 0;
	char *text;

	if (!replies) {
		json_decref(message);
		return;
	}
	connection->replies = replies;
	text = varlink_encode(message, &size);
	if (text)
		replies->texts[replies->n++] = uv_buf_init(text, size);
	else
		connection_close(connection);
	if (!connection->holds || replies->n == TEXTS_MAX)
		send_replies(connection);
}

void connection_hold(struct connection *connection)
{
	connection->holds = true;
}

void connection_release(struct connection *connection)
{
	connection->holds = false;
	send_replies(connection);
}

void call_reply(const struct call *call, json_t *parameters, bool continues)
{
	if (call->oneway)
		json_decref(parameters);
	else if (continues)
		send_message(call->connection, json_pack("{s:o s:b}", "parameters", parameters, "continues", true));
	else
		send_message(call->connection, json_pack("{s:o}", "parameters", parameters));
}

void call_fail(const struct call *call, const char *error, json_t *parameters)
{
	if (call->oneway)
		json_decref(parameters);
	else
		send_message(call->connection, json_pack("{s:s s:o}", "error", error, "parameters", parameters));
}
