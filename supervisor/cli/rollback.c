// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>

#include "ipc/exit.h"
#include "supervisor/cli/rollback.h"

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

/* Of a rollback that has found them by itself. */
static void print_gone(json_t *rows)
{
	json_t *item;
	size_t i;

	json_array_foreach (rows, i, item)
		printf("gone %s: no task and no mount has its namespace any more (cookie %lld)\n",
		       text_of(item, "container"), (long long)number_of(item, "netns"));
}

void print_rollback(const struct question *question, json_t *result, void *arg)
{
	size_t *n_left = arg;

	*n_left = json_array_size(json_object_get(result, "left"));
	if (question->json) {
		print_json(result);
		return;
	}
	print_plan(json_object_get(result, "plan"));
	print_restored(json_object_get(result, "restored"), "restored");
	print_restored(json_object_get(result, "left"), "left");
	print_gone(json_object_get(result, "gone"));
	if (!json_object_get(result, "plan") && !json_array_size(json_object_get(result, "restored")) &&
	    !json_array_size(json_object_get(result, "left")) && !json_array_size(json_object_get(result, "gone")))
		printf("nothing to roll back\n");
}

int client_rollback(const struct question *question)
{
	json_t *call = call_of(question, "io.bpftune.Rollback");
	size_t n_left = 0;
	int status;

	json_object_set_new(json_object_get(call, "parameters"), "dry_run", json_boolean(question->dry_run));
	status = ask(question, call, print_rollback, &n_left);
	return status == EXIT_DONE && n_left ? EXIT_FAILED : status;
}

static void print_resume(const struct question *question, json_t *result, void *arg)
{
	(void)arg;
	if (!number_of(result, "resumed"))
		printf("no tuner had stepped aside in %s\n", question->container);
}

int client_resume(const struct question *question)
{
	return ask(question, call_of(question, "io.bpftune.Resume"), print_resume, NULL);
}
