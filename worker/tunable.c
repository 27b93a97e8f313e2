// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker/tunable.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "ipc/cleanup.h"
#include "ipc/pipe.h"
#include "worker/sysctl.h"

/* A process is one worker and handlers are called with the instance only: this is their way back. */
static struct worker *self;

void tunable_set_worker(struct worker *worker)
{
	self = worker;
}

struct worker *tunable_worker(void)
{
	return self;
}

/* Blocks while the supervisor is behind: nothing that a worker says gets lost. */
static void send_report(const struct worker *worker, const struct bpftune_report *report)
{
	record_write(worker->report_fd, report, sizeof(*report));
}

static int write_value(const char *name, const char *value)
{
	_cleanup_close_ int dir_fd = open("/proc/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);

	return dir_fd < 0 ? -errno : sysctl_write(dir_fd, name, value);
}

static struct bpftune_report report_on(const struct engine *engine, enum bpftune_report_kind kind, uint16_t tunable)
{
	return (struct bpftune_report){
		.kind = kind,
		.tuner = engine ? engine->number : BPFTUNE_FROM_SUPERVISOR,
		.tunable = tunable,
	};
}

bool tunable_is_ours(const struct worker *worker, const struct bpftune_tunable *tunable)
{
	if (tunable->scope == BPFTUNE_SCOPE_HOST)
		return worker->instance->id == BPFTUNE_HOST_ID;
	return !worker->instance->shares_netns;
}

static void report_value(struct worker *worker, struct engine *engine, unsigned int i, enum bpftune_look look)
{
	struct bpftune_report report = report_on(engine, BPFTUNE_VALUE, i);
	const struct bpftune_tunable *tunable = &engine->tuner->tunables[i];
	char *value = engine->tunables[i].value, *ours = engine->tunables[i].ours;

	if (!tunable_is_ours(worker, tunable))
		return;
	report.scenario = look;
	if (look == BPFTUNE_LOOK_AGAIN)
		report.event_ns = engine->tunables[i].doubtful_ns;
	report.error = sysctl_read(worker->sysctls_fd, tunable->name, value);
	if (report.error)
		*value = '\0';
	else if (!*ours)
		memcpy(ours, value, BPFTUNE_VALUE_BYTES);
	memcpy(report.to, value, sizeof(report.to));
	send_report(worker, &report);
}

void tunable_read_all(struct worker *worker, struct engine *engine)
{
	for (size_t i = 0; i < engine->tuner->n_tunables; i++)
		report_value(worker, engine, i, BPFTUNE_LOOK);
}

void bpftune_read_again(struct bpftune *b, unsigned int tunable)
{
	(void)b;
	if (tunable < self->running->tuner->n_tunables && !*self->running->tunables[tunable].value)
		report_value(self, self->running, tunable, BPFTUNE_LOOK);
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

/* What tunable an order or a proposal is about; NULL: none of ours. */
static struct tunable *find(const struct worker *worker, const struct bpftune_owner *owner, struct engine **ret_engine,
			    const struct bpftune_tunable **ret_what)
{
	struct engine *engine = owner->tuner < worker->n_engines ? &worker->engines[owner->tuner] : NULL;

	if (!engine || owner->tunable >= engine->tuner->n_tunables ||
	    !tunable_is_ours(worker, &engine->tuner->tunables[owner->tunable]))
		return NULL;
	*ret_engine = engine;
	*ret_what = &engine->tuner->tunables[owner->tunable];
	return &engine->tunables[owner->tunable];
}

/* --- proposing ---------------------------------------------------------------------------------- */

__attribute__((format(printf, 6, 0))) static int propose(struct worker *worker, unsigned int index, const char *value,
							 unsigned int scenario, const struct bpftune_event *cause,
							 const char *reason, va_list args)
{
	struct engine *engine = worker->running;
	struct tunable *tunable;
	struct bpftune_report *intent;

	if (index >= engine->tuner->n_tunables || scenario >= engine->tuner->n_scenarios)
		return -EINVAL;
	if (!tunable_is_ours(worker, &engine->tuner->tunables[index]))
		return -EPERM;
	tunable = &engine->tunables[index];
	if (tunable->pending)
		return -EBUSY;
	if (!strcmp(tunable->value, value))
		return -EALREADY;
	intent = &tunable->intent;
	if (worker->dry_run && !strcmp(intent->from, tunable->value) && !strcmp(intent->to, value))
		return -EALREADY; /* said already */
	*intent = report_on(engine, worker->dry_run ? BPFTUNE_WOULD : BPFTUNE_INTENT, index);
	intent->scenario = scenario;
	intent->event_ns = cause ? cause->time_ns : 0;
	intent->asker = cause ? cause->asker : 0;
	memcpy(intent->from, tunable->value, sizeof(intent->from));
	snprintf(intent->to, sizeof(intent->to), "%s", value);
	vsnprintf(intent->text, sizeof(intent->text), reason, args);
	tunable->pending = !worker->dry_run;
	send_report(worker, intent);
	return 0;
}

int bpftune_propose(struct bpftune *b, unsigned int tunable, const long long *ints, unsigned int scenario,
		    const struct bpftune_event *cause, const char *reason, ...)
{
	const struct bpftune_tuner *tuner = self->running->tuner;
	const struct bpftune_tunable *what = tunable < tuner->n_tunables ? &tuner->tunables[tunable] : NULL;
	bool any = what && !what->min && !what->max;
	char value[BPFTUNE_VALUE_BYTES];
	va_list args;
	int err;

	(void)b;
	if (!what || !what->n_ints || what->n_ints > BPFTUNE_INTS_MAX)
		return -EINVAL;
	for (unsigned int i = 0; i < what->n_ints; i++)
		if (ints[i] < (any ? INT_MIN : what->min) || ints[i] > (any ? INT_MAX : what->max))
			return -ERANGE;
	sysctl_format_ints(ints, what->n_ints, value);
	va_start(args, reason);
	err = propose(self, tunable, value, scenario, cause, reason, args);
	va_end(args);
	return err;
}

int bpftune_propose_text(struct bpftune *b, unsigned int tunable, const char *text, unsigned int scenario,
			 const struct bpftune_event *cause, const char *reason, ...)
{
	const struct bpftune_tuner *tuner = self->running->tuner;
	va_list args;
	int err;

	(void)b;
	if (tunable >= tuner->n_tunables || tuner->tunables[tunable].n_ints)
		return -EINVAL;
	if (strlen(text) >= BPFTUNE_VALUE_BYTES)
		return -ERANGE;
	va_start(args, reason);
	err = propose(self, tunable, text, scenario, cause, reason, args);
	va_end(args);
	return err;
}

int bpftune_request(struct bpftune *b, const struct bpftune_event *event)
{
	struct bpftune_report request = report_on(self->running, BPFTUNE_REQUEST, 0);

	if (b->id == BPFTUNE_HOST_ID)
		return -EINVAL;
	request.scenario = event->scenario;
	request.event_ns = event->time_ns;
	memcpy(request.text, event->payload, sizeof(event->payload));
	send_report(self, &request);
	return 0;
}

/* --- carrying out ------------------------------------------------------------------------------- */

/*
 * Writes `to` if the value is still `from`, and reads back what the kernel made of it. -ESTALE: it is
 * another one by now, which `to` then holds.
 */
static void carry_out(struct worker *worker, const struct bpftune_tunable *what, struct tunable *tunable,
		      struct bpftune_report *change)
{
	int err = sysctl_read(worker->sysctls_fd, what->name, tunable->value);

	if (!err && strcmp(tunable->value, change->from))
		err = -ESTALE;
	if (!err)
		err = write_value(what->name, change->to);
	if (!err)
		err = sysctl_read(worker->sysctls_fd, what->name, tunable->value);
	if (!err)
		memcpy(tunable->ours, tunable->value, sizeof(tunable->ours));
	if (!err || err == -ESTALE)
		memcpy(change->to, tunable->value, sizeof(change->to));
	change->kind = BPFTUNE_CHANGE;
	change->error = err;
	send_report(worker, change);
}

void tunable_answer(struct worker *worker, const struct bpftune_owner *owner, bool granted)
{
	const struct bpftune_tunable *what;
	struct engine *engine;
	struct tunable *tunable = find(worker, owner, &engine, &what);

	if (!tunable || !tunable->pending)
		return;
	tunable->pending = false;
	if (granted)
		carry_out(worker, what, tunable, &tunable->intent);
}

void tunable_restore(struct worker *worker, const struct bpftune_restore *restore)
{
	const struct bpftune_tunable *what;
	struct bpftune_report change;
	struct engine *engine;
	struct tunable *tunable = find(worker, &restore->owner, &engine, &what);

	if (!tunable)
		return;
	change = report_on(engine, BPFTUNE_CHANGE, restore->owner.tunable);
	memcpy(change.from, tunable->ours, sizeof(change.from));
	memcpy(change.to, restore->value, sizeof(change.to));
	carry_out(worker, what, tunable, &change);
}

bool tunable_read(struct worker *worker, const struct bpftune_owner *owner, uint64_t order_ns)
{
	const struct bpftune_tunable *what;
	struct engine *engine;
	struct tunable *tunable = find(worker, owner, &engine, &what);

	if (!tunable)
		return false;
	report_value(worker, engine, owner->tunable, BPFTUNE_LOOK);
	tunable->doubtful_ns = *tunable->value ? order_ns : 0;
	return tunable->doubtful_ns;
}

void tunable_read_doubtful(struct worker *worker)
{
	for (size_t i = 0; i < worker->n_engines; i++) {
		struct engine *engine = &worker->engines[i];

		for (size_t j = 0; j < engine->tuner->n_tunables; j++) {
			if (engine->tunables[j].doubtful_ns)
				report_value(worker, engine, j, BPFTUNE_LOOK_AGAIN);
			engine->tunables[j].doubtful_ns = 0;
		}
	}
}

int bpftune_learnt(struct bpftune *b, const char *about, const struct bpftune_verdict *verdict, const char *format, ...)
{
	struct bpftune_report report = report_on(self->running, verdict ? BPFTUNE_VERDICT : BPFTUNE_LEARNT, 0);
	va_list args;

	(void)b;
	if (!*about)
		return -EINVAL;
	snprintf(report.from, sizeof(report.from), "%s", about);
	if (verdict)
		memcpy(report.to, verdict, sizeof(*verdict));
	va_start(args, format);
	vsnprintf(report.text, sizeof(report.text), format, args);
	va_end(args);
	send_report(self, &report);
	return 0;
}

void bpftune_forget(struct bpftune *b, const char *about)
{
	struct bpftune_report report = report_on(self->running, BPFTUNE_LEARNT, 0);

	(void)b;
	snprintf(report.from, sizeof(report.from), "%s", about);
	send_report(self, &report);
}

__attribute__((format(printf, 3, 0)))
static void log_about(uint64_t asker, int severity, const char *format, va_list args)
{
	struct bpftune_report report = report_on(self->running, BPFTUNE_LOG, 0);

	report.asker = asker;
	report.severity = severity;
	vsnprintf(report.text, sizeof(report.text), format, args);
	send_report(self, &report);
}

void bpftune_log(struct bpftune *b, int severity, const char *format, ...)
{
	va_list args;

	(void)b;
	va_start(args, format);
	log_about(0, severity, format, args);
	va_end(args);
}

void bpftune_log_event(struct bpftune *b, const struct bpftune_event *event, int severity, const char *format, ...)
{
	va_list args;

	(void)b;
	va_start(args, format);
	log_about(event->asker, severity, format, args);
	va_end(args);
}
