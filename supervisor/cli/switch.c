// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>

#include "ipc/exit.h"
#include "supervisor/cli/ask.h"

static const char *place_of(const struct question *question)
{
	return question->all ? "any container" : question->container;
}

static void print_off(const struct question *question, json_t *result, void *arg)
{
	(void)arg;
	if (!number_of(result, "switched"))
		printf("nothing was on that is off now in %s\n", place_of(question));
}

int client_off(const struct question *question)
{
	return ask(question, call_of(question, "io.bpftune.Off"), print_off, NULL);
}

static void print_on(const struct question *question, json_t *result, void *arg)
{
	json_t *off = json_object_get(result, "off"), *item;
	size_t *n_off = arg, i;

	*n_off = json_array_size(off);
	if (!number_of(result, "switched") && !*n_off)
		printf("nothing was off in %s\n", place_of(question));
	json_array_foreach(off, i, item)
		fprintf(stderr, "bpftune: %s stays off in %s: %s\n", text_of(item, "tuner"), question->container,
			text_of(item, "why"));
}

int client_on(const struct question *question)
{
	size_t n_off = 0;
	int status = ask(question, call_of(question, "io.bpftune.On"), print_on, &n_off);

	return status == EXIT_DONE && n_off ? EXIT_FAILED : status;
}
