// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/operator/limits_met.h"

#include <string.h>
#include <utlist.h>

#include "ipc/limits_met.h"
#include "supervisor/operator/status.h"

#define WAIT_MS 1000
#define RATE_MIN_NS UINT64_C(1000000000) /* between two readings that make a rate */

/* Of an instance that somebody has asked about. Rates are against the last reading that is a second old. */
struct limits_of {
	uint64_t instance;
	pid_t asked; /* the worker that has yet to answer; 0: none. One that has died never does */
	struct limits_met now, last, before;
	UT_hash_handle hh;
};

static struct limits_of *find(const struct operator* operator, uint64_t instance)
{
	struct limits_of *limits;

	HASH_FIND(hh, operator->limits, &instance, sizeof(instance), limits);
	return limits;
}

static struct limits_of *get(struct operator* operator, uint64_t instance)
{
	struct limits_of *limits = find(operator, instance);

	if (limits)
		return limits;
	limits = pool_get(&operator->limits_pool, sizeof(*limits));
	if (!limits)
		return NULL;
	limits->instance = instance;
	HASH_ADD(hh, operator->limits, instance, sizeof(limits->instance), limits);
	return limits;
}

static void forget(struct operator* operator, struct limits_of * limits)
{
	HASH_DEL(operator->limits, limits);
	pool_put(&operator->limits_pool, limits);
}

/* --- as JSON ------------------------------------------------------------------------------------ */

static bool has_tuner(const struct plugins *plugins, const char *name)
{
	for (size_t i = 0; i < plugins->n; i++)
		if (!plugins_is_removed(plugins, i) && !strcmp(plugins->tuners[i]->name, name))
			return true;
	return false;
}

/* NULL: there is none to compare with. */
static const struct limits_met *reading_before(const struct limits_of *limits)
{
	if (limits->last.read_ns && limits->now.read_ns >= limits->last.read_ns + RATE_MIN_NS)
		return &limits->last;
	return limits->before.read_ns && limits->before.read_ns < limits->now.read_ns ? &limits->before : NULL;
}

static json_t *rate_json(const struct limits_of *limits, size_t i)
{
	const struct limits_met *before = reading_before(limits);

	if (limit_met_kinds[i].is_now || !before || before->counts[i] > limits->now.counts[i])
		return json_null();
	return json_real(1e9 * (limits->now.counts[i] - before->counts[i]) / (limits->now.read_ns - before->read_ns));
}

static json_t *limits_json(const struct operator* operator, const struct instance * instance,
			   const struct limits_of *limits)
{
	bool is_host = instance->view.id == INSTANCE_HOST || instance->view.shares_netns;
	const struct limits_met *before = reading_before(limits);
	json_t *met = json_array();

	for (size_t i = 0; i < N_LIMITS_MET; i++) {
		const struct limit_met_kind *kind = &limit_met_kinds[i];
		bool has_owner = kind->tuner && has_tuner(&operator->kernel->plugins, kind->tuner);

		if (limits->now.counts[i] > INT64_MAX)
			continue; /* not known */
		json_array_append_new(met, json_pack("{s:s s:o s:s s:s s:I s:o s:o}", "name", kind->name, "tuner",
						     has_owner ? json_string(kind->tuner) : json_null(), "scope",
						     is_host ? "host" : "namespace", "since",
						     kind->is_now ? "now"
						     : is_host	  ? "boot"
								  : "namespace",
						     "count", (json_int_t)limits->now.counts[i], "per_second",
						     rate_json(limits, i), "over_s",
						     before ? json_real((limits->now.read_ns - before->read_ns) / 1e9)
							    : json_null()));
	}
	return met;
}

/* --- clients who wait --------------------------------------------------------------------------- */

static void answer(struct connection *connection, const struct call *call, const struct instance *instance,
		   const struct limits_of *limits)
{
	const struct operator* operator= connection->operator;
	json_t *json = instance ? status_instance_json(operator, instance, connection->is_brief) : json_null();

	connection->limits_instance = 0;
	if (json_is_object(json)) {
		json_object_set_new(json, "limits_met", limits ? limits_json(operator, instance, limits) : json_null());
		json_object_set_new(json, "limits_met_why",
				    limits			? json_null()
				    : worker_is_ready(instance) ? json_string("its worker does not answer")
								: json_string("it has no worker that is ready"));
	}
	call_reply(call, json_pack("{s:o}", "instance", json), false);
}

/* Those who wait for the instance of that id. NULL: it has ended. */
static void answer_all(struct operator* operator, uint64_t id, const struct instance *instance,
		       const struct limits_of *limits)
{
	struct connection *connection, *next;

	DL_FOREACH_SAFE(operator->connections, connection, next)
	if (connection->limits_instance == id)
		answer(connection, &(struct call){ .connection = connection }, instance, limits);
}

static void on_due(uv_timer_t *timer)
{
	struct operator* operator= timer->data;
	uint64_t now_ms = uv_now(operator->loop), next_ms = UINT64_MAX;
	struct connection *connection, *next;

	DL_FOREACH_SAFE(operator->connections, connection, next)
	{
		if (!connection->limits_instance)
			continue;
		if (connection->limits_due_ms <= now_ms)
			answer(connection, &(struct call){ .connection = connection },
			       instance_by_id(operator->instances, connection->limits_instance), NULL);
		else if (connection->limits_due_ms < next_ms)
			next_ms = connection->limits_due_ms;
	}
	if (next_ms != UINT64_MAX)
		uv_timer_start(timer, on_due, next_ms - now_ms, 0);
}

void limits_reply(const struct call *call, struct instance *instance)
{
	struct connection *connection = call->connection;
	struct operator* operator= connection->operator;
	struct limits_of *limits = worker_is_ready(instance) && !call->oneway ? get(operator, instance->view.id) : NULL;
	static const uint64_t none = 0;

	if (!limits) {
		answer(connection, call, instance, NULL);
		return;
	}
	if (limits->asked != instance->worker_pid)
		workers_order(operator->workers, instance, BPFTUNE_COUNT, &none, sizeof(none));
	limits->asked = instance->worker_pid;
	connection->limits_instance = instance->view.id;
	uv_update_time(operator->loop);
	connection->limits_due_ms = uv_now(operator->loop) + WAIT_MS;
	if (!uv_is_active((uv_handle_t *)&operator->limits_due))
		uv_timer_start(&operator->limits_due, on_due, WAIT_MS, 0);
}

/* --- what the room is told ---------------------------------------------------------------------- */

void operator_limits_met(struct operator* operator, const struct instance * instance,
			 const struct bpftune_report *report)
{
	struct limits_of *limits = find(operator, instance->view.id);

	if (!limits || limits->asked != instance->worker_pid)
		return; /* nobody has asked */
	limits->asked = 0;
	if (!limits->last.read_ns || limits->now.read_ns >= limits->last.read_ns + RATE_MIN_NS) {
		limits->before = limits->last;
		limits->last = limits->now;
	}
	memcpy(&limits->now, report->text, sizeof(limits->now));
	answer_all(operator, instance->view.id, instance, limits);
}

void limits_end(struct operator* operator, const struct instance * instance)
{
	struct limits_of *limits = find(operator, instance->view.id);

	answer_all(operator, instance->view.id, NULL, NULL);
	if (limits)
		forget(operator, limits);
}

void limits_start(struct operator* operator)
{
	uv_timer_init(operator->loop, &operator->limits_due);
	operator->limits_due.data = operator;
}

void limits_close(struct operator* operator)
{
	struct limits_of *limits, *next;

	HASH_ITER (hh, operator->limits, limits, next)
		forget(operator, limits);
	pool_close(&operator->limits_pool);
}
