// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker/worker.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>
#include <uv.h>

#include "ipc/cleanup.h"
#include "ipc/pipe.h"
#include "worker/confine.h"
#include "worker/limits_met.h"
#include "worker/memory.h"
#include "worker/remedy.h"
#include "worker/tunable.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

#define TICK_MS 1000
#define TICKS 2		 /* after an event */
#define TICKS_TO_JUDGE 3 /* after a change: one to begin a window, one to end it, and one may come late */
#define REREAD_MS 100
#define NSEC_PER_MSEC UINT64_C(1000000)
#define DECAY_LOOK_MS (10 * 60 * 1000)

struct serving {
	struct worker worker;
	struct record_reader events;
	uv_poll_t poll;
	uv_timer_t tick;
	unsigned int ticks; /* to come, if no event does */
	uv_timer_t reread;
	uv_timer_t wake;
	uv_timer_t decay; /* while a remedy has something that may be taken back for want of trouble */
};

uint64_t worker_netns_cookie(void)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint64_t cookie;
	socklen_t size = sizeof(cookie);

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) < 0)
		return 0;
	return cookie;
}

/* The worker's last words; errno in `error`. Nothing more to do: the supervisor decides what follows. */
static _Noreturn void give_up(const struct worker *worker, const char *what, int error)
{
	bpftune_log(worker->instance, LOG_ERR, "worker cannot %s: %s", what, strerror(-error));
	_exit(EXIT_FAILURE);
}

static void forget_parents_signals(void)
{
	sigset_t none;

	signal(SIGCHLD, SIG_DFL); /* it and the next four are all that the supervisor handles */
	/* A terminal's ^C, or a service manager's TERM to the whole group, is for the supervisor: its end of
	 * file is what ends a worker, in order. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void enter_namespace(struct worker *worker, int *netns_fd)
{
	if (*netns_fd >= 0 && setns(*netns_fd, CLONE_NEWNET) < 0)
		give_up(worker, "enter the network namespace", -errno);
	close_fdp(netns_fd);
	if (worker_netns_cookie() == worker->instance->netns_cookie)
		return;
	bpftune_log(worker->instance, LOG_ERR, "worker has come into another network namespace than its own: it ends");
	_exit(EXIT_FAILURE);
}

static struct engine *engine_of(struct worker *worker, uint16_t tuner)
{
	return tuner < worker->n_engines && !worker->engines[tuner].off ? &worker->engines[tuner] : NULL;
}

static void on_reread(uv_timer_t *timer)
{
	struct serving *serving = timer->data;

	tunable_read_doubtful(&serving->worker);
}

void bpftune_wake(struct bpftune *b, uint32_t after_ms)
{
	(void)b;
	tunable_worker()->running->wake_ns = uv_hrtime() + after_ms * NSEC_PER_MSEC;
}

static void on_wake(uv_timer_t *timer);

/* A handler has run, which may have asked for it. */
static void set_alarm(struct serving *serving)
{
	const struct worker *worker = &serving->worker;
	uint64_t next_ns = UINT64_MAX, now_ns;

	for (size_t i = 0; i < worker->n_engines; i++)
		if (worker->engines[i].wake_ns && worker->engines[i].wake_ns < next_ns)
			next_ns = worker->engines[i].wake_ns;
	if (next_ns == UINT64_MAX)
		return;
	now_ns = uv_hrtime();
	uv_update_time(serving->wake.loop);
	uv_timer_start(&serving->wake, on_wake, next_ns > now_ns ? (next_ns - now_ns) / NSEC_PER_MSEC + 1 : 0, 0);
}

static void on_wake(uv_timer_t *timer)
{
	struct serving *serving = timer->data;
	struct worker *worker = &serving->worker;

	worker->now_ns = uv_hrtime();
	for (size_t i = 0; i < worker->n_engines; i++) {
		struct engine *engine = worker->running = &worker->engines[i];

		if (engine->off || !engine->wake_ns || engine->wake_ns > worker->now_ns)
			continue;
		engine->wake_ns = 0;
		if (engine->tuner->wake)
			engine->tuner->wake(worker->instance, engine->state);
	}
	worker->running = NULL;
	set_alarm(serving);
}

static void on_tick(uv_timer_t *timer)
{
	struct serving *serving = timer->data;
	struct worker *worker = &serving->worker;

	if (!--serving->ticks)
		uv_timer_stop(timer); /* idle: never wake up */
	worker->now_ns = uv_hrtime();
	for (size_t i = 0; i < worker->n_engines; i++) {
		struct engine *engine = worker->running = &worker->engines[i];

		if (!engine->off && engine->tuner->tick)
			engine->tuner->tick(worker->instance, engine->state);
	}
	worker->running = NULL;
	remedies_tick(worker);
	set_alarm(serving);
}

static void go_on_ticking(struct serving *serving, unsigned int ticks)
{
	if (serving->ticks < ticks)
		serving->ticks = ticks;
	if (!uv_is_active((uv_handle_t *)&serving->tick))
		uv_timer_start(&serving->tick, on_tick, TICK_MS, TICK_MS);
}

static void on_decay(uv_timer_t *timer)
{
	struct serving *serving = timer->data;

	serving->worker.now_ns = uv_hrtime();
	remedies_tick(&serving->worker);
	go_on_ticking(serving, TICKS);
	if (!remedies_may_decay(&serving->worker))
		uv_timer_stop(timer);
}

static void settle(struct serving *serving)
{
	remedies_settle(&serving->worker);
	if (remedies_are_judging(&serving->worker))
		go_on_ticking(serving, TICKS_TO_JUDGE);
	if (!uv_is_active((uv_handle_t *)&serving->decay) && remedies_may_decay(&serving->worker))
		uv_timer_start(&serving->decay, on_decay, DECAY_LOOK_MS, DECAY_LOOK_MS);
}

static void tell_limits_met(const struct worker *worker)
{
	const struct bpftune *instance = worker->instance;
	struct bpftune_report report = { .kind = BPFTUNE_LIMITS_MET, .tuner = BPFTUNE_FROM_SUPERVISOR };
	struct limits_met met = { .read_ns = uv_hrtime() };

	limits_met_read(instance->id == BPFTUNE_HOST_ID || instance->shares_netns, &met);
	memcpy(report.text, &met, sizeof(met));
	record_write(worker->report_fd, &report, sizeof(report));
}

static void take_order(struct serving *serving, const struct bpftune_event *event)
{
	struct worker *worker = &serving->worker;
	const struct bpftune_owner *owner = (const struct bpftune_owner *)event->payload;
	uint64_t asker;

	switch (event->scenario) {
	case BPFTUNE_GRANT:
	case BPFTUNE_REFUSE:
		tunable_answer(worker, owner, event->scenario == BPFTUNE_GRANT);
		break;
	case BPFTUNE_READ:
		if (tunable_read(worker, owner, event->time_ns))
			uv_timer_start(&serving->reread, on_reread, REREAD_MS, 0);
		break;
	case BPFTUNE_RESTORE:
		tunable_restore(worker, (const struct bpftune_restore *)event->payload);
		break;
	case BPFTUNE_ASKER_GONE:
		memcpy(&asker, event->payload, sizeof(asker));
		remedies_end_asker(worker, asker);
		go_on_ticking(serving, TICKS); /* the tuners look what has become of it */
		break;
	case BPFTUNE_COUNT:
		tell_limits_met(worker);
		return; /* nothing has changed */
	}
	settle(serving);
}

static void on_event(void *arg, const void *record)
{
	struct serving *serving = arg;
	struct worker *worker = &serving->worker;
	const struct bpftune_event *event = record;
	struct engine *engine = engine_of(worker, event->tuner);

	worker->now_ns = uv_hrtime();
	if (event->tuner == BPFTUNE_FROM_SUPERVISOR) {
		take_order(serving, event);
		return;
	}
	if (!engine || event->scenario >= engine->tuner->n_scenarios)
		return;
	if (!uv_is_active((uv_handle_t *)&serving->tick))
		remedies_wake(worker);
	engine->heard_ns = worker->now_ns;
	if (event->asker)
		engine->n_askers = event->n_askers;
	worker->running = engine;
	if (engine->tuner->event)
		engine->tuner->event(worker->instance, engine->state, event);
	worker->running = NULL;
	set_alarm(serving);
	go_on_ticking(serving, TICKS);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct serving *serving = poll->data;
	int n = status < 0 ? status
			   : record_read(&serving->events, serving->worker.instance->event_fd, SIZE_MAX, on_event,
					 serving);

	(void)events;
	if (n < 0 && n != -EAGAIN)
		uv_stop(poll->loop);
}

static void recall(const struct worker *worker, const struct worker_start *start, struct engine *engine)
{
	size_t first = engine->number * N_BPFTUNE_MEMORY_KINDS;

	for (int kind = 0; start->memories && kind < N_BPFTUNE_MEMORY_KINDS; kind++)
		if (memory_take(engine, kind, &start->memories[first + kind]) < 0)
			give_up(worker, "start its tuners", -ENOMEM);
}

static void start_tuners(struct worker *worker, const struct worker_start *start)
{
	worker->engines = calloc(start->n_tuners ? start->n_tuners : 1, sizeof(*worker->engines));
	if (!worker->engines)
		give_up(worker, "start its tuners", -ENOMEM);
	worker->n_engines = start->n_tuners;
	worker->now_ns = uv_hrtime();
	for (size_t i = 0; i < start->n_tuners; i++) {
		struct engine *engine = worker->running = &worker->engines[i];
		int err;

		engine->tuner = start->tuners[i];
		engine->number = i;
		engine->tunables = calloc(engine->tuner->n_tunables + 1, sizeof(*engine->tunables));
		if (engine->tuner->state_size)
			engine->state = calloc(1, engine->tuner->state_size);
		if (!engine->tunables || (engine->tuner->state_size && !engine->state))
			give_up(worker, "start its tuners", -ENOMEM);
		recall(worker, start, engine);
		tunable_read_all(worker, engine);
		err = remedies_start(worker, engine);
		if (!err && engine->tuner->init)
			err = engine->tuner->init(worker->instance, &engine->state);
		engine->off = err < 0;
		if (err < 0)
			bpftune_log(worker->instance, LOG_WARNING, "tuner %s cannot start here: %s",
				    engine->tuner->name, strerror(-err));
	}
	worker->running = NULL;
}

/* Before the worker is confined: the loop's own descriptors count as root's, whose number has no limit. */
static void make_loop(struct serving *serving, uv_loop_t *loop)
{
	struct worker *worker = &serving->worker;
	int err;

	err = uv_loop_init(loop);
	if (!err)
		err = uv_poll_init(loop, &serving->poll, worker->instance->event_fd);
	if (!err)
		err = uv_timer_init(loop, &serving->tick);
	if (!err)
		err = uv_timer_init(loop, &serving->reread);
	if (!err)
		err = uv_timer_init(loop, &serving->wake);
	if (!err)
		err = uv_timer_init(loop, &serving->decay);
	serving->poll.data = serving->tick.data = serving->reread.data = serving;
	serving->wake.data = serving->decay.data = serving;
	if (!err)
		err = uv_poll_start(&serving->poll, UV_READABLE, on_readable);
	if (err)
		give_up(worker, "start its loop", err);
	uv_unref((uv_handle_t *)&serving->tick);
	uv_unref((uv_handle_t *)&serving->reread);
	uv_unref((uv_handle_t *)&serving->wake);
	uv_unref((uv_handle_t *)&serving->decay);
}

static void serve(struct serving *serving, uv_loop_t *loop)
{
	const struct bpftune_report ready = { .kind = BPFTUNE_READY, .tuner = BPFTUNE_FROM_SUPERVISOR };

	uv_update_time(loop);
	settle(serving);
	set_alarm(serving);
	record_write(serving->worker.report_fd, &ready, sizeof(ready));
	uv_run(loop, UV_RUN_DEFAULT);
}

_Noreturn void worker_main(const struct worker_start *start)
{
	int fds[N_WORKER_FDS];
	struct serving serving = {
		.worker = { .instance = start->instance, .dry_run = start->dry_run },
		.events = { .size = sizeof(struct bpftune_event) },
	};
	struct worker *worker = &serving.worker;
	uv_loop_t loop;
	int err;

	forget_parents_signals();
	tunable_set_worker(worker);
	start->instance->ring_fd = -1;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != start->supervisor)
		_exit(EXIT_FAILURE);
	memcpy(fds, start->fds, sizeof(fds));
	err = confine_descriptors(fds, N_WORKER_FDS);
	if (err)
		_exit(EXIT_FAILURE); /* which descriptor is which is not sure any more */
	start->instance->event_fd = fds[WORKER_EVENTS];
	worker->report_fd = fds[WORKER_REPORTS];
	worker->sysctls_fd = fds[WORKER_SYSCTLS];
	enter_namespace(worker, &fds[WORKER_NETNS]);
	make_loop(&serving, &loop);
	err = confine_worker(start->confinement, start->supervisor, worker->sysctls_fd, &worker->written_fd);
	if (err)
		give_up(worker, "become an ordinary user", err);
	start_tuners(worker, start);
	serve(&serving, &loop);
	for (size_t i = 0; i < worker->n_engines; i++)
		if (!worker->engines[i].off && worker->engines[i].tuner->fini)
			worker->engines[i].tuner->fini(worker->instance, worker->engines[i].state);
	_exit(EXIT_SUCCESS);
}
