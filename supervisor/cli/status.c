// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "ipc/exit.h"
#include "ipc/unshared.h"
#include "supervisor/cli/ask.h"
#include "supervisor/cli/column.h"
#include "supervisor/cli/quiet.h"

#define NAME_WIDTH 31 /* of most tunables' names; a longer one is shown whole */

static void print_tunable(json_t *tunable)
{
	json_int_t changes = number_of(tunable, "changes");

	printf("      %-*s", NAME_WIDTH, text_of(tunable, "name"));
	if (!changes) {
		printf(" %s\n", text_of(tunable, "current"));
		return;
	}
	printf(" ");
	print_column(text_of(tunable, "initial"), 24, false);
	printf(" -> ");
	print_column(text_of(tunable, "current"), 24, false);
	printf("  %lld %s\n", (long long)changes, changes == 1 ? "change" : "changes");
}

/* By which scenarios, and how to have the same elsewhere. */
static void print_reproduction(json_t *tunable)
{
	const char *scenario;
	json_t *changes;

	json_object_foreach(json_object_get(tunable, "scenarios"), scenario, changes)
		printf("        %s: %lld\n", scenario, (long long)json_integer_value(changes));
	/* The kernel's values have no quote, but nobody has checked yet what was just written in a container. */
	if (!strchr(text_of(tunable, "current"), '\''))
		printf("        sysctl -w %s='%s'\n", text_of(tunable, "name"), text_of(tunable, "current"));
}

/* With a star: its verdict is in effect. */
static void print_learnt(json_t *learnt)
{
	json_t *item;
	size_t i;

	json_array_foreach(learnt, i, item)
		print_folded(printf("    %c %s: %s:", json_is_true(json_object_get(item, "in_effect")) ? '*' : ' ',
				    text_of(item, "tuner"), text_of(item, "about")), text_of(item, "text"));
}

/* --- limits that were met ----------------------------------------------------------------------- */

#define RECENT_S 60 /* a rate over more is none of now */

/* Counters that have counted anything; of what is a number of now, none is a trouble by itself. */
static bool has_met(json_t *limit)
{
	return number_of(limit, "count") && strcmp(text_of(limit, "since"), "now") != 0;
}

/* Some limit was met, and nobody has asked lately, so that it is not known how often it is now. */
static bool lacks_rates(json_t *instance)
{
	json_t *limit;
	size_t i;

	json_array_foreach(json_object_get(instance, "limits_met"), i, limit) {
		json_t *over_s = json_object_get(limit, "over_s");

		if (has_met(limit) && (!json_is_number(over_s) || json_number_value(over_s) > RECENT_S))
			return true;
	}
	return false;
}

static void print_limit(json_t *limit)
{
	const char *tuner = text_of(limit, "tuner");
	json_t *rate = json_object_get(limit, "per_second");

	printf("        %-32s %12lld", text_of(limit, "name"), (long long)number_of(limit, "count"));
	if (json_is_number(rate))
		printf(" %10.1f a second", json_number_value(rate));
	printf("%s%s\n", *tuner ? "  " : "", tuner);
}

static void print_limits_met(json_t *instance)
{
	bool is_shared = json_is_true(json_object_get(json_object_get(instance, "netns"), "shared"));
	const char *why = text_of(instance, "limits_met_why");
	json_t *limit;
	size_t i, n = 0;

	if (*why)
		printf("      limits met: not known: %s\n", why);
	json_array_foreach(json_object_get(instance, "limits_met"), i, limit) {
		if (!has_met(limit))
			continue;
		if (!n++)
			printf("      limits met since the %s, and how often now%s:\n",
			       strcmp(text_of(limit, "since"), "boot") ? "namespace was made" : "start of the machine",
			       is_shared ? " (the host's counters: the container shares its namespace)" : "");
		print_limit(limit);
	}
}

static void print_instance_tuner(json_t *tuner)
{
	const char *why = text_of(tuner, "why");

	printf("      tuner %s: %s%s", text_of(tuner, "name"), text_of(tuner, "state"), *why ? ":\n          " : "");
	print_column(why, 88, false);
	printf("\n");
}

/* Why all of `n` tuners are off there, if it is the same of each; NULL: they are not. */
static const char *why_all_off(json_t *tuners, size_t n)
{
	const char *why = text_of(json_array_get(tuners, 0), "why");
	json_t *item;
	size_t i;

	json_array_foreach(tuners, i, item)
		if (strcmp(text_of(item, "state"), "off") != 0 || strcmp(text_of(item, "why"), why) != 0)
			return NULL;
	return i && i == n ? why : NULL;
}

static void print_states(json_t *tuners, size_t n, bool whole)
{
	const char *off = why_all_off(tuners, n);
	json_t *item;
	size_t i;

	if (off) {
		printf("      off: ");
		print_column(off, 88, false);
		printf("\n");
		return;
	}
	json_array_foreach(tuners, i, item)
		if (whole || strcmp(text_of(item, "state"), "active") != 0)
			print_instance_tuner(item);
}

/* `n_tuners`: those in service; a brief answer has not all of them. */
static void print_instance(json_t *instance, size_t n_tuners, bool whole)
{
	json_t *worker = json_object_get(instance, "worker"), *pid = json_object_get(worker, "pid"), *item;
	const char *runtime = text_of(instance, "runtime"), *cgroup = text_of(json_object_get(instance, "cgroup"), "path");
	char state[64];
	size_t i;

	if (json_is_integer(pid))
		snprintf(state, sizeof(state), "worker %lld %s", (long long)json_integer_value(pid), text_of(worker, "state"));
	else
		snprintf(state, sizeof(state), "worker %s", text_of(worker, "state"));
	printf("%4lld  ", (long long)number_of(instance, "id"));
	print_column(text_of(instance, "name"), 32, true);
	printf(" %-10.10s %s\n", *runtime ? runtime : "-", state);
	if (whole) {
		json_t *netns = json_object_get(instance, "netns");
		const char *id = text_of(instance, "container_id");

		if (*id && strcmp(id, text_of(instance, "name")) != 0)
			printf("      container %s\n", id);
		printf("      netns cookie %lld, inode %lld; cgroup ", (long long)number_of(netns, "cookie"),
		       (long long)number_of(netns, "inode"));
		print_column(cgroup, 50, false);
		printf("; %lld restarts\n", (long long)number_of(worker, "restarts"));
	}
	print_states(json_object_get(instance, "tuners"), n_tuners, whole);
	json_array_foreach(json_object_get(instance, "tunables"), i, item) {
		if (whole || number_of(item, "changes"))
			print_tunable(item);
		if (whole && number_of(item, "changes"))
			print_reproduction(item);
	}
	if (!whole)
		return;
	print_limits_met(instance);
	print_learnt(json_object_get(instance, "learnt"));
}

static void print_refused(const char *owner, json_t *hooks)
{
	json_t *hook;
	size_t i;

	json_array_foreach(hooks, i, hook)
		if (json_is_string(json_object_get(hook, "error")))
			printf("degraded: %s: %s (%s):\n          %s\n", owner, text_of(hook, "attach"),
			       text_of(hook, "program"), text_of(hook, "error"));
}

/* A tuner that is not in service as its file is. */
static void print_gone(json_t *tuner)
{
	const char *state = text_of(tuner, "state");

	if (strcmp(state, "active") != 0)
		print_folded(printf("tuner %s: %s:", text_of(tuner, "name"), state), text_of(tuner, "why"));
}

static void print_head(json_t *status)
{
	json_t *events = json_object_get(status, "events"), *item;
	size_t i;

	printf("bpftune %s on Linux %s, up %.0f s%s; events: %lld received, %lld routed, %lld lost\n",
	       text_of(status, "version"), text_of(status, "kernel"), json_number_value(json_object_get(status, "uptime_s")),
	       json_is_true(json_object_get(status, "dry_run")) ? ", dry run" : "", (long long)number_of(events, "received"),
	       (long long)number_of(events, "routed"), (long long)number_of(events, "lost"));
	print_refused("watch", json_object_get(json_object_get(status, "watch"), "hooks"));
	json_array_foreach(json_object_get(status, "tuners"), i, item) {
		print_gone(item);
		print_refused(text_of(item, "name"), json_object_get(item, "hooks"));
	}
}

/* What GetStatus and ListInstances have told. */
struct answers {
	json_t *status, *instances;
	size_t n_tuners; /* in service */
	/* With --json, instances are text: */
	FILE *json;
	char *text;
	size_t text_bytes;
	bool is_cut; /* there was no memory for more text */
};

static void take_status(const struct question *question, json_t *status, void *arg)
{
	struct answers *answers = arg;
	json_t *tuner;
	size_t i;

	(void)question;
	json_object_update(answers->status, status);
	json_array_foreach(json_object_get(status, "tuners"), i, tuner)
		answers->n_tuners += is_in_service(tuner);
}

static void print_header(void)
{
	printf("%4s  %-32s %-10s %s\n", "ID", "NAME", "RUNTIME", "WORKER");
}

/* --- as JSON ------------------------------------------------------------------------------------ */

/* A part of what json_dump_callback() writes, with an indent after each end of a line: no string of JSON has one. */
static int write_indented(const char *bytes, size_t n, void *arg)
{
	FILE *file = arg;

	while (n) {
		const char *end = memchr(bytes, '\n', n);
		size_t line = end ? (size_t)(end - bytes) + 1 : n;

		if (fwrite(bytes, 1, line, file) != line || (end && fputs("    ", file) == EOF))
			return -1;
		bytes += line;
		n -= line;
	}
	return 0;
}

/* An instance becomes text as soon as it has come: a thousand objects take longer to make and to free. */
static void add_json(struct answers *answers, json_t *instance)
{
	const char *before = ftell(answers->json) ? ",\n    " : "\n    ";

	/* glibc's fwrite() to memory says that there is no more, but neither ferror() nor fflush() does. */
	if (fputs(before, answers->json) == EOF || json_dump_callback(instance, write_indented, answers->json, JSON_STYLE) < 0)
		answers->is_cut = true;
}

/* As print_json() prints the status with its instances, the last of its keys. */
static int print_status_json(const struct answers *answers)
{
	_cleanup_json_text_ char *status = json_dumps(answers->status, JSON_STYLE);

	if (fflush(answers->json) == EOF || answers->is_cut || !status) {
		fprintf(stderr, "bpftune: not enough memory for all instances\n");
		return EXIT_FAILED;
	}
	printf("%.*s,\n  \"instances\": [", (int)(strlen(status) - strlen("\n}")), status);
	fwrite(answers->text, 1, answers->text_bytes, stdout);
	fputs(answers->text_bytes ? "\n  ]\n}\n" : "]\n}\n", stdout);
	return EXIT_DONE;
}

/* --- the command -------------------------------------------------------------------------------- */

/* All instances are read before any is printed; with --all, each is printed as it comes. */
static bool is_buffered(const struct question *question)
{
	return question->json || question->container || !question->all;
}

static void take_instance(const struct question *question, json_t *reply, void *arg)
{
	json_t *instance = json_object_get(reply, "instance");
	struct answers *answers = arg;

	if (!json_is_object(instance))
		return; /* the one that was to come has ended */
	if (question->json)
		add_json(answers, instance);
	else if (is_buffered(question))
		json_array_append(answers->instances, instance);
	else
		print_instance(instance, answers->n_tuners, false);
}

/* How often a limit is met now takes two looks, unless somebody has looked shortly before. */
static int ask_instances(const struct question *question, json_t *call, struct answers *answers)
{
	int err = ask(question, json_incref(call), take_instance, answers);

	if (err || question->json || !question->container || !lacks_rates(json_array_get(answers->instances, 0)))
		return err;
	sleep(1);
	json_array_clear(answers->instances);
	return ask(question, json_incref(call), take_instance, answers);
}

static void print_instances(const struct question *question, const struct answers *answers)
{
	json_t *instance;
	size_t i;

	if (!question->container && is_quiet(answers->status, answers->instances)) {
		print_quiet(answers->status, answers->instances);
		return;
	}
	if (json_array_size(answers->instances))
		print_header();
	json_array_foreach(answers->instances, i, instance)
		if (question->container)
			print_instance(instance, json_array_size(json_object_get(instance, "tuners")), true);
		else
			print_instance(instance, answers->n_tuners, false);
}

/* The overview shows nothing that a brief answer is without. */
static json_t *list_call(const struct question *question)
{
	bool is_overview = !question->container && !question->json;

	return json_pack("{s:s s:b s:{s:s* s:o*}}", "method", "io.bpftune.ListInstances", "more", !question->container,
			 "parameters", "container", question->container, "brief", is_overview ? json_true() : NULL);
}

static int ask_and_print(const struct question *question, struct answers *answers)
{
	json_t *call = list_call(question);
	int err = 0;

	if (question->json || !question->container)
		err = ask(question, json_pack("{s:s}", "method", "io.bpftune.GetStatus"), take_status, answers);
	if (!err && !question->json && !question->container)
		print_head(answers->status);
	if (!err && !is_buffered(question))
		print_header();
	err = err ? err : ask_instances(question, call, answers);
	json_decref(call);
	if (err || !is_buffered(question))
		return err;
	if (question->json)
		return print_status_json(answers);
	print_instances(question, answers);
	return EXIT_DONE;
}

int client_status(const struct question *question)
{
	struct answers answers = { .status = json_object(), .instances = json_array() };
	int err;

	answers.json = open_memstream(&answers.text, &answers.text_bytes);
	if (answers.json) {
		err = ask_and_print(question, &answers);
		fclose(answers.json);
	} else {
		fprintf(stderr, "bpftune: not enough memory\n");
		err = EXIT_FAILED;
	}
	free(answers.text);
	json_decref(answers.instances);
	json_decref(answers.status);
	return err;
}
