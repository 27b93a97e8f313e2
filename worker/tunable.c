// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker/tunable.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "ipc/pipe.h"
#include "worker/sysctl.h"

/* A process is one worker and handlers are called with the instance only: this is their way back. */
static struct worker *self;

void tunable_set_worker(struct worker *worker)
{
	self = worker;
}

/* Blocks while the supervisor is behind: nothing that a worker says gets lost. */
static void send_report(const struct worker *worker, const struct bpftune_report *report)
{
	record_write(worker->report_fd, report, sizeof(*report));
}

static struct bpftune_report report_on(const struct engine *engine, enum bpftune_report_kind kind, uint16_t tunable)
{
	return (struct bpftune_report){
		.kind = kind,
		.tuner = engine ? engine->number : BPFTUNE_FROM_SUPERVISOR,
		.tunable = tunable,
	};
}

static bool is_ours(const struct worker *worker, const struct bpftune_tunable *tunable)
{
	return tunable->scope == BPFTUNE_SCOPE_NETNS || worker->instance->id == 1;
}

void tunable_read_all(struct worker *worker, struct engine *engine)
{
	for (size_t i = 0; i < engine->tuner->n_tunables; i++) {
		struct bpftune_report report = report_on(engine, BPFTUNE_VALUE, i);
		const struct bpftune_tunable *tunable = &engine->tuner->tunables[i];
		char *value = engine->tunables[i].value;

		if (!is_ours(worker, tunable))
			continue;
		report.error = sysctl_read(worker->sysctl_fd, tunable->name, value);
		memcpy(report.to, value, sizeof(report.to));
		send_report(worker, &report);
	}
}

const char *bpftune_value(const struct bpftune *b, unsigned int tunable)
{
	(void)b;
	return tunable < self->running->tuner->n_tunables ? self->running->tunables[tunable].value : "";
}

int bpftune_value_ints(const struct bpftune *b, unsigned int tunable, long long ret_ints[BPFTUNE_INTS_MAX])
{
	if (tunable >= self->running->tuner->n_tunables)
		return -EINVAL;
	return sysctl_parse_ints(bpftune_value(b, tunable), self->running->tuner->tunables[tunable].n_ints, ret_ints);
}

static int check(const struct worker *worker, const struct engine *engine, unsigned int tunable, const long long *ints)
{
	if (tunable >= engine->tuner->n_tunables || !engine->tuner->tunables[tunable].n_ints)
		return -EINVAL;
	if (!is_ours(worker, &engine->tuner->tunables[tunable]))
		return -EPERM;
	if (engine->tunables[tunable].pending)
		return -EBUSY;
	for (unsigned int i = 0; i < engine->tuner->tunables[tunable].n_ints; i++)
		if (ints[i] < INT_MIN || ints[i] > INT_MAX)
			return -ERANGE;
	return 0;
}

int bpftune_propose(struct bpftune *b, unsigned int tunable, const long long *ints, unsigned int scenario,
		    const struct bpftune_event *cause, const char *reason, ...)
{
	struct engine *engine = self->running;
	struct bpftune_report *intent;
	va_list args;
	int err;

	(void)b;
	err = check(self, engine, tunable, ints);
	if (err)
		return err;
	intent = &engine->tunables[tunable].intent;
	*intent = report_on(engine, BPFTUNE_INTENT, tunable);
	intent->scenario = scenario;
	intent->event_ns = cause ? cause->time_ns : 0;
	intent->asker = cause ? cause->asker : 0;
	memcpy(intent->from, engine->tunables[tunable].value, sizeof(intent->from));
	sysctl_format_ints(ints, engine->tuner->tunables[tunable].n_ints, intent->to);
	if (!strcmp(intent->from, intent->to))
		return -EALREADY;
	va_start(args, reason);
	vsnprintf(intent->text, sizeof(intent->text), reason, args);
	va_end(args);
	engine->tunables[tunable].pending = true;
	send_report(self, intent);
	return 0;
}

/* Writes `to` if the value is still `from`; fills in what the kernel made of it. */
static int carry_out(const struct worker *worker, const char *name, struct bpftune_report *change, char *value)
{
	int err = sysctl_read(worker->sysctl_fd, name, value);

	if (err)
		return err;
	if (strcmp(value, change->from))
		return -ESTALE;
	err = sysctl_write(worker->sysctl_fd, name, change->to);
	if (err)
		return err;
	err = sysctl_read(worker->sysctl_fd, name, value);
	memcpy(change->to, value, sizeof(change->to));
	return err;
}

void tunable_verdict(struct worker *worker, const struct bpftune_verdict *verdict, bool granted)
{
	struct engine *engine = verdict->tuner < worker->n_engines ? &worker->engines[verdict->tuner] : NULL;
	struct tunable *tunable;

	if (!engine || verdict->tunable >= engine->tuner->n_tunables)
		return;
	tunable = &engine->tunables[verdict->tunable];
	if (!tunable->pending)
		return;
	tunable->pending = false;
	if (!granted)
		return;
	tunable->intent.kind = BPFTUNE_CHANGE;
	tunable->intent.error = carry_out(worker, engine->tuner->tunables[verdict->tunable].name,
					  &tunable->intent, tunable->value);
	send_report(worker, &tunable->intent);
}

void bpftune_log(struct bpftune *b, int severity, const char *format, ...)
{
	struct bpftune_report report = report_on(self->running, BPFTUNE_LOG, 0);
	va_list args;

	(void)b;
	report.severity = severity;
	va_start(args, format);
	vsnprintf(report.text, sizeof(report.text), format, args);
	va_end(args);
	send_report(self, &report);
}
