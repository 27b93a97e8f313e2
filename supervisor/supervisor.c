// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/supervisor.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <uv.h>

#include "ipc/cleanup.h"
#include "ipc/exit.h"
#include "ipc/unshared.h"
#include "supervisor/changes/changes.h"
#include "supervisor/instances/instances.h"
#include "supervisor/kernel/kernel.h"
#include "supervisor/operator/operator.h"
#include "supervisor/workers/workers.h"
#include "worker/worker.h"

struct supervisor {
	struct options options;
	uv_loop_t loop;
	uv_signal_t signals[5]; /* as in watch_signals() */
	uv_prepare_t turn;	/* before the loop waits */
	struct ring ring;
	struct kernel kernel;
	struct instances instances;
	struct workers workers;
	struct changes changes;
	struct operator operator;
	struct tuner_dir tuner_dir;
	struct brief brief;
	int stop_signal; /* that came; 0: none */
	bool stopping;
	int status; /* the exit status */
};

/* --- an iteration of the loop ------------------------------------------------------------------- */

static bool on_event(void *arg, const struct bpftune_event *event)
{
	struct supervisor *s = arg;

	s->operator.events_received++;
	if (event->tuner != BPFTUNE_FROM_WATCH) {
		workers_event(&s->workers, event);
		return true;
	}
	if (event->scenario == BPFTUNE_SYSCTL_WRITTEN)
		changes_written(&s->changes, event);
	else if (!instances_event(&s->instances, event))
		s->workers.counters.unroutable++;
	return false;
}

static void on_freed(void *arg, struct instance *instance)
{
	struct supervisor *s = arg;

	workers_free(instance);
	changes_free(&s->changes, instance);
}

/* --- what the rooms tell ------------------------------------------------------------------------ */

static void on_log(void *arg, const struct log_record *record)
{
	struct supervisor *s = arg;

	operator_log(&s->operator, record);
}

static void on_begun(void *arg, struct instance *instance)
{
	struct supervisor *s = arg;

	changes_begun(&s->changes, instance);
}

static void on_paired(void *arg, struct instance *instance)
{
	struct supervisor *s = arg;

	workers_recount(&s->workers, instance);
	changes_paired(&s->changes, instance);
}

static void on_wanted(void *arg, struct instance *instance)
{
	struct supervisor *s = arg;

	workers_want(&s->workers, instance);
}

static void on_unused(void *arg, struct instance *instance, bool is_entered)
{
	struct supervisor *s = arg;

	workers_unused(&s->workers, instance, is_entered);
}

static void on_ready(void *arg, struct instance *instance)
{
	struct supervisor *s = arg;

	changes_ready(&s->changes, instance);
}

static void on_report(void *arg, struct instance *instance, const struct bpftune_report *report)
{
	struct supervisor *s = arg;

	if (report->kind == BPFTUNE_LIMITS_MET)
		operator_limits_met(&s->operator, instance, report);
	else
		changes_report(&s->changes, instance, report);
}

static void on_ended(void *arg, struct instance *instance)
{
	struct supervisor *s = arg;

	changes_end(&s->changes, instance);
	operator_end(&s->operator, instance);
	instances_end(&s->instances, instance);
}

static struct bpftune_memory on_remembered(void *arg, const struct bpftune *view, uint16_t tuner,
					   enum bpftune_memory_kind kind)
{
	const struct supervisor *s = arg;

	return changes_remembered(&s->changes, view, tuner, kind);
}

static void on_tuners(void *arg, uint64_t added, uint64_t removed)
{
	struct supervisor *s = arg;

	changes_tuners_changed(&s->changes, removed);
	if (added)
		workers_renew(&s->workers);
}

static void on_tuner_news(void *arg, int severity, const char *text)
{
	const struct supervisor *s = arg;

	instance_log(&s->instances, NULL, severity, "%s", text);
}

/* --- stop --------------------------------------------------------------------------------------- */

static void end_workers(void *arg, json_t *rolled_back)
{
	struct supervisor *s = arg;

	(void)rolled_back; /* the log has it */
	changes_summary(&s->changes);
	workers_end_all(&s->workers);
}

/* After the events: what somebody else wrote just now is not rolled back. */
static void stop(struct supervisor *s, int signal)
{
	operator_say_stopping(&s->operator);
	instance_log(&s->instances, NULL, LOG_INFO, "stopping on %s", strsignal(signal));
	s->stopping = s->instances.stopping = s->workers.stopping = s->changes.stopping = s->operator.stopping = true;
	if (s->options.rollback && !s->options.dry_run)
		rollback_start(&s->changes, NULL, false, end_workers, s);
	else
		end_workers(s, NULL);
}

/*
 * Before the loop waits: the one place where the ring is emptied, and where what has ended is freed. What came from workers
 * and clients when the loop last waited was noted then, not handled. Of a write the kernel tells before a worker can report
 * the value, or a client ask for it: so the event of the write is in the ring by now.
 */
static void on_turn(uv_prepare_t *prepare)
{
	struct supervisor *s = prepare->data;

	bool is_empty = ring_take(&s->ring, !s->stopping);

	workers_handle(&s->workers);
	brief_turn(&s->brief);
	if (is_empty)
		instances_ring_is_empty(&s->instances);
	operator_handle(&s->operator);
	if (s->stop_signal && !s->stopping)
		stop(s, s->stop_signal);
	instances_free_ended(&s->instances, on_freed);
	if (s->stopping && !s->instances.by_id)
		uv_stop(&s->loop);
}

static void on_started(void *arg)
{
	struct supervisor *s = arg;
	int err = s->stopping ? 0 : operator_listen(&s->operator);

	if (!err)
		return;
	fprintf(stderr, "bpftune: cannot listen on %s/control.sock: %s\n", s->options.run_dir, strerror(-err));
	s->status = EXIT_FAILED;
	s->stop_signal = SIGTERM;
}

static void on_signal(uv_signal_t *handle, int signal)
{
	struct supervisor *s = handle->data;

	if (signal == SIGCHLD)
		workers_child_ended(&s->workers);
	else
		s->stop_signal = signal;
}

/* --- start -------------------------------------------------------------------------------------- */

static void complain(void *arg, const char *text)
{
	const struct supervisor *s = arg;

	instance_log(&s->instances, NULL, LOG_WARNING, "%s", text);
}

static int watch_signals(struct supervisor *s)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGQUIT, SIGCHLD, SIGHUP };
	struct sigaction hangup = { 0 }; /* which nohup(1) has it ignore */
	size_t n = ARRAY_SIZE(numbers) - (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler == SIG_IGN);
	int err = 0;

	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < n && !err; i++) {
		err = uv_signal_init(&s->loop, &s->signals[i]);
		s->signals[i].data = s;
		if (!err)
			err = uv_signal_start(&s->signals[i], on_signal, numbers[i]);
	}
	return err;
}

static int begin_turns(struct supervisor *s)
{
	int err = ring_start(&s->ring);

	uv_prepare_init(&s->loop, &s->turn);
	s->turn.data = s;
	return err ? err : uv_prepare_start(&s->turn, on_turn);
}

static void make_rooms(struct supervisor *s)
{
	struct instances *instances = &s->instances;
	struct workers *workers = &s->workers;
	struct changes *changes = &s->changes;

	s->instances = (struct instances){
		.kernel = &s->kernel, .loop = &s->loop, .mounts_fd = -1, .arg = s,
		.listener = { on_log, on_begun, on_paired, on_wanted, on_unused, on_started },
	};
	s->workers = (struct workers){
		.kernel = &s->kernel, .instances = instances, .loop = &s->loop, .dry_run = s->options.dry_run, .arg = s,
		.stack = s, .listener = { on_ready, on_report, on_ended, on_remembered },
	};
	s->changes = (struct changes){
		.kernel = &s->kernel, .instances = instances, .workers = workers, .loop = &s->loop, .dry_run = s->options.dry_run,
	};
	s->operator = (struct operator){
		.kernel = &s->kernel, .instances = instances, .workers = workers, .changes = changes, .loop = &s->loop,
		.run_dir = s->options.run_dir, .dry_run = s->options.dry_run,
	};
	s->brief = (struct brief){ .loop = &s->loop, .host = &s->kernel.host };
	s->ring = (struct ring){ .loop = &s->loop, .host = &s->kernel.host, .event = on_event, .arg = s };
	s->tuner_dir = (struct tuner_dir){
		.kernel = &s->kernel, .loop = &s->loop, .path = s->options.plugin_dir, .fd = -1, .arg = s,
		.tell = on_tuner_news, .changed = on_tuners,
	};
}

static int fail(const char *doing, const char *what, int err, const char *hint)
{
	fprintf(stderr, "bpftune: cannot %s %s: %s%s\n", doing, what, strerror(-err), hint);
	return EXIT_FAILED;
}

/* Everything up to the running loop. An exit status; errors are said. */
static int start(struct supervisor *s)
{
	struct bpf_refusal refusal;
	uint64_t cookie = worker_netns_cookie();
	const char *doing, *path;
	int err;

	bpf_set_debug(s->options.debug);
	err = kernel_open(&s->kernel, cookie, &refusal);
	if (err) {
		fprintf(stderr, "bpftune: %s\n", refusal.text);
		return err == -EPERM ? EXIT_FAILED : EXIT_UNSUPPORTED;
	}
	log_open(s->options.to_stderr ? LOG_SINK_STDERR : LOG_SINK_AUTO);
	precondition_check_capabilities(complain, s);
	err = changes_open(&s->changes, s->options.run_dir, complain, s);
	if (err)
		return fail(s->changes.ledger.doing, s->changes.ledger.path, err, ledger_hint(&s->changes.ledger, err));
	err = changes_read_off(&s->changes, s->options.run_dir, s->options.state_dir, &path);
	if (err)
		return fail("read what is turned off in", path, err, " (without that file nothing is)");
	tuner_dir_start(&s->tuner_dir);
	err = kernel_open_tuners(&s->kernel, s->options.plugin_dir, complain, s);
	if (err)
		return fail("read the tuners' directory", s->options.plugin_dir, err, " (--plugin-dir names another)");
	task_raise_descriptor_limit();
	err = workers_start(&s->workers);
	if (err)
		return fail("prepare", "what workers may do", err, "");
	doing = "watch signals", err = watch_signals(s);
	if (!err)
		doing = "read the events", err = begin_turns(s);
	task_spare_children("anon_inode:bpf-map"); /* the ring buffer, too */
	uv_update_time(&s->loop); /* to load the programs may have taken more than ten seconds */
	if (!err)
		doing = "watch the network namespaces", err = instances_start(&s->instances, cookie);
	if (!err)
		doing = "look after the ledger", err = changes_start(&s->changes);
	if (err) {
		fprintf(stderr, "bpftune: cannot %s (run directory %s): %s\n", doing, s->options.run_dir, strerror(-err));
		return EXIT_FAILED;
	}
	workers_want(&s->workers, instance_host(&s->instances));
	return EXIT_DONE;
}

/* --- end ---------------------------------------------------------------------------------------- */

/* Handles that a start cut short has not initialised yet have no loop. */
static void close_if_open(uv_handle_t *handle)
{
	if (handle->loop && !uv_is_closing(handle))
		uv_close(handle, NULL);
}

static void end(struct supervisor *s)
{
	operator_stop(&s->operator);
	changes_stop(&s->changes);
	workers_stop(&s->workers);
	instances_stop(&s->instances);
	tuner_dir_stop(&s->tuner_dir);
	brief_stop(&s->brief);
	for (size_t i = 0; i < ARRAY_SIZE(s->signals); i++)
		close_if_open((uv_handle_t *)&s->signals[i]);
	ring_stop(&s->ring);
	close_if_open((uv_handle_t *)&s->turn);
	while (uv_run(&s->loop, UV_RUN_NOWAIT))
		;
	ring_free(&s->ring);
	while (s->instances.by_id)
		instances_end(&s->instances, s->instances.by_id);
	instances_free_ended(&s->instances, on_freed);
	workers_close(&s->workers);
	instances_close(&s->instances);
	kernel_close(&s->kernel);
	changes_close(&s->changes);
	operator_close(&s->operator);
	uv_loop_close(&s->loop);
}

int supervisor_run(const struct options *options)
{
	struct supervisor s = { .options = *options, .kernel.cgroupfs = { .fd = -1, .memory_fd = -1 } };
	_cleanup_(claim_drop) struct claim claim = CLAIM_NONE;
	int err;

	if (geteuid() != 0) {
		fprintf(stderr, "bpftune: cannot run: not root (use sudo)\n");
		return EXIT_FAILED;
	}
	task_set_up_malloc();
	unshared_for_json();
	setenv("UV_USE_IO_URING", "0", 1); /* libuv's rings would be a way around the workers' filter */
	make_rooms(&s);
	err = workers_reserve(&s.workers);
	if (err)
		return fail("reserve descriptors for", "workers", err, " (ulimit -n allows more)");
	if (!claim_take(&claim, options->run_dir, options->dry_run))
		return EXIT_FAILED;
	err = uv_loop_init(&s.loop);
	if (err)
		return fail("start", "the loop", err, "");
	operator_start(&s.operator);
	s.status = start(&s);
	if (!s.status)
		uv_run(&s.loop, UV_RUN_DEFAULT);
	end(&s);
	return s.status;
}
