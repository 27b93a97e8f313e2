// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/workers/capacity.h"

#include <errno.h>
#include <string.h>
#include <syslog.h>

#include "supervisor/supervisor.h"

static bool is_of(const struct instance *instance, const char *owner)
{
	return !instance->named && !strcmp(instance->owner ? instance->owner : "", owner ? owner : "");
}

struct room_load room_load(const struct registry *registry, const struct instance *instance)
{
	struct room_load load = { 0 };
	const struct instance *other;

	for (other = registry->by_id; other; other = other->by_id.next) {
		bool here = !instance->named && is_of(other, instance->owner);

		load.all += other->child.pid != 0;
		load.here += here && other->child.pid;
		load.waiting += here && other->unserved == -EUSERS && other != instance;
		load.short_of += other->unserved && other->unserved != -EUSERS && other != instance;
	}
	return load;
}

bool room_is_left(struct room_load load)
{
	return load.all < ROOM_WORKERS_MAX && load.here < ROOM_WORKERS_PER_OWNER_MAX;
}

bool room_is_lacking(int err)
{
	return err == -EUSERS || err == -EMFILE || err == -ENFILE || err == -EAGAIN || err == -ENOMEM;
}

struct instance *room_next_unserved(const struct registry *registry, const struct instance *after, const char *owner,
				    bool was_full)
{
	struct instance *instance = after ? after->by_id.next : registry->by_id;

	while (instance && !(instance->unserved && instance->child.state == CHILD_NONE &&
			     (was_full || instance->unserved != -EUSERS || (owner && is_of(instance, owner)))))
		instance = instance->by_id.next;
	return instance;
}

/* Once, until nobody waits for it any more. */
static void say_no_room(struct supervisor *s, const struct instance *instance, int err, struct room_load load)
{
	if (err != -EUSERS && !load.short_of)
		supervisor_log(s, instance, LOG_WARNING, "no worker: %s; there are %zu in all", strerror(-err), load.all);
	if (err == -EUSERS && !load.waiting)
		supervisor_log(s, instance, LOG_WARNING, "no worker: there are %zu in all (at most %d), and %zu of %s (at most %d)",
			       load.all, ROOM_WORKERS_MAX, load.here,
			       instance->owner && *instance->owner ? instance->owner : "no container",
			       ROOM_WORKERS_PER_OWNER_MAX);
}

void room_note(struct supervisor *s, struct instance *instance, int err, struct room_load load)
{
	if (room_is_lacking(err) && !instance->unserved)
		say_no_room(s, instance, err, load);
	instance->unserved = room_is_lacking(err) ? err : 0;
	if (instance->unserved)
		watch_slowly(s); /* no event tells when the machine has enough again */
}

bool room_serve(struct supervisor *s, const char *owner, bool was_full)
{
	struct instance *instance = NULL;

	while ((instance = room_next_unserved(&s->registry, instance, owner, was_full))) {
		instance->child.retry_ms = 0;
		if (child_step(s, instance, CHILD_WANTED) == CHILD_STARTING)
			return true;
		if (instance->unserved && instance->unserved != -EUSERS)
			return false; /* nor would the next be */
	}
	return false;
}

void room_serve_short(struct supervisor *s)
{
	while (room_serve(s, NULL, false))
		;
}
