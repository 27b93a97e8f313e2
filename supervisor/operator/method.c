// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/operator/method.h"

#include <errno.h>
#include <string.h>

#include "config.h"
#include "ipc/cleanup.h"
#include "supervisor/operator/connection.h"
#include "supervisor/operator/io.bpftune.varlink.h"
#include "supervisor/operator/limits_met.h"
#include "supervisor/operator/status.h"

#define LOG_LINES 100

static void get_info(const struct call *call)
{
	call_reply(call, json_pack("{s:s s:s s:s s:s s:[s s]}", "vendor", "bpftune", "product", "bpftune", "version",
				   PACKAGE_VERSION, "url", PACKAGE_URL, "interfaces", "org.varlink.service",
				   "io.bpftune"), false);
}

static void get_interface(const struct call *call)
{
	static const char service[] =
		"interface org.varlink.service\n"
		"method GetInfo() -> (vendor: string, product: string, version: string, url: string, interfaces: []string)\n"
		"method GetInterfaceDescription(interface: string) -> (description: string)\n"
		"error InterfaceNotFound (interface: string)\n"
		"error MethodNotFound (method: string)\n"
		"error MethodNotImplemented (method: string)\n"
		"error InvalidParameter (parameter: string)\n"
		"error ExpectedMore ()\n";
	const char *interface = json_string_value(json_object_get(call->parameters, "interface"));

	if (!strcmp(interface, "io.bpftune"))
		call_reply(call, json_pack("{s:s}", "description", io_bpftune_varlink), false);
	else if (!strcmp(interface, "org.varlink.service"))
		call_reply(call, json_pack("{s:s}", "description", service), false);
	else
		call_fail(call, "org.varlink.service.InterfaceNotFound", json_pack("{s:s}", "interface", interface));
}

static void fail_parameter(const struct call *call, const char *name)
{
	call_fail(call, "org.varlink.service.InvalidParameter", json_pack("{s:s}", "parameter", name));
}

/* The `container` parameter: its instance's id, 0 when absent. False: an error was sent. */
static bool container_of_call(const struct call *call, bool ended_too, uint64_t *ret_id)
{
	const struct operator *operator = call->connection->operator;
	const char *container = json_string_value(json_object_get(call->parameters, "container"));
	const struct instance *instance;
	int error;

	*ret_id = 0;
	if (!container)
		return true;
	instance = instance_find(operator->instances, container);
	error = instance ? 0 : errno;
	if (instance)
		*ret_id = instance->view.id;
	else if (error == ENOENT && ended_too)
		*ret_id = streams_find_ended(&operator->streams, container);
	if (!*ret_id)
		call_fail(call, error == ENOTUNIQ ? "io.bpftune.AmbiguousContainer" :
				error == EACCES ? "io.bpftune.PermissionDenied" : "io.bpftune.NoSuchContainer",
			  json_pack("{s:s}", "container", container));
	return *ret_id != 0;
}

/* Of a call that must name a container, or say `all`: the container's instance; NULL: all. False: an error was sent. */
static bool target_of_call(const struct call *call, struct instance **ret_only)
{
	bool all = json_is_true(json_object_get(call->parameters, "all"));
	uint64_t id;

	if (!container_of_call(call, false, &id))
		return false;
	if (all == (id != 0)) {
		fail_parameter(call, all ? "all" : "container");
		return false;
	}
	*ret_only = id ? instance_by_id(call->connection->operator->instances, id) : NULL;
	return true;
}

static void get_status(const struct call *call)
{
	bpf_time_runs(&call->connection->operator->kernel->host);
	call_reply(call, status_json(call->connection->operator), false);
}

static void get_tuners(const struct call *call)
{
	bpf_time_runs(&call->connection->operator->kernel->host);
	call_reply(call, status_tuners_json(call->connection->operator), false);
}

/* --- one instance a reply ----------------------------------------------------------------------- */

#define LISTED_AT_ONCE 4 /* then all else gets its turn: an event waits for less than 0.5 ms */

static const struct instance *skip_claims(const struct instance *instance)
{
	while (instance && instance_is_claim(instance))
		instance = instance->by_id.next;
	return instance;
}

static json_t *listed(const struct connection *connection, const struct instance *instance)
{
	return json_pack("{s:o}", "instance", instance ? status_instance_json(connection->operator, instance, connection->is_brief) :
						json_null());
}

static void list(struct connection *connection)
{
	const struct call call = { .connection = connection };

	connection_hold(connection);
	for (int i = 0; i < LISTED_AT_ONCE && connection->go_on && !connection->closing; i++) {
		const struct instance *instance = skip_claims(connection->listed_next);

		connection->listed_next = instance ? skip_claims(instance->by_id.next) : NULL;
		connection->go_on = connection->listed_next ? list : NULL;
		call_reply(&call, listed(connection, instance), connection->listed_next != NULL);
	}
	connection_release(connection);
}

static void list_instances(const struct call *call)
{
	struct connection *connection = call->connection;
	const struct operator *operator = connection->operator;
	uint64_t id;

	if (!container_of_call(call, false, &id))
		return;
	connection->is_brief = json_is_true(json_object_get(call->parameters, "brief"));
	if (id) {
		limits_reply(call, instance_by_id(operator->instances, id));
	} else if (!call->more) {
		call_fail(call, "org.varlink.service.ExpectedMore", json_object());
	} else if (!call->oneway) {
		connection->go_on = list;
		connection->listed_next = operator->instances->by_id;
		list(connection);
	}
}

/* --- log, rollback, resume ---------------------------------------------------------------------- */

static void append_record(void *arg, const struct log_record *record)
{
	json_array_append_new(arg, log_json(record));
}

static void get_log(const struct call *call)
{
	struct connection *connection = call->connection;
	struct operator *operator = connection->operator;
	json_t *lines = json_object_get(call->parameters, "lines"), *records;
	json_int_t n = json_is_integer(lines) ? json_integer_value(lines) : LOG_LINES;
	uint64_t id;

	if (n < 0) {
		fail_parameter(call, "lines");
		return;
	}
	if (!container_of_call(call, true, &id))
		return;
	records = json_array();
	streams_read(&operator->streams, id, n, append_record, records);
	connection->follow_instance = id;
	connection->following = call->more && !(id && !instance_by_id(operator->instances, id));
	call_reply(call, json_pack("{s:o s:i}", "records", records, "missed", 0), connection->following);
}

static void on_rolled_back(void *arg, json_t *result)
{
	struct connection *connection = arg;
	struct call call = { .connection = connection };

	if (!connection)
		return; /* it left */
	connection->rollback = NULL;
	if (result)
		call_reply(&call, json_incref(result), false);
	else
		connection_close(connection);
}

static void roll_back(const struct call *call)
{
	struct connection *connection = call->connection;
	struct operator *operator = connection->operator;
	struct instance *only;

	if (!target_of_call(call, &only))
		return;
	if (json_is_true(json_object_get(call->parameters, "dry_run")) || operator->dry_run)
		call_reply(call, json_pack("{s:[] s:[] s:o}", "restored", "left", "plan", rollback_plan(operator->changes, only)), false);
	else if (connection->rollback || operator->stopping)
		call_fail(call, "io.bpftune.Busy", json_object());
	else if (call->oneway)
		rollback_start(operator->changes, only, true, on_rolled_back, NULL);
	else
		connection->rollback = rollback_start(operator->changes, only, true, on_rolled_back, connection);
}

static void resume(const struct call *call)
{
	struct operator *operator = call->connection->operator;
	const char *tuner = json_string_value(json_object_get(call->parameters, "tuner"));
	uint64_t id;
	int n;

	if (!container_of_call(call, false, &id))
		return;
	n = changes_resume(operator->changes, instance_by_id(operator->instances, id), tuner);
	if (n < 0)
		call_fail(call, "io.bpftune.NoSuchTuner", json_pack("{s:s}", "tuner", tuner));
	else
		call_reply(call, json_pack("{s:i}", "resumed", n), false);
}

/* --- off, on ------------------------------------------------------------------------------------ */

/* Of an instance, the tuners of that name (NULL: all) that are turned off, and why. */
static json_t *off_json(const struct operator *operator, const struct instance *instance, const char *tuner)
{
	const struct plugins *plugins = &operator->kernel->plugins;
	json_t *off = json_array();

	for (size_t i = 0; instance && i < plugins->n; i++)
		if (!plugins_is_removed(plugins, i) && (!tuner || !strcmp(tuner, plugins->tuners[i]->name)) &&
		    changes_tuner_state(operator->changes, instance, i) == TUNER_OFF)
			json_array_append_new(off, json_pack("{s:s s:s*}", "tuner", plugins->tuners[i]->name, "why",
							     changes_tuner_why(operator->changes, instance, i)));
	return off;
}

static void switch_tuners(const struct call *call, bool off)
{
	struct operator *operator = call->connection->operator;
	const char *tuner = json_string_value(json_object_get(call->parameters, "tuner")), *path;
	struct instance *only;
	unsigned int switched;
	int err;

	if (!target_of_call(call, &only))
		return;
	err = changes_switch(operator->changes, only, tuner, off, &switched, &path);
	if (err == -ENOENT)
		call_fail(call, "io.bpftune.NoSuchTuner", json_pack("{s:s}", "tuner", tuner));
	else if (err)
		call_fail(call, "io.bpftune.NotKept", json_pack("{s:s s:s}", "file", path, "why", strerror(-err)));
	else if (off)
		call_reply(call, json_pack("{s:i}", "switched", (int)switched), false);
	else
		call_reply(call, json_pack("{s:i s:o}", "switched", (int)switched, "off", off_json(operator, only, tuner)),
			   false);
}

static void turn_off(const struct call *call)
{
	switch_tuners(call, true);
}

static void turn_on(const struct call *call)
{
	switch_tuners(call, false);
}

/* --- the table ---------------------------------------------------------------------------------- */

#define PARAMETERS_MAX 3

struct parameter {
	const char *name; /* NULL: there are no more */
	enum { TEXT, INTEGER, TRUTH } type;
	bool is_required; /* else it may be absent, or null */
};

static const struct method {
	const char *name;
	void (*handle)(const struct call *call);
	struct parameter parameters[PARAMETERS_MAX];
	bool changes; /* something: not for observers */
} methods[] = {
	{ "org.varlink.service.GetInfo", get_info, {} },
	{ "org.varlink.service.GetInterfaceDescription", get_interface, { { "interface", TEXT, true } } },
	{ "io.bpftune.GetStatus", get_status, {} },
	{ "io.bpftune.GetTuners", get_tuners, {} },
	{ "io.bpftune.ListInstances", list_instances, { { "container", TEXT }, { "brief", TRUTH } } },
	{ "io.bpftune.GetLog", get_log, { { "container", TEXT }, { "lines", INTEGER } } },
	{ "io.bpftune.Rollback", roll_back, { { "container", TEXT }, { "all", TRUTH }, { "dry_run", TRUTH } }, true },
	{ "io.bpftune.Off", turn_off, { { "container", TEXT }, { "all", TRUTH }, { "tuner", TEXT } }, true },
	{ "io.bpftune.On", turn_on, { { "container", TEXT }, { "all", TRUTH }, { "tuner", TEXT } }, true },
	{ "io.bpftune.Resume", resume, { { "container", TEXT, true }, { "tuner", TEXT } }, true },
};

static const struct parameter *find_parameter(const struct method *method, const char *name)
{
	for (size_t i = 0; i < PARAMETERS_MAX && method->parameters[i].name; i++)
		if (!strcmp(method->parameters[i].name, name))
			return &method->parameters[i];
	return NULL;
}

static bool is_of_type(const struct parameter *parameter, const json_t *value)
{
	switch (parameter->type) {
	case TEXT:
		return json_is_string(value);
	case INTEGER:
		return json_is_integer(value);
	case TRUTH:
		return json_is_boolean(value);
	}
	return false;
}

/* The first parameter of the call that the method does not take, takes in another type, or lacks. NULL: all are right. */
static const char *wrong_parameter(const struct method *method, json_t *parameters)
{
	const struct parameter *parameter;
	const char *name;
	json_t *value;

	if (parameters && !json_is_object(parameters) && !json_is_null(parameters))
		return "parameters";
	json_object_foreach(parameters, name, value) {
		parameter = find_parameter(method, name);
		if (!parameter || !(is_of_type(parameter, value) || (json_is_null(value) && !parameter->is_required)))
			return name;
	}
	for (size_t i = 0; i < PARAMETERS_MAX && method->parameters[i].name; i++)
		if (method->parameters[i].is_required && !json_object_get(parameters, method->parameters[i].name))
			return method->parameters[i].name;
	return NULL;
}

static void send_not_found(const struct call *call)
{
	const char *dot = strrchr(call->method, '.');
	size_t n = dot ? dot - call->method : 0;

	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		if (n && !strncmp(methods[i].name, call->method, n + 1)) {
			call_fail(call, "org.varlink.service.MethodNotFound", json_pack("{s:s}", "method", call->method));
			return;
		}
	call_fail(call, "org.varlink.service.InterfaceNotFound",
		  json_pack("{s:s%}", "interface", call->method, n));
}

void method_call(struct connection *connection, json_t *message)
{
	struct call call = {
		.connection = connection,
		.method = json_string_value(json_object_get(message, "method")),
		.parameters = json_object_get(message, "parameters"),
		.more = json_is_true(json_object_get(message, "more")),
		.oneway = json_is_true(json_object_get(message, "oneway")),
	};

	if (!call.method) {
		connection_close(connection);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		const char *wrong;

		if (strcmp(methods[i].name, call.method))
			continue;
		wrong = wrong_parameter(&methods[i], call.parameters);
		if (methods[i].changes && connection->is_observer)
			call_fail(&call, "io.bpftune.PermissionDenied", json_object());
		else if (wrong)
			fail_parameter(&call, wrong);
		else
			methods[i].handle(&call);
		return;
	}
	send_not_found(&call);
}
