// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/supervisor.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <syslog.h>

#include "config.h"
#include "ipc/cleanup.h"
#include "supervisor/kernel/bpf_maps.h"
#include "supervisor/changes/learnt.h"
#include "supervisor/instances/pair.h"
#include "supervisor/changes/rollback.h"
#include "supervisor/workers/route.h"
#include "supervisor/operator/run_dir.h"
#include "supervisor/changes/summary.h"
#include "worker/confine.h"
#include "worker/worker.h"

void supervisor_log(struct supervisor *s, const struct instance *instance, int severity, const char *format, ...)
{
	char text[1024];
	va_list args;

	if (!instance)
		instance = instance_by_id(&s->registry, INSTANCE_HOST);
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (severity == LOG_DEBUG && !s->options.debug)
		return;
	streams_log(&s->streams, &(struct log_record){
		.instance = instance ? instance->pub.id : INSTANCE_HOST,
		.severity = severity,
		.container = instance ? instance->pub.name : "host",
		.text = text,
	});
}

enum tuner_state supervisor_tuner_state(const struct supervisor *s, const struct instance *instance, uint16_t tuner)
{
	const struct ledger_state *state =
		ledger_get_state(&s->ledger, instance->pub.netns_cookie, s->plugins.tuners[tuner]->name);

	return state ? state->state : TUNER_ACTIVE;
}

void supervisor_set_gate(struct supervisor *s, const struct instance *instance)
{
	bool ours = instance->pub.id != INSTANCE_HOST && instance->child.state == CHILD_READY;
	struct bpftune_gate gate = { .own_users = ours, .cgroup_id = instance->pub.cgroup_id };

	if (instance->pub.shares_netns)
		return; /* the gate is the host's */
	if (instance->pub.id == INSTANCE_HOST)
		gate.cgroup_id = 0; /* its tasks may be anywhere */
	for (const char *p = instance->pub.cgroup_path; gate.cgroup_id && *p; p++)
		gate.cgroup_level += *p == '/';

	for (size_t i = 0; i < s->plugins.n; i++)
		if (supervisor_tuner_state(s, instance, i) != TUNER_ACTIVE)
			gate.tuners_off |= 1ULL << i;
	bpf_set_gate(&s->host, instance->pub.netns_cookie, &gate);
}

void supervisor_set_tuner_state(struct supervisor *s, const struct instance *instance, uint16_t tuner,
				enum tuner_state state, const char *why)
{
	uint64_t cookie = instance->pub.netns_cookie;

	ledger_set_state(&s->ledger, cookie, s->plugins.tuners[tuner]->name, state, why);
	if (state == TUNER_MANUAL)
		bpf_take(&s->host, cookie, tuner);
	else
		bpf_untake(&s->host, cookie, tuner);
	supervisor_set_gate(s, instance);
}

void supervisor_order(struct supervisor *s, struct instance *instance, enum bpftune_order order, const void *payload,
		      size_t size)
{
	struct bpftune_event event = {
		.netns_cookie = instance->pub.netns_cookie,
		.tuner = BPFTUNE_FROM_SUPERVISOR,
		.scenario = order,
	};

	memcpy(event.payload, payload, size);
	child_send(s, instance, &event);
}

void supervisor_forget(struct supervisor *s, struct instance *instance)
{
	uint64_t id = instance->pub.id;

	rollback_drop(s, id);
	if (!s->stopping && !instance->pub.shares_netns)
		ledger_gone(&s->ledger, instance->pub.netns_cookie);
	watch_drop(s, instance);
	learnt_take_back(&s->host, instance);
	pair_let_go(s, instance);
	if (!instance->pub.shares_netns)
		bpf_forget(&s->host, instance->pub.netns_cookie);
	instance_free(&s->registry, instance);
	streams_end(&s->streams, id);
	control_end_follow(s, id);
	if (s->stopping && !s->registry.by_id)
		uv_stop(&s->loop);
}

#define PRUNE_MS 5000
#define PRUNE_ENTRIES 16384
#define EVENTS_AT_ONCE 256
#define RING_REST_MS 5

/* --- the loop's callbacks ----------------------------------------------------------------------- */

static int on_ring_event(void *arg, void *data, size_t size)
{
	struct supervisor *s = arg;

	if (size == sizeof(struct bpftune_event))
		s->hurry |= route_event(s, data);
	/* Whoever fills the ring as fast as we empty it must not keep us from all else. */
	return ++s->taken_at_once < EVENTS_AT_ONCE ? 0 : -EAGAIN;
}

void supervisor_take_events(struct supervisor *s)
{
	s->taken_at_once = 0;
	s->hurry = false;
	ring_buffer__consume(s->ring);
}

static void on_rested(uv_timer_t *timer);

/*
 * Who comes and goes can wait a little, and while the ring is not empty the kernel wakes nobody for more: where
 * namespaces come by the hundred, there is a wake-up for several.
 */
static void on_ring(uv_poll_t *poll, int status, int events)
{
	struct supervisor *s = poll->data;

	(void)status, (void)events;
	supervisor_take_events(s); /* the poll is level-triggered: what is left comes next */
	if (s->hurry || s->taken_at_once >= EVENTS_AT_ONCE)
		return;
	uv_poll_stop(&s->ring_poll);
	uv_timer_start(&s->ring_rest, on_rested, RING_REST_MS, 0);
}

static void on_rested(uv_timer_t *timer)
{
	struct supervisor *s = timer->data;

	uv_poll_start(&s->ring_poll, UV_READABLE, on_ring);
}

static void stop_workers(void *arg, json_t *rolled_back)
{
	struct supervisor *s = arg;
	struct instance *instance, *next;

	(void)rolled_back; /* what was put back, and what was left, is in the log */
	summary_log(s);
	HASH_ITER(by_id, s->registry.by_id, instance, next)
		child_step(s, instance, CHILD_STOP);
}

#define NOTIFY_RETRY_MS 100

/* To the service manager: first that we are ready, until it has taken that; then that the loop goes round. */
static void tell_manager(uv_timer_t *timer)
{
	struct supervisor *s = timer->data;
	unsigned int workers = 0;
	char lines[128];

	if (s->notify.fd < 0)
		return;
	for (const struct instance *i = s->registry.by_id; i; i = i->by_id.next)
		workers += i->child.state == CHILD_READY;
	snprintf(lines, sizeof(lines), "%s\nSTATUS=instances: %u, workers: %u", s->said_ready ? "WATCHDOG=1" : "READY=1",
		 HASH_CNT(by_id, s->registry.by_id), workers);
	if (notify_send(&s->notify, lines) == -EAGAIN) {
		uv_timer_start(timer, tell_manager, NOTIFY_RETRY_MS, 0);
		return;
	}
	s->said_ready = true;
	if (s->notify.watchdog_ms)
		uv_timer_start(timer, tell_manager, s->notify.watchdog_ms, 0);
}

static void stop(struct supervisor *s, int signal)
{
	if (s->stopping)
		return;
	notify_send(&s->notify, "STOPPING=1");
	supervisor_log(s, NULL, LOG_INFO, "stopping on %s", strsignal(signal));
	s->stopping = true; /* from now on no intent is granted */
	supervisor_take_events(s); /* what somebody else wrote just now is not rolled back */
	if (s->options.rollback && !s->options.dry_run)
		rollback_start(s, NULL, false, stop_workers, s);
	else
		stop_workers(s, NULL);
}

void supervisor_open_control(struct supervisor *s)
{
	int err;

	if (s->stopping)
		return;
	supervisor_take_events(s);
	err = control_start(s);
	if (!err) {
		tell_manager(&s->notify_due);
		return;
	}
	fprintf(stderr, "bpftune: cannot listen on %s/control.sock: %s\n", s->options.run_dir, strerror(-err));
	s->status = EXIT_FAILED;
	stop(s, SIGTERM);
}

static void on_signal(uv_signal_t *handle, int signal)
{
	struct supervisor *s = handle->data;

	if (signal == SIGCHLD)
		child_reap(s);
	else
		stop(s, signal);
}

/* --- start -------------------------------------------------------------------------------------- */

static void complain(void *arg, const char *text)
{
	supervisor_log(arg, NULL, LOG_WARNING, "%s", text);
}

static void say_refused_hooks(struct supervisor *s)
{
	for (size_t i = 0; i < s->host.n_hooks; i++) {
		const struct hook *hook = &s->host.hooks[i];

		if (hook->error)
			supervisor_log(s, NULL, LOG_WARNING, "%s: cannot use %s (%s): %s",
				       hook->tuner < s->plugins.n ? s->plugins.tuners[hook->tuner]->name : "watch",
				       hook->attach, hook->program, bpf_hook_error(hook));
	}
}

static void own_sysctls(struct supervisor *s, uint16_t number)
{
	const struct bpftune_tuner *tuner = s->plugins.tuners[number];

	for (uint16_t i = 0; i < tuner->n_tunables; i++) {
		const struct bpftune_owner owner = { .tuner = number, .tunable = i };
		int err = tuner->tunables[i].kind == BPFTUNE_SYSCTL ?
				  bpf_own_sysctl(&s->host, tuner->tunables[i].name, &owner) : 0;

		if (err)
			supervisor_log(s, NULL, LOG_WARNING, "an administrator's writes of %s will not be noticed at once: %s",
				       tuner->tunables[i].name, strerror(-err));
	}
}

static int open_tuners(struct supervisor *s)
{
	int err = plugins_open(&s->plugins, s->options.plugin_dir, complain, s);

	if (err) {
		fprintf(stderr, "bpftune: cannot read the tuners' directory %s: %s (--plugin-dir names another)\n",
			s->options.plugin_dir, strerror(-err));
		return err;
	}
	for (size_t i = 0; i < s->plugins.n; i++) {
		own_sysctls(s, i);
		err = bpf_attach_tuner(&s->host, s->plugins.tuners[i], i);
		if (err)
			supervisor_log(s, NULL, LOG_ERR, "cannot load the BPF programs of tuner %s: %s",
				       s->plugins.tuners[i]->name, strerror(-err));
	}
	say_refused_hooks(s);
	return 0;
}

static int open_host_instance(struct supervisor *s, uint64_t cookie)
{
	struct instance *host;
	struct stat netns, cgroup;

	if (stat("/proc/self/ns/net", &netns) < 0 || fstat(s->host.cgroup_fd, &cgroup) < 0)
		return -errno;
	host = instance_new(&s->registry, cookie, netns.st_ino);
	if (!host)
		return -ENOMEM;
	free(host->pub.name);
	host->pub.name = strdup("host");
	host->named = true; /* and of no container's limit */
	host->pub.cgroup_id = cgroup.st_ino;
	host->pub.ring_fd = s->host.shared_fds[SHARED_EVENTS];
	host->pid = getpid();
	return host->pub.name ? 0 : -ENOMEM;
}

static int watch_signals(struct supervisor *s)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGCHLD };
	int err = 0;

	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < ARRAY_SIZE(numbers) && !err; i++) {
		err = uv_signal_init(&s->loop, &s->signals[i]);
		s->signals[i].data = s;
		if (!err)
			err = uv_signal_start(&s->signals[i], on_signal, numbers[i]);
	}
	return err;
}

static int watch_ring(struct supervisor *s)
{
	int err;

	s->ring = ring_buffer__new(s->host.shared_fds[SHARED_EVENTS], on_ring_event, s, NULL);
	if (!s->ring)
		return -errno;
	err = uv_poll_init(&s->loop, &s->ring_poll, ring_buffer__epoll_fd(s->ring));
	uv_timer_init(&s->loop, &s->ring_rest);
	s->ring_poll.data = s->ring_rest.data = s;
	return err ? err : uv_poll_start(&s->ring_poll, UV_READABLE, on_ring);
}

static bool lives(void *arg, uint64_t netns_cookie)
{
	const struct supervisor *s = arg;

	return instance_by_cookie(&s->registry, netns_cookie) != NULL;
}

static void on_prune(uv_timer_t *timer)
{
	struct supervisor *s = timer->data;

	/* Cookies are never used again: an old entry does no harm, and its namespace may be held by a descriptor only. */
	if (HASH_COUNT(s->ledger.entries) > PRUNE_ENTRIES)
		ledger_prune(&s->ledger, lives, s);
}

static int watch_prune(struct supervisor *s)
{
	int err = uv_timer_init(&s->loop, &s->prune);

	s->prune.data = s;
	return err ? err : uv_timer_start(&s->prune, on_prune, PRUNE_MS, 0);
}

static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit); /* refused: then fewer workers fit */
	}
}

/* Everything up to the running loop. An exit status; errors are said. */
static int start(struct supervisor *s)
{
	struct bpf_refusal refusal;
	uint64_t cookie = worker_netns_cookie();
	const char *doing;
	int err;

	if (!cookie) {
		fprintf(stderr, "bpftune: cannot read SO_NETNS_COOKIE: %s (needs Linux 5.15 or newer)\n", strerror(errno));
		return EXIT_UNSUPPORTED;
	}
	bpf_set_debug(s->options.debug);
	err = bpf_open(&s->host, cookie, &refusal);
	if (err) {
		fprintf(stderr, "bpftune: %s\n", refusal.text);
		return err == -EPERM ? EXIT_FAILED : EXIT_UNSUPPORTED;
	}
	log_open(s->options.to_stderr ? LOG_SINK_STDERR : LOG_SINK_AUTO);
	err = ledger_open(&s->ledger, s->options.run_dir, complain, s);
	if (err) {
		fprintf(stderr, "bpftune: cannot write the ledger in %s: %s (no change is made without one)\n",
			s->options.run_dir, strerror(-err));
		return EXIT_FAILED;
	}
	if (open_tuners(s))
		return EXIT_FAILED;
	raise_descriptor_limit();
	confine_bounds();
	s->streams.told = (void (*)(void *, const struct log_record *))control_tell;
	s->streams.arg = s;
	doing = "make the host's instance";
	err = open_host_instance(s, cookie);
	if (!err)
		doing = "watch signals", err = watch_signals(s);
	if (!err)
		doing = "read the events", err = watch_ring(s);
	if (!err)
		doing = "watch the network namespaces", err = watch_start(s);
	if (!err)
		doing = "look after the ledger", err = watch_prune(s);
	if (err) {
		fprintf(stderr, "bpftune: cannot %s (run directory %s): %s\n", doing, s->options.run_dir, strerror(-err));
		return EXIT_FAILED;
	}
	child_step(s, instance_by_id(&s->registry, INSTANCE_HOST), CHILD_WANTED);
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
	control_stop(s);
	watch_stop(s);
	for (size_t i = 0; i < ARRAY_SIZE(s->signals); i++)
		close_if_open((uv_handle_t *)&s->signals[i]);
	close_if_open((uv_handle_t *)&s->ring_poll);
	close_if_open((uv_handle_t *)&s->ring_rest);
	close_if_open((uv_handle_t *)&s->prune);
	close_if_open((uv_handle_t *)&s->notify_due);
	while (uv_run(&s->loop, UV_RUN_NOWAIT))
		;
	ring_buffer__free(s->ring);
	bpf_close(&s->host);
	while (s->registry.by_id)
		instance_free(&s->registry, s->registry.by_id);
	plugins_close(&s->plugins);
	ledger_close(&s->ledger);
	streams_free(&s->streams);
	notify_close(&s->notify);
	uv_loop_close(&s->loop);
}

int supervisor_run(const struct options *options)
{
	struct supervisor s = { .options = *options, .host.cgroup_fd = -1, .watch.mounts_fd = -1 };
	_cleanup_close_ int lock_fd = -1;
	pid_t other = 0;
	int err;

	if (geteuid() != 0) {
		fprintf(stderr, "bpftune: cannot run: not root (use sudo)\n");
		return EXIT_FAILED;
	}
	/* Or the first large malloc() of each worker would merge what is free all over the supervisor's heap, and so copy it. */
#ifdef M_MXFAST
	mallopt(M_MXFAST, 0);
#endif
	err = run_dir_lock(options->run_dir, &lock_fd, &other);
	if (err) {
		if (err == -EALREADY)
			fprintf(stderr, "bpftune: a supervisor runs on %s already: pid %d (stop it, or name another --run-dir)\n",
				options->run_dir, other);
		else
			fprintf(stderr, "bpftune: cannot use the run directory %s: %s (--run-dir names another)\n",
				options->run_dir, strerror(-err));
		return EXIT_FAILED;
	}
	err = uv_loop_init(&s.loop);
	if (err) {
		fprintf(stderr, "bpftune: cannot start the loop: %s\n", strerror(-err));
		return EXIT_FAILED;
	}
	s.loop.data = &s;
	s.started_ms = uv_now(&s.loop);
	uv_timer_init(&s.loop, &s.notify_due);
	s.notify_due.data = &s;
	notify_open(&s.notify);
	s.status = start(&s);
	if (!s.status)
		uv_run(&s.loop, UV_RUN_DEFAULT);
	end(&s);
	return s.status;
}
