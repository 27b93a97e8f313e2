// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>
#include <string.h>

#include "supervisor/cli/ask.h"
#include "supervisor/cli/column.h"

/* Since the supervisor started. */
static void print_cost(json_t *hook)
{
	json_int_t runs = number_of(hook, "runs"), timed = number_of(hook, "timed");

	if (runs)
		printf("        %lld runs, %.3g a second", (long long)runs, json_number_value(json_object_get(hook, "runs_per_s")));
	else if (timed)
		printf("        %lld timed runs", (long long)timed);
	if (timed)
		printf(", of %lld ns", (long long)(number_of(hook, "ns") / timed));
	if (runs || timed)
		putchar('\n');
}

static void print_hooks(json_t *hooks)
{
	json_t *hook;
	size_t i;

	json_array_foreach(hooks, i, hook) {
		printf("    %-30s %-24s %s\n", text_of(hook, "attach"), text_of(hook, "program"),
		       json_is_true(json_object_get(hook, "attached")) ? "attached" : text_of(hook, "error"));
		print_cost(hook);
	}
}

static void print_tuner(json_t *tuner)
{
	const char *state = text_of(tuner, "state");

	printf("%s: %s\n    %s\n", text_of(tuner, "name"), text_of(tuner, "summary"), text_of(tuner, "path"));
	if (strcmp(state, "active") != 0)
		print_folded(printf("    %s:", state), text_of(tuner, "why"));
	print_hooks(json_object_get(tuner, "hooks"));
}

static void print_tuners(const struct question *question, json_t *status, void *arg)
{
	json_t *watch = json_object_get(status, "watch"), *tuner;
	size_t i;

	(void)arg;
	if (question->json) {
		print_json(json_object_get(status, "tuners"));
		return;
	}
	printf("watch: finds network namespaces (the supervisor's own)\n");
	print_hooks(json_object_get(watch, "hooks"));
	json_array_foreach(json_object_get(status, "tuners"), i, tuner)
		print_tuner(tuner);
}

int client_tuners(const struct question *question)
{
	return ask(question, json_pack("{s:s}", "method", "io.bpftune.GetTuners"), print_tuners, NULL);
}
