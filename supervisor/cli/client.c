// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/cli/client.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "ipc/cleanup.h"
#include "ipc/varlink.h"
#include "supervisor/supervisor.h"

struct exchange {
	const struct question *question;
	void (*print)(const struct question *question, json_t *parameters);
	int status; /* exit status so far; -1: no reply yet */
	bool more;  /* further replies follow */
};

static int connect_to(const char *run_dir)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if ((size_t)snprintf(address.sun_path, sizeof(address.sun_path), "%s/control.sock", run_dir) >=
	    sizeof(address.sun_path))
		return -ENAMETOOLONG;
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return take_fd(&fd);
}

static int say_no_connection(const char *run_dir, int error)
{
	if (error == -ENOENT || error == -ECONNREFUSED) {
		fprintf(stderr, "bpftune: no supervisor runs on %s (start one with 'bpftune run', or name its --run-dir)\n",
			run_dir);
		return EXIT_NOT_RUNNING;
	}
	fprintf(stderr, "bpftune: cannot connect to %s/control.sock: %s%s\n", run_dir, strerror(-error),
		error == -EACCES || error == -EPERM ? " (use sudo)" : "");
	return EXIT_FAILED;
}

static int say_error(const struct question *question, const char *error)
{
	if (!strcmp(error, "io.bpftune.NoSuchContainer"))
		fprintf(stderr, "bpftune: no such container: %s ('bpftune status' lists them)\n", question->container);
	else if (!strcmp(error, "io.bpftune.AmbiguousContainer"))
		fprintf(stderr, "bpftune: several containers are called %s (use the instance id that 'bpftune status' shows)\n",
			question->container);
	else if (!strcmp(error, "io.bpftune.PermissionDenied"))
		fprintf(stderr, "bpftune: permission denied (use sudo; there are processes that not even root may look at)\n");
	else if (!strcmp(error, "io.bpftune.NoSuchTuner"))
		fprintf(stderr, "bpftune: no such tuner: %s ('bpftune tuners' lists them)\n", question->tuner);
	else if (!strcmp(error, "io.bpftune.Busy"))
		fprintf(stderr, "bpftune: the supervisor is stopping, or a rollback is under way\n");
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
		exchange->status = say_error(exchange->question, error);
		return;
	}
	exchange->status = EXIT_DONE;
	exchange->print(exchange->question, json_object_get(message, "parameters"));
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

/* Takes the reference to `call`. */
static int ask(const struct question *question, json_t *call,
	       void (*print)(const struct question *question, json_t *parameters))
{
	struct exchange exchange = { .question = question, .print = print, .status = -1 };
	_cleanup_close_ int fd = connect_to(question->run_dir);
	_cleanup_free_ char *text = NULL;
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
	fprintf(stderr, "bpftune: %s of %s: %s\n",
		err == -ECONNRESET ? "the supervisor closed the connection" : "cannot use the control socket",
		question->run_dir, err == -ECONNRESET ? "it has ended, or refused the call" : strerror(-err));
	return EXIT_FAILED;
}

/* --- status ------------------------------------------------------------------------------------- */

static const char *text_of(json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static json_int_t number_of(json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static void print_tunable(json_t *tunable)
{
	json_int_t changes = number_of(tunable, "changes");

	if (!changes)
		printf("      %-28.28s %s\n", text_of(tunable, "name"), text_of(tunable, "current"));
	else
		printf("      %-28.28s %.24s -> %.24s  %lld %s\n", text_of(tunable, "name"), text_of(tunable, "initial"),
		       text_of(tunable, "current"), (long long)changes, changes == 1 ? "change" : "changes");
}

/* By which scenarios, and how to have the same elsewhere. */
static void print_reproduction(json_t *tunable)
{
	const char *scenario;
	json_t *changes;

	json_object_foreach(json_object_get(tunable, "scenarios"), scenario, changes)
		printf("        %s: %lld\n", scenario, (long long)json_integer_value(changes));
	printf("        sysctl -w %s='%s'\n", text_of(tunable, "name"), text_of(tunable, "current"));
}

/* Words from a column on; what would be past the width goes on in the next line, indented. */
static void print_folded(int column, const char *text)
{
	const int width = 100, indent = 10;

	while (*text) {
		int length = strcspn(text, " ");

		if (column + 1 + length > width)
			column = printf("\n%*s", indent - 1, "") - 1;
		column += printf(" %.*s", length, text);
		text += length;
		text += strspn(text, " ");
	}
	printf("\n");
}

static void print_learnt(json_t *learnt)
{
	json_t *item;
	size_t i;

	json_array_foreach(learnt, i, item)
		print_folded(printf("      %s: %s:", text_of(item, "tuner"), text_of(item, "about")), text_of(item, "text"));
}

static void print_instance(json_t *instance, bool whole)
{
	json_t *worker = json_object_get(instance, "worker"), *pid = json_object_get(worker, "pid"), *item;
	const char *runtime = text_of(instance, "runtime"), *cgroup = text_of(json_object_get(instance, "cgroup"), "path");
	char state[64];
	size_t i;

	if (json_is_integer(pid))
		snprintf(state, sizeof(state), "worker %lld %s", (long long)json_integer_value(pid), text_of(worker, "state"));
	else
		snprintf(state, sizeof(state), "worker %s", text_of(worker, "state"));
	printf("%4lld  %-32.32s %-10.10s %s\n", (long long)number_of(instance, "id"), text_of(instance, "name"),
	       *runtime ? runtime : "-", state);
	if (whole) {
		json_t *netns = json_object_get(instance, "netns");

		printf("      netns cookie %lld, inode %lld; cgroup %.50s; %lld restarts\n",
		       (long long)number_of(netns, "cookie"), (long long)number_of(netns, "inode"), cgroup,
		       (long long)number_of(worker, "restarts"));
	}
	json_array_foreach(json_object_get(instance, "tuners"), i, item)
		if (whole || strcmp(text_of(item, "state"), "active"))
			printf("      tuner %s: %s%s%.88s\n", text_of(item, "name"), text_of(item, "state"),
			       *text_of(item, "why") ? ":\n          " : "", text_of(item, "why"));
	json_array_foreach(json_object_get(instance, "tunables"), i, item) {
		if (whole || number_of(item, "changes"))
			print_tunable(item);
		if (whole && number_of(item, "changes"))
			print_reproduction(item);
	}
	if (whole)
		print_learnt(json_object_get(instance, "learnt"));
}

static void print_refused(const char *owner, json_t *hooks)
{
	json_t *hook;
	size_t i;

	json_array_foreach(hooks, i, hook)
		if (json_is_string(json_object_get(hook, "error")))
			printf("degraded: %s: %s (%s):\n          %s%s\n", owner, text_of(hook, "attach"),
			       text_of(hook, "program"), number_of(hook, "refusals") ? "of some: " : "", text_of(hook, "error"));
}

static void print_status(const struct question *question, json_t *status)
{
	json_t *events = json_object_get(status, "events"), *item;
	size_t i;

	if (question->json) {
		json_dumpf(status, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
		putchar('\n');
		return;
	}
	if (!question->container) {
		printf("bpftune %s on Linux %s, up %.0f s%s; events: %lld received, %lld routed, %lld lost\n",
		       text_of(status, "version"), text_of(status, "kernel"),
		       json_number_value(json_object_get(status, "uptime_s")),
		       json_is_true(json_object_get(status, "dry_run")) ? ", dry run" : "",
		       (long long)number_of(events, "received"), (long long)number_of(events, "routed"),
		       (long long)number_of(events, "lost"));
		print_refused("watch", json_object_get(json_object_get(status, "watch"), "hooks"));
		json_array_foreach(json_object_get(status, "tuners"), i, item)
			print_refused(text_of(item, "name"), json_object_get(item, "hooks"));
	}
	printf("%4s  %-32s %-10s %s\n", "ID", "NAME", "RUNTIME", "WORKER");
	json_array_foreach(json_object_get(status, "instances"), i, item)
		print_instance(item, question->container != NULL);
}

static json_t *call_of(const struct question *question, const char *method)
{
	return json_pack("{s:s s:{s:s*}}", "method", method, "parameters", "container", question->container);
}

int client_status(const struct question *question)
{
	return ask(question, call_of(question, "io.bpftune.GetStatus"), print_status);
}

/* --- tuners ------------------------------------------------------------------------------------- */

static void print_hooks(const char *name, const char *summary, const char *path, json_t *hooks)
{
	json_t *hook;
	size_t i;

	printf("%s: %s\n", name, summary);
	if (*path)
		printf("    %s\n", path);
	json_array_foreach(hooks, i, hook) {
		json_int_t refusals = number_of(hook, "refusals");

		printf("    %-30s %-24s %s\n", text_of(hook, "attach"), text_of(hook, "program"),
		       json_is_true(json_object_get(hook, "attached")) ? "attached" : text_of(hook, "error"));
		if (refusals)
			printf("        not to those of %lld: %s\n", (long long)refusals, text_of(hook, "error"));
	}
}

static void print_tuners(const struct question *question, json_t *status)
{
	json_t *watch = json_object_get(status, "watch"), *tuner;
	size_t i;

	if (question->json) {
		json_dumpf(json_object_get(status, "tuners"), stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
		putchar('\n');
		return;
	}
	print_hooks("watch", "finds network namespaces (the supervisor's own)", "", json_object_get(watch, "hooks"));
	json_array_foreach(json_object_get(status, "tuners"), i, tuner)
		print_hooks(text_of(tuner, "name"), text_of(tuner, "summary"), text_of(tuner, "path"),
			    json_object_get(tuner, "hooks"));
}

int client_tuners(const struct question *question)
{
	return ask(question, call_of(question, "io.bpftune.GetStatus"), print_tuners);
}

/* --- log ---------------------------------------------------------------------------------------- */

static void print_record(const struct question *question, json_t *record)
{
	const char *colon = *text_of(record, "tuner") ? ": " : "";

	if (question->json) {
		json_dumpf(record, stdout, JSON_COMPACT);
		putchar('\n');
	} else if (*text_of(record, "tunable")) {
		printf("%s %s %s%s%s %s -> %s (%s): %s\n", text_of(record, "time"), text_of(record, "container"),
		       text_of(record, "tuner"), colon, text_of(record, "tunable"), text_of(record, "from"),
		       text_of(record, "to"), text_of(record, "scenario"), text_of(record, "text"));
	} else {
		printf("%s %s %s%s%s\n", text_of(record, "time"), text_of(record, "container"), text_of(record, "tuner"),
		       colon, text_of(record, "text"));
	}
}

static void print_log(const struct question *question, json_t *reply)
{
	json_int_t missed = number_of(reply, "missed");
	json_t *record;
	size_t i;

	if (missed)
		fprintf(stderr, "bpftune: %lld records were missed: this reader was too slow\n", (long long)missed);
	json_array_foreach(json_object_get(reply, "records"), i, record)
		print_record(question, record);
}

int client_log(const struct question *question)
{
	json_t *call = call_of(question, "io.bpftune.GetLog");

	if (question->lines >= 0)
		json_object_set_new(json_object_get(call, "parameters"), "lines", json_integer(question->lines));
	if (question->follow)
		json_object_set_new(call, "more", json_true());
	return ask(question, call, print_log);
}

/* --- rollback and resume ------------------------------------------------------------------------ */

static void print_restored(json_t *rows, const char *verb)
{
	json_t *item;
	size_t i;

	json_array_foreach(rows, i, item)
		printf("%s %s in %s: %s -> %s%s%s\n", verb, text_of(item, "tunable"), text_of(item, "container"),
		       text_of(item, "from"), text_of(item, "to"), *text_of(item, "why") ? ": " : "", text_of(item, "why"));
}

static void print_plan(json_t *plan)
{
	json_t *item;
	size_t i;

	json_array_foreach(plan, i, item)
		if (*text_of(item, "why") || !*text_of(item, "command"))
			printf("# %s in %s stays %s: %s\n", text_of(item, "tunable"), text_of(item, "container"),
			       text_of(item, "from"), *text_of(item, "why") ? text_of(item, "why") : "no sysctl(8) line reaches it");
		else
			printf("%s  # %s: now %s\n", text_of(item, "command"), text_of(item, "container"), text_of(item, "from"));
}

static void print_rollback(const struct question *question, json_t *result)
{
	if (question->json) {
		json_dumpf(result, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
		putchar('\n');
		return;
	}
	print_plan(json_object_get(result, "plan"));
	print_restored(json_object_get(result, "restored"), "restored");
	print_restored(json_object_get(result, "left"), "left");
	if (!json_object_get(result, "plan") && !json_array_size(json_object_get(result, "restored")) &&
	    !json_array_size(json_object_get(result, "left")))
		printf("nothing to roll back\n");
}

int client_rollback(const struct question *question)
{
	json_t *call = call_of(question, "io.bpftune.Rollback");

	json_object_set_new(json_object_get(call, "parameters"), "dry_run", json_boolean(question->dry_run));
	return ask(question, call, print_rollback);
}

static void print_resume(const struct question *question, json_t *result)
{
	if (!number_of(result, "resumed"))
		printf("no tuner had stepped aside in %s\n", question->container);
}

int client_resume(const struct question *question)
{
	json_t *call = call_of(question, "io.bpftune.Resume");

	if (question->tuner)
		json_object_set_new(json_object_get(call, "parameters"), "tuner", json_string(question->tuner));
	return ask(question, call, print_resume);
}
