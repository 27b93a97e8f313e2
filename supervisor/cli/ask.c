// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/cli/ask.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "config.h"
#include "ipc/cleanup.h"
#include "ipc/exit.h"
#include "ipc/observers.h"
#include "ipc/unshared.h"
#include "ipc/varlink.h"

struct exchange {
	const struct question *question;
	take_reply *take;
	void *arg; /* of take() */
	int status; /* exit status so far; -1: no reply yet */
	bool more;  /* further replies follow */
};

#define CONNECT_S 3

static int connect_to(const char *run_dir, const char *name)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval patience = { .tv_sec = CONNECT_S }, forever = { 0 };
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if ((size_t)snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", run_dir, name) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	/* Whoever hangs accepts nobody, and once enough wait for it, the next would wait for ever. */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &forever, sizeof(forever));
	return take_fd(&fd);
}

int ask_connect(const char *run_dir)
{
	int fd = connect_to(run_dir, "control.sock"), observed;

	if (fd != -EACCES)
		return fd;
	observed = connect_to(run_dir, OBSERVERS_SOCKET);
	return observed == -ENOENT ? fd : observed; /* an older supervisor has none */
}

int say_no_connection(const char *run_dir, int error)
{
	if (error == -ENOENT || error == -ECONNREFUSED) {
		fprintf(stderr, "bpftune: no supervisor runs on %s (start one with 'bpftune run', or name its --run-dir)\n",
			run_dir);
		return EXIT_NOT_RUNNING;
	}
	fprintf(stderr, "bpftune: cannot connect to %s/control.sock: %s%s\n", run_dir, strerror(-error),
		error == -EACCES || error == -EPERM ? " (use sudo; the group bpftune may read)" : "");
	return EXIT_FAILED;
}

static int say_no_answer(const char *run_dir, int error)
{
	fprintf(stderr, "bpftune: %s of %s: %s\n",
		error == -ECONNRESET ? "the supervisor closed the connection" : "cannot use the control socket", run_dir,
		error == -ECONNRESET ? "it has ended, or refused the call" : strerror(-error));
	return EXIT_FAILED;
}

static int say_error(const struct question *question, const char *error, json_t *parameters)
{
	if (!strcmp(error, "io.bpftune.NoSuchContainer"))
		fprintf(stderr, "bpftune: no such container: %s ('bpftune status' lists them)\n", question->container);
	else if (!strcmp(error, "io.bpftune.AmbiguousContainer"))
		fprintf(stderr, "bpftune: several containers are called %s (use instance:ID; 'bpftune status --all' shows the ids)\n",
			question->container);
	else if (!strcmp(error, "io.bpftune.PermissionDenied"))
		fprintf(stderr, "bpftune: permission denied (use sudo: the group bpftune may only read; and there are processes that not even root may look at)\n");
	else if (!strcmp(error, "io.bpftune.NoSuchTuner"))
		fprintf(stderr, "bpftune: no such tuner: %s ('bpftune tuners' lists them)\n", question->tuner);
	else if (!strcmp(error, "io.bpftune.Busy"))
		fprintf(stderr, "bpftune: the supervisor is stopping, or a rollback is under way\n");
	else if (!strcmp(error, "io.bpftune.NotKept"))
		fprintf(stderr, "bpftune: done, but only until the supervisor ends: cannot write %s: %s\n",
			text_of(parameters, "file"), text_of(parameters, "why"));
	else if (!strcmp(error, "org.varlink.service.MethodNotFound"))
		fprintf(stderr, "bpftune: the supervisor of %s has no method %s: it is of another version (restart it)\n",
			question->run_dir, text_of(parameters, "method"));
	else if (!strcmp(error, "org.varlink.service.InvalidParameter"))
		fprintf(stderr, "bpftune: the supervisor of %s does not take the parameter '%s' so\n", question->run_dir,
			text_of(parameters, "parameter"));
	else
		fprintf(stderr, "bpftune: the supervisor answered %s\n", error);
	return EXIT_FAILED;
}

static void on_reply(void *arg, json_t *message)
{
	struct exchange *exchange = arg;
	const char *error = json_string_value(json_object_get(message, "error"));

	exchange->more = json_is_true(json_object_get(message, "continues"));
	if (error) {
		exchange->status = say_error(exchange->question, error, json_object_get(message, "parameters"));
		return;
	}
	exchange->status = EXIT_DONE;
	exchange->take(exchange->question, json_object_get(message, "parameters"), exchange->arg);
	if (fflush(stdout) == EOF) {
		exchange->more = false; /* who read us is gone */
		exchange->status = EXIT_FAILED;
	}
}

static int send_all(int fd, const char *bytes, size_t n)
{
	while (n) {
		ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);

		if (sent < 0 && errno != EINTR)
			return -errno;
		if (sent > 0) {
			bytes += sent;
			n -= sent;
		}
	}
	return 0;
}

static int receive(int fd, struct exchange *exchange)
{
	struct varlink_reader reader = { .max = VARLINK_MESSAGE_MAX };
	char bytes[65536];
	int err = 0;

	do {
		ssize_t n = read(fd, bytes, sizeof(bytes));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			err = n < 0 ? -errno : -ECONNRESET;
		else
			err = varlink_feed(&reader, bytes, n, on_reply, exchange);
	} while (!err && (exchange->status < 0 || exchange->more));
	varlink_reader_clear(&reader);
	return err;
}

int ask(const struct question *question, json_t *call, take_reply *take, void *arg)
{
	struct exchange exchange = { .question = question, .take = take, .arg = arg, .status = -1 };
	_cleanup_close_ int fd = ask_connect(question->run_dir);
	_cleanup_json_text_ char *text = NULL;
	size_t size = 0;
	int err;

	text = varlink_encode(call, &size);
	if (fd < 0)
		return say_no_connection(question->run_dir, fd);
	err = text ? send_all(fd, text, size) : -ENOMEM;
	if (!err)
		err = receive(fd, &exchange);
	if (!err)
		return exchange.status;
	return say_no_answer(question->run_dir, err);
}

int ask_say_failed(const char *run_dir, int error)
{
	switch (error) {
	case -ENOENT:
	case -ECONNREFUSED:
	case -EACCES:
	case -EPERM:
	case -ENAMETOOLONG:
		return say_no_connection(run_dir, error);
	}
	return say_no_answer(run_dir, error);
}

static void compare_versions(const struct question *question, json_t *info, void *arg)
{
	const char *version = text_of(info, "version");

	(void)arg;
	if (strcmp(version, PACKAGE_VERSION) != 0)
		fprintf(stderr, "bpftune: this is version %s, and the supervisor of %s is version %s: restart it, or call its own bpftune\n",
			PACKAGE_VERSION, question->run_dir, version);
}

int client_compare_versions(const struct question *question)
{
	return ask(question, json_pack("{s:s}", "method", "org.varlink.service.GetInfo"), compare_versions, NULL);
}

json_t *call_of(const struct question *question, const char *method)
{
	json_t *call = json_pack("{s:s s:{s:s* s:s*}}", "method", method, "parameters", "container", question->container,
				 "tuner", question->tuner);

	if (question->all)
		json_object_set_new(json_object_get(call, "parameters"), "all", json_true());
	return call;
}

json_t *container_json(uint64_t id)
{
	return json_sprintf("instance:%llu", (unsigned long long)id);
}

const char *text_of(json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

json_int_t number_of(json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

bool is_in_service(json_t *tuner)
{
	const char *state = text_of(tuner, "state");

	return !strcmp(state, "active") || !strcmp(state, "replaced");
}

void print_json(json_t *value)
{
	json_dumpf(value, stdout, JSON_STYLE);
	putchar('\n');
}
