// SPDX-License-Identifier: GPL-2.0-or-later
/* Which worker an event or an order goes to. What names nothing that exists is counted, and goes nowhere. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "supervisor/instances/owner.h"
#include "supervisor/instances/registry.h"
#include "supervisor/workers/capacity.h"
#include "supervisor/workers/step.h"

static const struct bpftune_scenario scenarios[] = { { .name = "near" }, { .name = "none" } };
/* The last scenario is past the tuner's own. */
static const struct bpftune_tuner tuner = { .name = "only", .scenarios = scenarios, .n_scenarios = 1 };

/* An instance, whose worker is a pipe. */
struct fixture {
	struct kernel kernel;
	struct instances instances;
	struct workers workers;
	uv_loop_t loop;
	struct instance *instance;
	int read_fd;
	bool is_dead; /* the worker */
	unsigned int ended;
};

static struct fixture *fixture;

int waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
	assert_int_equal(type, P_PID);
	(void)options;
	info->si_pid = fixture->is_dead ? (pid_t)id : 0;
	return 0;
}

static void ignore_log(void *arg, const struct log_record *record)
{
	(void)arg, (void)record;
}

static void ignore_paired(void *arg, struct instance *instance)
{
	(void)arg, (void)instance;
}

static void on_ended(void *arg, struct instance *instance)
{
	assert_ptr_equal(arg, fixture);
	assert_string_equal(worker_state(instance), "gone");
	fixture->ended++;
}

static int open_route(void **state)
{
	struct child *child;
	int fds[2];

	fixture = calloc(1, sizeof(*fixture));
	*state = fixture;
	if (!fixture || pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0 || uv_loop_init(&fixture->loop) < 0)
		return -1;
	fixture->read_fd = fds[0];
	fixture->kernel = (struct kernel){
		.host = { .cgroup_fd = -1,
			  .netns_fd = -1,
			  .owned_fd = -1,
			  .own_pids_fd = -1,
			  .taken_fd = -1,
			  .shared_fds = { -1, -1, -1 } },
		.plugins = { .n = 1, .tuners = { &tuner } },
	};
	fixture->instances = (struct instances){
		.kernel = &fixture->kernel,
		.loop = &fixture->loop,
		.listener = { .log = ignore_log, .paired = ignore_paired },
		.arg = fixture,
	};
	fixture->workers = (struct workers){
		.loop = &fixture->loop,
		.kernel = &fixture->kernel,
		.instances = &fixture->instances,
		.listener = { .ended = on_ended },
		.arg = fixture,
	};
	workers_start(&fixture->workers);
	fixture->instance = registry_add(&fixture->instances, 101, 2001);
	child = fixture->instance ? child_of(&fixture->workers, fixture->instance) : NULL;
	if (!child)
		return -1;
	child->event_fd = fds[1];
	child->state = CHILD_READY;
	return 0;
}

static void drop(struct instance *instance)
{
	if (instance->child)
		child_step(instance->child, CHILD_STOP); /* lets go of its place, if there is no process */
	workers_free(instance);
	assert_null(instance->child);
	workers_free(instance); /* nothing is there any more */
	owner_uncount(&fixture->instances, instance);
	registry_remove(&fixture->instances, instance);
	registry_free(&fixture->instances, instance);
}

static int close_route(void **state)
{
	struct instance *instance, *next;

	(void)state;
	fixture->workers.stopping = true;
	if (fixture->instance->child) {
		close_fdp(&fixture->instance->child->event_fd);
		fixture->instance->child->state = CHILD_NONE;
	}
	HASH_ITER(by_id, fixture->instances.by_id, instance, next)
		drop(instance);
	for (const struct owner *owner = fixture->instances.owners; owner; owner = owner->hh.next)
		assert_int_equal(owner->n_users, 0);
	owners_free(&fixture->instances);
	close(fixture->read_fd);
	workers_stop(&fixture->workers);
	uv_run(&fixture->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&fixture->loop), 0);
	free(fixture);
	return 0;
}

/* Whether the worker of the only instance has got one. */
static bool hear(struct bpftune_event *event)
{
	return read(fixture->read_fd, event, sizeof(*event)) == sizeof(*event);
}

/* As if all workers there may be were taken: no process is forked. */
static void take_all_places(void)
{
	fixture->workers.n = WORKERS_MAX;
}

/* --- events ------------------------------------------------------------------------------------- */

static void test_events(void **state)
{
	static const struct {
		const char *what;
		struct bpftune_event event;
		bool routed;
	} cases[] = {
		{ "by cookie", { .netns_cookie = 101 }, true },
		{ "by instance", { .instance = 1, .netns_cookie = 101 }, true },
		{ "in a namespace made inside it", { .instance = 1, .netns_cookie = 999 }, false },
		{ "unknown cookie", { .netns_cookie = 102 }, false },
		{ "no cookie", { .netns_cookie = 0 }, false },
		{ "unknown instance", { .instance = 2, .netns_cookie = 101 }, false },
		{ "unknown tuner", { .netns_cookie = 101, .tuner = 1 }, false },
		{ "tuner past any", { .netns_cookie = 101, .tuner = BPFTUNE_TUNERS_MAX }, false },
		{ "an order from below", { .netns_cookie = 101, .tuner = BPFTUNE_FROM_SUPERVISOR }, false },
		{ "unknown scenario", { .netns_cookie = 101, .scenario = 1 }, false },
	};
	const struct workers_counters *counters = &fixture->workers.counters;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct workers_counters before = *counters;
		struct bpftune_event got;
		bool arrived;

		workers_event(&fixture->workers, &cases[i].event);
		arrived = hear(&got);
		if (arrived != cases[i].routed || counters->routed != before.routed + cases[i].routed ||
		    counters->unroutable != before.unroutable + !cases[i].routed)
			fail_msg("%s: %s", cases[i].what, arrived ? "arrived" : "went nowhere");
		if (arrived)
			assert_memory_equal(&got, &cases[i].event, sizeof(got));
	}
}

/* A container that shares the host's namespace has the host's cookie: the event says whose socket it is about. */
static void test_event_of_a_sharer(void **state)
{
	struct instance *sharer = registry_add_claim(&fixture->instances, "/docker/a");
	struct bpftune_event got;

	(void)state;
	take_all_places();
	workers_event(&fixture->workers, &(struct bpftune_event){ .instance = sharer->view.id, .netns_cookie = 101 });
	assert_false(hear(&got));
	assert_int_equal(sharer->child->queue.n, 1);
	workers_event(&fixture->workers, &(struct bpftune_event){ .netns_cookie = 101 });
	assert_true(hear(&got));
	assert_int_equal(sharer->child->queue.n, 1);
}

static void test_a_tuner_that_is_off(void **state)
{
	const struct workers_counters *counters = &fixture->workers.counters;
	struct bpftune_event got;

	(void)state;
	fixture->instance->tuners_off = 1;
	workers_event(&fixture->workers, &(struct bpftune_event){ .netns_cookie = 101 });
	assert_false(hear(&got));
	assert_int_equal(counters->routed, 0);
	assert_int_equal(counters->unroutable, 0);
	fixture->instance->tuners_off = 2; /* another is */
	workers_event(&fixture->workers, &(struct bpftune_event){ .netns_cookie = 101 });
	assert_true(hear(&got));
}

/* Events of containers without a worker, whose owner has as many workers as the limit allows. */
static void test_unserved(void **state)
{
	const struct workers_counters *counters = &fixture->workers.counters;
	struct instance *late = registry_add(&fixture->instances, 200, 3000);
	struct instance *others[WORKERS_PER_OWNER_MAX];
	struct bpftune_event got;

	(void)state;
	assert_non_null(late);
	for (uint64_t i = 0; i < WORKERS_PER_OWNER_MAX; i++) {
		others[i] = registry_add(&fixture->instances, 201 + i, 3001 + i);
		assert_non_null(others[i]);
		assert_true(capacity_is_left(&fixture->workers, child_of(&fixture->workers, others[i])));
		capacity_note(&fixture->workers, others[i]->child, 0);
	}
	for (unsigned int i = 0; i < 2; i++) {
		workers_event(&fixture->workers,
			      &(struct bpftune_event){ .netns_cookie = late->view.netns_cookie, .time_ns = i });
		assert_int_equal(counters->unserved, i + 1);
		assert_int_equal(counters->coalesced, i);
		assert_int_equal(late->child->unserved, -EUSERS);
		assert_int_equal(late->child->queue.n, 1);
		assert_true(worker_is_none(late));
	}
	workers_event(&fixture->workers, &(struct bpftune_event){ .netns_cookie = 101 });
	assert_true(hear(&got));
	assert_int_equal(counters->unserved, 2);
}

/* Any instance can be told of something that no BPF program has noticed. */
static void test_deliver(void **state)
{
	struct bpftune_event event = { .netns_cookie = 999, .asker = 5, .payload = "payload" }, got;

	(void)state;
	workers_deliver(&fixture->workers, fixture->instance, &event);
	assert_true(hear(&got));
	assert_memory_equal(&got, &event, sizeof(got));
	assert_int_equal(fixture->workers.counters.routed, 1);
}

/* --- orders ------------------------------------------------------------------------------------- */

static void test_orders(void **state)
{
	const struct bpftune_owner owner = { .tuner = 7, .tunable = 9 };
	struct bpftune_owner got_owner;
	struct bpftune_event got;

	(void)state;
	workers_order(&fixture->workers, fixture->instance, BPFTUNE_REFUSE, &owner, sizeof(owner));
	assert_true(hear(&got));
	assert_int_equal(got.tuner, BPFTUNE_FROM_SUPERVISOR);
	assert_int_equal(got.scenario, BPFTUNE_REFUSE);
	assert_int_equal(got.netns_cookie, 101);
	memcpy(&got_owner, got.payload, sizeof(got_owner));
	assert_int_equal(got_owner.tuner, 7);
	assert_int_equal(got_owner.tunable, 9);
}

/* An order waits for READY; none is forked for it. */
static void test_order_without_a_worker(void **state)
{
	struct instance *instance = registry_add(&fixture->instances, 102, 2002);

	(void)state;
	workers_order(&fixture->workers, instance, BPFTUNE_READ, &(struct bpftune_owner){ 0 },
		      sizeof(struct bpftune_owner));
	assert_int_equal(instance->child->queue.n, 1);
	assert_true(worker_is_none(instance));
	assert_null(instance->child->owner); /* no fork was tried */
}

/* --- wanted, unused, ended ---------------------------------------------------------------------- */

static void test_wanted(void **state)
{
	struct instance *instance = registry_add(&fixture->instances, 102, 2002);

	(void)state;
	take_all_places();
	workers_want(&fixture->workers, instance);
	assert_int_equal(instance->child->unserved, -EUSERS);
	assert_int_equal(instance->child->queue.n, 0);
	assert_int_equal(fixture->workers.counters.unserved, 0); /* no event */
}

/* Where all tuners are off, no worker is tried for, unless a rollback needs one. When one is on again, it is. */
static void test_off(void **state)
{
	struct instance *instance = registry_add(&fixture->instances, 102, 2002);
	struct instance *unwanted = registry_add(&fixture->instances, 103, 2003);

	(void)state;
	take_all_places();
	unwanted->is_off = instance->is_off = true;
	workers_want(&fixture->workers, instance);
	assert_int_equal(instance->child->unserved, 0);
	workers_need(&fixture->workers, instance);
	assert_int_equal(instance->child->unserved, -EUSERS);
	workers_off_changed(&fixture->workers, instance); /* the rollback is over */
	assert_int_equal(instance->child->unserved, 0);
	assert_null(instance->child->owner);
	workers_off_changed(&fixture->workers, unwanted);
	unwanted->is_off = instance->is_off = false;
	workers_off_changed(&fixture->workers, instance);
	assert_int_equal(instance->child->unserved, -EUSERS);
	workers_off_changed(&fixture->workers, unwanted);
	assert_null(unwanted->child);
}

static void test_unused(void **state)
{
	static const struct {
		const char *what;
		bool is_entered;
		pid_t pid;
		bool is_dead, ends;
	} cases[] = {
		{ "but by our worker", true, 42, false, true },
		{ "but by our worker, which has died: the reference is somebody's", true, 42, true, false },
		{ "but by our worker, which has been reaped", true, 0, false, false },
		{ "by nobody", false, 42, false, true },
		{ "by nobody, and the worker has died", false, 42, true, true },
	};
	struct child *child = fixture->instance->child;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		child->state = CHILD_BACKOFF; /* it has no handles to close */
		fixture->ended = 0;
		fixture->instance->worker_pid = cases[i].pid;
		fixture->is_dead = cases[i].is_dead;
		workers_unused(&fixture->workers, fixture->instance, cases[i].is_entered);
		if (fixture->ended != cases[i].ends || (child->state == CHILD_GONE) != cases[i].ends)
			fail_msg("unused %s: is %s", cases[i].what, worker_state(fixture->instance));
	}
}

/* An instance that never had a worker ends, too. */
static void test_unused_without_a_worker(void **state)
{
	struct instance *instance = registry_add(&fixture->instances, 102, 2002);

	(void)state;
	workers_unused(&fixture->workers, instance, false);
	assert_int_equal(fixture->ended, 1);
}

static void test_end_all(void **state)
{
	const struct instance *none = registry_add(&fixture->instances, 102, 2002);
	struct instance *waits = registry_add(&fixture->instances, 103, 2003);

	(void)state;
	take_all_places();
	workers_want(&fixture->workers, waits);
	fixture->instance->child->state = CHILD_BACKOFF;
	fixture->workers.n = 0;
	workers_end_all(&fixture->workers);
	assert_true(fixture->workers.stopping);
	assert_int_equal(fixture->ended, 3);
	assert_string_equal(worker_state(none), "gone");
	assert_int_equal(waits->child->unserved, 0);
	for (const struct owner *owner = fixture->instances.owners; owner; owner = owner->hh.next)
		assert_true(!owner->n_workers && !owner->waiting);
}

/* --- of one instance ---------------------------------------------------------------------------- */

static void test_what_is_known(void **state)
{
	static const char *const names[] = { "none",     "starting", "ready", "renewing", "leaving",
					     "retiring", "backoff",  "gone" };
	struct instance *instance = registry_add(&fixture->instances, 102, 2002);
	struct child *child = fixture->instance->child;

	(void)state;
	assert_true(worker_is_none(instance));
	assert_false(worker_is_starting(instance));
	assert_false(worker_is_ready(instance));
	assert_string_equal(worker_state(instance), "none");
	assert_int_equal(worker_restarts(instance), 0);
	child->restarts = 3;
	assert_int_equal(worker_restarts(fixture->instance), 3);
	child->state = CHILD_NONE;
	child->unserved = -EBUSY; /* waits for its turn: a worker is to come by itself */
	assert_false(worker_is_none(fixture->instance));
	child->unserved = 0;
	for (int i = 0; i < N_CHILD_STATES; i++) {
		child->state = i;
		assert_string_equal(worker_state(fixture->instance), names[i]);
		assert_int_equal(worker_is_none(fixture->instance), i == CHILD_NONE);
		assert_int_equal(worker_is_starting(fixture->instance), i == CHILD_STARTING);
		assert_int_equal(worker_is_ready(fixture->instance), i == CHILD_READY);
	}
}

/* A supervisor that could not start stops a room that has not started. */
static void test_stop_before_start(void **state)
{
	(void)state;
	workers_stop(&(struct workers){ .loop = &fixture->loop });
}

#define on_a_route(test) cmocka_unit_test_setup_teardown(test, open_route, close_route)

int main(void)
{
	const struct CMUnitTest tests[] = {
		on_a_route(test_events),
		on_a_route(test_event_of_a_sharer),
		on_a_route(test_a_tuner_that_is_off),
		on_a_route(test_unserved),
		on_a_route(test_deliver),
		on_a_route(test_orders),
		on_a_route(test_order_without_a_worker),
		on_a_route(test_wanted),
		on_a_route(test_off),
		on_a_route(test_unused),
		on_a_route(test_unused_without_a_worker),
		on_a_route(test_end_all),
		on_a_route(test_what_is_known),
		on_a_route(test_stop_before_start),
	};

	return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
