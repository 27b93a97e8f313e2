// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>

#include "supervisor/cli/ask.h"

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

static void print_log(const struct question *question, json_t *reply, void *arg)
{
	json_int_t missed = number_of(reply, "missed");
	json_t *record;
	size_t i;

	(void)arg;
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
	return ask(question, call, print_log, NULL);
}
