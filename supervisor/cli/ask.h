/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A call of a running supervisor's method, and what its replies are read with. */
#ifndef BPFTUNE_SUPERVISOR_CLI_ASK_H
#define BPFTUNE_SUPERVISOR_CLI_ASK_H

#include <jansson.h>
#include <stdint.h>

#include "supervisor/cli/cli.h"

/* Gets the parameters of each reply. */
typedef void take_reply(const struct question *question, json_t *parameters, void *arg);

/* A connection to the supervisor of that directory, by observe.sock if the other is not ours to use; or -errno. */
int ask_connect(const char *run_dir);
/* Says why there is none: an exit status. */
int say_no_connection(const char *run_dir, int error);

/* Says why ask_connect(), or what followed, has failed: an exit status. */
int ask_say_failed(const char *run_dir, int error);

/* Calls, and waits for the last reply: an exit status; errors are said. Takes the reference to `call`. */
int ask(const struct question *question, json_t *call, take_reply *take, void *arg);

/* A call of the method with those of the parameters `container`, `tuner` and `all` that the question has. A new reference. */
json_t *call_of(const struct question *question, const char *method);

/* A call's `container`, for the instance of that id: a name may be another container's by now. */
json_t *container_json(uint64_t id);

/* "" and 0 where there is none. */
const char *text_of(json_t *object, const char *key);
json_int_t number_of(json_t *object, const char *key);

/* Whether a tuner, as GetStatus tells it, is in service. One that is not may have the name of one that is. */
bool is_in_service(json_t *tuner);

#define JSON_STYLE (JSON_INDENT(2) | JSON_REAL_PRECISION(9)) /* of what commands print */

/* To standard output. */
void print_json(json_t *value);

#endif
