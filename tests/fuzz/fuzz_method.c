// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * libFuzzer target: what a client of the control socket sends, from its bytes to the method table and back, with an
 * instance that has values to show and to roll back. Each answer is JSON that ends with a NUL. As random bytes hardly
 * ever name a method, an input is sent as it is, and its lines each as the parameters of each method in turn.
 */
#include "tests/unit/fake_changes.h"

#include <signal.h>
#include <sys/socket.h>

#include "supervisor/operator/connection.h"
#include "supervisor/operator/io.bpftune.varlink.h"
#include "supervisor/operator/limits_met.h"
#include "supervisor/operator/method.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In the place of libc's, so that the log goes to a syslog that takes all and keeps nothing. */
int connect(int fd, const struct sockaddr *address, socklen_t size)
{
	(void)fd, (void)address, (void)size;
	return 0;
}

ssize_t send(int fd, const void *bytes, size_t size, int flags)
{
	(void)fd, (void)bytes, (void)flags;
	return size;
}

struct client {
	int fd;
	bool has_ended;
	struct varlink_reader reader;
};

static void check(bool holds)
{
	if (!holds)
		abort();
}

static void got(void *arg, json_t *answer)
{
	(void)arg;
	check(json_is_object(json_object_get(answer, "parameters")));
}

static void read_answers(struct client *client)
{
	char bytes[65536];
	ssize_t n;

	while ((n = read(client->fd, bytes, sizeof(bytes))) > 0)
		check(varlink_feed(&client->reader, bytes, n, got, NULL) >= 0);
	client->has_ended = client->has_ended || n == 0;
}

/* Turns of the loop, as supervisor.c has them, until there is nothing to do. The worker tells at once what it is asked for. */
static void go_round(struct operator *room, struct client *client)
{
	const struct bpftune_report met = { .kind = BPFTUNE_LIMITS_MET };

	for (int i = 0; i < 4; i++) {
		uv_run(room->loop, UV_RUN_NOWAIT);
		operator_handle(room);
		operator_limits_met(room, fake->instance, &met);
		read_answers(client);
	}
}

static void converse(struct operator *room, const char *bytes, size_t size)
{
	struct client client = { .reader.max = 64 << 20 };
	struct connection *connection = connection_new(room, method_call);
	int fds[2];

	check(connection && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
	check(uv_pipe_open(&connection->pipe, fds[0]) == 0);
	connection_read(connection);
	client.fd = fds[1];
	for (size_t at = 0; at < size && !client.has_ended;) {
		ssize_t n = write(client.fd, bytes + at, size - at);

		if (n <= 0)
			break;
		at += n;
		go_round(room, &client);
	}
	go_round(room, &client);
	close(client.fd);
	if (room->connections)
		connection_close(room->connections);
	uv_run(room->loop, UV_RUN_NOWAIT);
	varlink_reader_clear(&client.reader);
}

static void call(struct operator *room, const char *interface, const char *method, size_t n_method, const char *line, size_t n)
{
	static const char *const ways[] = { "", "\"more\":true,", "\"oneway\":true," };
	char text[4096];

	for (size_t i = 0; i < ARRAY_SIZE(ways) && n < sizeof(text) - 256; i++) {
		int size = snprintf(text, sizeof(text), "{%s\"method\":\"%s.%.*s\",\"parameters\":%.*s}", ways[i], interface,
				    (int)n_method, method, (int)n, line);

		converse(room, text, size + 1);
	}
}

/* Of each method that the interface's description has. */
static void send_parameters(struct operator *room, const char *line, size_t n)
{
	static const char *const others[] = { "GetInfo", "GetInterfaceDescription", "None" };
	const char *method = io_bpftune_varlink;

	while ((method = strstr(method, "\nmethod "))) {
		method += strlen("\nmethod ");
		call(room, "io.bpftune", method, strcspn(method, "("), line, n);
	}
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		call(room, "org.varlink.service", others[i], strlen(others[i]), line, n);
}

static void keep_line(void *arg, const struct log_record *record)
{
	struct operator *room = arg;

	streams_log(&room->streams, record);
}

static void free_timer(uv_handle_t *handle)
{
	pool_put(handle->data, handle);
}

/* That of a worker which is to end, as all is turned off. */
static void close_timer(struct fixture *fixture)
{
	struct child *child = fixture->instance->child;

	if (!child || !child->timer)
		return;
	child->timer->data = &fixture->workers.timers;
	uv_close((uv_handle_t *)child->timer, free_timer);
	child->timer = NULL;
}

static void close_room(struct fixture *fixture, struct operator *room)
{
	static const char *const files[] = { "off", "off-always" };
	char path[300];

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", fixture->dir, files[i]);
		unlink(path);
	}
	limits_end(room, fixture->instance);
	uv_close((uv_handle_t *)&room->limits_due, NULL);
	changes_end(&fixture->changes, fixture->instance);
	close_timer(fixture);
	uv_run(room->loop, UV_RUN_DEFAULT);
	pool_close(&fixture->workers.timers);
	check(uv_loop_close(room->loop) == 0);
	limits_close(room);
	streams_free(&room->streams);
}

/* An instance with a value that was changed, and that rollback puts back. */
static void open_room(struct fixture *fixture, struct operator *room)
{
	static struct bpftune_tuner shown;
	static char file[] = "/only.so";
	struct bpftune_report change = { .kind = BPFTUNE_INTENT, .from = "1", .to = "2", .text = "why" };
	const char *path;

	check(changes_read_off(&fixture->changes, fixture->dir, fixture->dir, &path) == 0);
	shown = tuner;
	shown.summary = "what it does";
	fixture->kernel.plugins.tuners[0] = &shown;
	fixture->kernel.plugins.paths[0] = file;
	uv_loop_init(&fixture->loop);
	room->kernel = &fixture->kernel;
	room->instances = &fixture->instances;
	room->workers = &fixture->workers;
	room->changes = &fixture->changes;
	room->loop = &fixture->loop;
	room->run_dir = fixture->dir;
	fixture->instances.listener.log = keep_line;
	fixture->instances.arg = room;
	limits_start(room);
	report_value(fixture, "1");
	report(fixture, &change);
	change.kind = BPFTUNE_CHANGE;
	report(fixture, &change);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *line = (const char *)data, *end = line + size;
	struct operator room = { 0 };
	void *state = NULL;
	size_t n;

	signal(SIGPIPE, SIG_IGN);
	log_open(LOG_SINK_SYSLOG);
	check(open_changes(&state) == 0);
	open_room(state, &room);
	converse(&room, line, size);
	for (int lines = 0; line < end && lines < 4; line += n + 1, lines++) {
		const char *newline = memchr(line, '\n', end - line);

		n = newline ? newline - line : end - line;
		send_parameters(&room, line, n);
	}
	close_room(state, &room);
	close_changes(&state);
	return 0;
}
