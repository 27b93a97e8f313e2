// SPDX-License-Identifier: GPL-2.0-or-later
/* The room's start and end, and what it tells the service manager. */
#include <errno.h>
#include <stdio.h>
#include <syslog.h>

#include "supervisor/operator/control.h"
#include "supervisor/operator/limits_met.h"

#define NOTIFY_RETRY_MS 100

/* First that we are ready, until the service manager has taken that; then that the loop goes round. */
static void notify_manager(uv_timer_t *timer)
{
	struct operator *operator = timer->data;
	char lines[128];

	if (operator->notify.fd < 0)
		return;
	snprintf(lines, sizeof(lines), "%s\nSTATUS=instances: %u, workers: %u",
		 operator->said_ready ? "WATCHDOG=1" : "READY=1", HASH_CNT(by_id, operator->instances->by_id),
		 operator->workers->n_ready);
	if (notify_send(&operator->notify, lines) == -EAGAIN) {
		uv_timer_start(timer, notify_manager, NOTIFY_RETRY_MS, 0);
		return;
	}
	operator->said_ready = true;
	if (operator->notify.watchdog_ms)
		uv_timer_start(timer, notify_manager, operator->notify.watchdog_ms, 0);
}

void operator_say_stopping(struct operator *operator)
{
	notify_send(&operator->notify, "STOPPING=1");
}

static void log_left_out(struct operator *operator, const struct log_record *next, const char *owner, unsigned int n)
{
	char text[320];

	snprintf(text, sizeof(text), "%u records about namespaces of %.256s were left out", n,
		 owner && *owner ? owner : "no container");
	streams_log(&operator->streams, &(struct log_record){
						.instance = next->instance,
						.severity = LOG_WARNING,
						.container = next->container,
						.container_id = next->container_id,
						.text = text,
					});
}

void operator_log(struct operator *operator, const struct log_record *record)
{
	const struct instance *about = instance_by_id(operator->instances, record->instance);
	struct log_record whole = *record;
	const struct instance *instance =
		instance_by_id(operator->instances, record->caused_by ? record->caused_by : record->instance);
	struct owner_log *log = instance ? owner_log_of(operator->instances, instance) : NULL;
	unsigned int left_out;

	whole.container_id = about ? about->container_id : NULL;
	/* Every change is logged: tuners do not make many. */
	if (log && !record->tunable) {
		if (!log_budget_allows(log, uv_now(operator->loop), &left_out))
			return;
		if (left_out)
			log_left_out(operator, & whole, instance->owner, left_out);
	}
	streams_log(&operator->streams, &whole);
}

void operator_end(struct operator *operator, const struct instance *instance)
{
	streams_end(&operator->streams, instance->view.id, instance->is_mounted ? NULL : instance->owner);
	control_end(operator, instance);
	limits_end(operator, instance);
}

void operator_start(struct operator *operator)
{
	operator->started_ms = uv_now(operator->loop);
	operator->streams.on_record = (void (*)(void *, const struct log_record *))control_tell;
	operator->streams.arg = operator;
	uv_timer_init(operator->loop, &operator->notify_due);
	operator->notify_due.data = operator;
	limits_start(operator);
	notify_open(&operator->notify);
}

int operator_listen(struct operator *operator)
{
	int err = control_start(operator);

	if (!err)
		notify_manager(&operator->notify_due);
	return err;
}

void operator_stop(struct operator *operator)
{
	control_stop(operator);
	uv_close((uv_handle_t *)&operator->notify_due, NULL);
	uv_close((uv_handle_t *)&operator->limits_due, NULL);
}

void operator_close(struct operator *operator)
{
	limits_close(operator);
	streams_free(&operator->streams);
	notify_close(&operator->notify);
}
