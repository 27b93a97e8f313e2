// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/cli/watch_feed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/cleanup.h"
#include "ipc/exit.h"
#include "ipc/unshared.h"
#include "supervisor/cli/ask.h"

#define RECORDS_AT_FIRST 1000 /* of all logs; of the followed one as many as the supervisor has */
#define RECORDS_FOLLOWED 256

/* --- a connection ------------------------------------------------------------------------------- */

static void start_follow_next(struct watch_feed *feed);

static void on_closed(uv_handle_t *handle)
{
	struct watch_channel *channel = handle->data;
	struct watch_feed *feed = channel->feed;

	varlink_reader_clear(&channel->reader);
	*channel = (struct watch_channel){ 0 };
	if (channel == &feed->followed)
		start_follow_next(feed);
}

static void close_channel(struct watch_channel *channel)
{
	if (!channel->is_open || channel->is_closing)
		return;
	channel->is_closing = true;
	uv_close((uv_handle_t *)&channel->pipe, on_closed);
}

static void gone(struct watch_feed *feed, int error)
{
	if (!feed->is_gone)
		feed->listener->gone(feed->arg, error);
	feed->is_gone = true;
}

static void fail(struct watch_channel *channel, int error)
{
	struct watch_feed *feed = channel->feed;

	if (channel->is_closing)
		return;
	close_channel(channel);
	gone(feed, error);
}

static void on_message(void *arg, json_t *message)
{
	struct watch_channel *channel = arg;

	if (channel->is_closing)
		return;
	channel->got(channel->feed, message);
	channel->replies++;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	(void)handle;
	buf->base = malloc(suggested);
	buf->len = buf->base ? suggested : 0;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct watch_channel *channel = stream->data;
	_cleanup_free_ char *bytes = buf->base;
	int err = n < 0 ? (int)n : varlink_feed(&channel->reader, bytes, n, on_message, channel);

	if (err)
		fail(channel, err == UV_EOF || err == UV_ECONNRESET ? 0 : -err);
}

static int open_channel(struct watch_feed *feed, struct watch_channel *channel,
			void (*got)(struct watch_feed *feed, json_t *message))
{
	_cleanup_close_ int fd = ask_connect(feed->question->run_dir);
	int err;

	if (fd < 0)
		return fd;
	*channel = (struct watch_channel){ .feed = feed, .got = got, .reader = { .max = VARLINK_MESSAGE_MAX } };
	uv_pipe_init(feed->loop, &channel->pipe, 0);
	channel->pipe.data = channel;
	channel->is_open = true;
	err = uv_pipe_open(&channel->pipe, fd);
	if (!err) {
		take_fd(&fd);
		err = uv_read_start((uv_stream_t *)&channel->pipe, on_alloc, on_read);
	}
	if (err)
		close_channel(channel);
	return err;
}

struct message {
	uv_write_t write;
	char *text;
};

static void on_written(uv_write_t *write, int status)
{
	struct message *message = container_of(write, struct message, write);

	(void)status; /* a supervisor that has ended is noticed by the end of file */
	json_text_free(message->text);
	free(message);
}

/* Takes the reference. */
static void call(struct watch_channel *channel, json_t *json)
{
	struct message *message = calloc(1, sizeof(*message));
	size_t size = 0;
	uv_buf_t buf;
	int err = -ENOMEM;

	if (message) {
		message->text = varlink_encode(json, &size);
		buf = uv_buf_init(message->text, size);
		if (message->text)
			err = uv_write(&message->write, (uv_stream_t *)&channel->pipe, &buf, 1, on_written);
	} else {
		json_decref(json);
	}
	if (!err)
		return;
	if (message)
		json_text_free(message->text);
	free(message);
	fail(channel, -err);
}

/* --- logs --------------------------------------------------------------------------------------- */

/* 0: of all. */
static json_t *get_log(uint64_t id, int lines)
{
	return json_pack("{s:s s:b s:{s:o* s:i}}", "method", "io.bpftune.GetLog", "more", true, "parameters",
			 "container", id ? container_json(id) : NULL, "lines", lines);
}

static void got_records(struct watch_feed *feed, json_t *message)
{
	json_t *reply = json_object_get(message, "parameters");

	feed->listener->records(feed->arg, json_object_get(reply, "records"), number_of(reply, "missed"),
				feed->log.replies == 0);
}

static void got_followed(struct watch_feed *feed, json_t *message)
{
	json_t *reply = json_object_get(message, "parameters");

	if (!json_object_get(message, "error"))
		feed->listener->followed(feed->arg, json_object_get(reply, "records"), number_of(reply, "missed"));
	if (!json_is_true(json_object_get(message, "continues"))) {
		close_channel(&feed->followed);
		feed->listener->ended(feed->arg);
	}
}

static void start_follow_next(struct watch_feed *feed)
{
	uint64_t id = feed->follow_next;
	int err;

	feed->follow_next = 0;
	if (!id)
		return;
	err = open_channel(feed, &feed->followed, got_followed);
	if (err)
		gone(feed, err == -ENOENT || err == -ECONNREFUSED ? 0 : -err);
	else
		call(&feed->followed, get_log(id, RECORDS_FOLLOWED));
}

void watch_feed_follow(struct watch_feed *feed, uint64_t id)
{
	feed->follow_next = id;
	if (feed->followed.is_open)
		close_channel(&feed->followed);
	else
		start_follow_next(feed);
}

/* --- calls -------------------------------------------------------------------------------------- */

/* Of NoSuchContainer. */
static void tell_ended(struct watch_feed *feed, json_t *error)
{
	unsigned long long id;

	if (sscanf(text_of(error, "container"), "instance:%llu", &id) == 1)
		feed->listener->instance_ended(feed->arg, id);
}

static void got_reply(struct watch_feed *feed, json_t *message)
{
	json_t *reply = json_object_get(message, "parameters"), *instance = json_object_get(reply, "instance");
	bool is_last = !json_is_true(json_object_get(message, "continues")), is_listed = is_last && feed->listing == 1;

	if (json_object_get(message, "error"))
		tell_ended(feed, reply);
	else if (feed->has_status)
		feed->listener->status(feed->arg, reply);
	else if (json_is_object(instance))
		feed->listener->instance(feed->arg, instance);
	feed->has_status = false;
	if (!is_last || !feed->waits)
		return;
	if (feed->listing)
		feed->listing--;
	if (is_listed)
		feed->listener->listed(feed->arg);
	if (!--feed->waits)
		feed->listener->answered(feed->arg);
}

bool watch_feed_is_busy(const struct watch_feed *feed)
{
	return feed->waits > 0;
}

void watch_feed_ask(struct watch_feed *feed, bool list, const uint64_t *ids, size_t n)
{
	struct watch_channel *calls = &feed->calls;

	if (!calls->is_open || calls->is_closing)
		return;
	feed->has_status = list;
	feed->listing = list ? 2 : 0;
	feed->waits = n + (list ? 2 : 0);
	if (list) {
		call(calls, json_pack("{s:s}", "method", "io.bpftune.GetStatus"));
		call(calls, json_pack("{s:s s:b s:{s:b}}", "method", "io.bpftune.ListInstances", "more", true,
				      "parameters", "brief", true));
	}
	for (size_t i = 0; i < n && !calls->is_closing; i++)
		call(calls, json_pack("{s:s s:{s:o}}", "method", "io.bpftune.ListInstances", "parameters", "container",
				      container_json(ids[i])));
}

/* --- start and end ------------------------------------------------------------------------------ */

int watch_feed_start(struct watch_feed *feed)
{
	int err = open_channel(feed, &feed->calls, got_reply);

	if (!err)
		err = open_channel(feed, &feed->log, got_records);
	if (err)
		return say_no_connection(feed->question->run_dir, err);
	call(&feed->log, get_log(0, RECORDS_AT_FIRST));
	return EXIT_DONE;
}

void watch_feed_close(struct watch_feed *feed)
{
	feed->follow_next = 0;
	close_channel(&feed->calls);
	close_channel(&feed->log);
	close_channel(&feed->followed);
}
