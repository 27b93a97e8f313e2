// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/workers/capacity.h"

#include <errno.h>
#include <string.h>
#include <syslog.h>
#include <utlist.h>

/* --- owners ------------------------------------------------------------------------------------- */

/* The instance's owner, if it has not got it yet. NULL: no memory. */
static struct owner *take(struct workers *workers, struct child *child)
{
	if (!child->owner)
		child->owner = owner_get(workers->instances, child->instance);
	return child->owner;
}

static bool is_full(const struct owner *owner)
{
	return owner->n_workers >= WORKERS_PER_OWNER_MAX && !owner_is_root(owner);
}

/* Its namespaces come and go, or its workers die, faster than new ones may be forked. */
static bool is_early(const struct workers *workers, const struct owner *owner)
{
	return !owner_is_root(owner) && !bucket_has(&owner->forks, CAPACITY_FORK_MS, CAPACITY_FORKS, uv_now(workers->loop));
}

static bool has_place(const struct workers *workers, const struct owner *owner)
{
	return !is_full(owner) && !is_early(workers, owner);
}

/* --- counting ----------------------------------------------------------------------------------- */

static void count(struct workers *workers, struct child *child, bool is_counted)
{
	int by = is_counted - child->is_counted;

	workers->n += by;
	if (child->owner)
		child->owner->n_workers += by;
	child->is_counted = is_counted;
}

static struct child **list_of(struct workers *workers, struct child *child)
{
	if (child->unserved == -EUSERS)
		return &child->owner->waiting;
	return child->unserved == -EBUSY ? &workers->starters : &workers->lacking;
}

static void stop_waiting(struct workers *workers, struct child *child)
{
	struct child **list;

	if (!child->unserved)
		return;
	list = list_of(workers, child);
	DL_DELETE2(*list, child, waiting_prev, waiting_next);
	workers->n_waiting -= child->unserved == -EUSERS;
	child->unserved = 0;
}

static void on_retry(uv_timer_t *timer);
static void on_pace(uv_timer_t *timer);

static void wait(struct workers *workers, struct child *child, int err)
{
	struct child **list;

	child->unserved = err;
	workers->n_waiting += err == -EUSERS;
	list = list_of(workers, child);
	DL_APPEND2(*list, child, waiting_prev, waiting_next);
	if (list == &workers->lacking && !uv_is_active((uv_handle_t *)&workers->retry))
		uv_timer_start(&workers->retry, on_retry, CAPACITY_RETRY_MS, CAPACITY_RETRY_MS);
}

bool capacity_is_left(struct workers *workers, struct child *child)
{
	workers_recount(workers, child->instance);
	if (!take(workers, child) || workers->n >= WORKERS_MAX || is_full(child->owner))
		return false;
	if (!is_early(workers, child->owner))
		return true;
	if (!uv_is_active((uv_handle_t *)&workers->pace))
		uv_timer_start(&workers->pace, on_pace, CAPACITY_FORK_MS, CAPACITY_FORK_MS);
	return false;
}

bool capacity_is_lacking(int err)
{
	return err == -EUSERS || err == -EMFILE || err == -ENFILE || err == -EAGAIN || err == -ENOMEM;
}

bool capacity_must_wait(int err)
{
	return err == -EBUSY || capacity_is_lacking(err);
}

/* Once, until nobody waits for it any more. */
static void say_no_place(struct workers *workers, const struct child *child, int err)
{
	const struct instances *instances = workers->instances;
	const struct owner *owner = child->owner;

	if (err != -EUSERS) {
		if (!workers->lacking)
			instance_log(instances, child->instance, LOG_WARNING, "no worker: %s; there are %u workers",
				     strerror(-err), workers->n);
	} else if (!owner->waiting) {
		if (has_place(workers, owner))
			instance_log(instances, child->instance, LOG_WARNING, "no worker: %u are running, the most there may be",
				     workers->n);
		else if (!is_full(owner))
			instance_log(instances, child->instance, LOG_WARNING,
				     "no worker yet: %d were started for namespaces of %s, and %d more may be each second",
				     CAPACITY_FORKS, *owner->name ? owner->name : "no container", 1000 / CAPACITY_FORK_MS);
		else
			instance_log(instances, child->instance, LOG_WARNING,
				     "no worker: %u are running for namespaces of %s, the most for one owner",
				     owner->n_workers, *owner->name ? owner->name : "no container");
	}
}

void capacity_note(struct workers *workers, struct child *child, int err)
{
	bool must_wait = capacity_must_wait(err) && child->owner;

	if (!err) {
		count(workers, child, true);
		bucket_take(&child->owner->forks, 1, CAPACITY_FORK_MS, CAPACITY_FORKS, uv_now(workers->loop));
	}
	if (must_wait && child->unserved == err)
		return;
	if (capacity_is_lacking(err) && must_wait && !capacity_is_lacking(child->unserved))
		say_no_place(workers, child, err);
	stop_waiting(workers, child);
	if (must_wait)
		wait(workers, child, err);
}

/* It neither has a worker nor waits for one. */
static void leave(struct workers *workers, struct child *child)
{
	stop_waiting(workers, child);
	count(workers, child, false);
	owner_put(workers->instances, child->owner);
	child->owner = NULL;
}

void workers_recount(struct workers *workers, struct instance *instance)
{
	struct child *child = instance->child;
	struct owner *owner = child && child->owner ? owner_get(workers->instances, instance) : NULL;

	if (owner && owner != child->owner) {
		bool is_counted = child->is_counted;
		int unserved = child->unserved;

		leave(workers, child);
		take(workers, child);
		count(workers, child, is_counted);
		if (unserved)
			wait(workers, child, unserved);
	}
	owner_put(workers->instances, owner);
}

/* --- whom to serve ------------------------------------------------------------------------------ */

/* The first of the list who can be forked, now or as soon as a slot is free. False: nobody. */
static bool serve(const struct workers *workers, struct child **list)
{
	while (*list) {
		struct child *child = *list;

		child->retry_ms = 0;
		if (workers->try_start(child))
			return true;
		if (*list == child)
			return false; /* nor would the next be */
		if (child->unserved == -EBUSY)
			return true; /* it has a place, and waits for a slot */
	}
	return false;
}

/* One of each owner that has a place; or of the first such. */
static bool serve_owners(struct workers *workers, bool only_one)
{
	struct owner *owner = workers->instances->owners, *next;
	bool is_served = false;

	while (owner && !(only_one && is_served)) {
		owner_hold(owner); /* a child that is served may turn out to be another owner's */
		is_served |= has_place(workers, owner) && serve(workers, &owner->waiting);
		next = owner->hh.next; /* not before: serving may have freed others */
		owner_put(workers->instances, owner);
		owner = next;
	}
	return is_served;
}

void capacity_slot_left(struct workers *workers)
{
	if (workers->stopping || workers->slots.n_taken > SLOTS_MAX / 2)
		return;
	while (serve(workers, &workers->starters))
		;
}

void capacity_ended(struct workers *workers, struct child *child)
{
	count(workers, child, false);
}

void capacity_gone(struct workers *workers, struct child *child)
{
	struct owner *owner = child->owner;
	bool had_place = owner && !child->unserved;

	stop_waiting(workers, child);
	count(workers, child, false);
	if (had_place && !workers->stopping && !serve(workers, &workers->lacking) && !serve(workers, &owner->waiting) &&
	    workers->n_waiting && workers->n < WORKERS_MAX)
		serve_owners(workers, true);
	leave(workers, child);
}

static void on_retry(uv_timer_t *timer)
{
	struct workers *workers = timer->data;

	while (serve(workers, &workers->lacking))
		;
	if (!workers->lacking)
		uv_timer_stop(timer);
}

static bool is_anybody_early(const struct workers *workers)
{
	const struct owner *owner = workers->instances->owners;

	while (owner && !(owner->waiting && !is_full(owner) && is_early(workers, owner)))
		owner = owner->hh.next;
	return owner != NULL;
}

static void on_pace(uv_timer_t *timer)
{
	struct workers *workers = timer->data;

	serve_owners(workers, false);
	if (!is_anybody_early(workers))
		uv_timer_stop(timer);
}

void capacity_start(struct workers *workers, bool (*try_start)(struct child *child))
{
	workers->try_start = try_start;
	uv_timer_init(workers->loop, &workers->retry);
	uv_timer_init(workers->loop, &workers->pace);
	workers->retry.data = workers->pace.data = workers;
}
