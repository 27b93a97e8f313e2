// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/workers/child.h"

#include <stdlib.h>

#include "ipc/cleanup.h"

/* --- the table ---------------------------------------------------------------------------------- */

/* A cell that is not here stays where it is and does nothing. */
static const struct {
	enum child_state state;
	enum child_event event;
	struct child_transition then;
} table[] = {
	{ CHILD_NONE, CHILD_WANTED, { CHILD_STARTING, CHILD_FORK } },
	{ CHILD_NONE, CHILD_UNUSED, { CHILD_GONE, CHILD_FORGET } },
	{ CHILD_NONE, CHILD_STOP, { CHILD_GONE, CHILD_FORGET } },
	{ CHILD_NONE, CHILD_DISMISSED, { CHILD_NONE, CHILD_REST } },

	{ CHILD_STARTING, CHILD_IS_READY, { CHILD_READY, CHILD_SERVE } },
	{ CHILD_STARTING, CHILD_EXITED, { CHILD_BACKOFF, CHILD_DELAY } },
	{ CHILD_STARTING, CHILD_FAILED, { CHILD_BACKOFF, CHILD_DELAY } },
	{ CHILD_STARTING, CHILD_PUT_OFF, { CHILD_NONE, CHILD_IGNORE } },
	{ CHILD_STARTING, CHILD_TIMEOUT, { CHILD_STARTING, CHILD_KILL } },
	{ CHILD_STARTING, CHILD_UNUSED, { CHILD_RETIRING, CHILD_HANG_UP } },
	{ CHILD_STARTING, CHILD_STOP, { CHILD_RETIRING, CHILD_HANG_UP } },
	{ CHILD_STARTING, CHILD_DISMISSED, { CHILD_LEAVING, CHILD_LEAVE } },

	{ CHILD_READY, CHILD_EXITED, { CHILD_BACKOFF, CHILD_DELAY } },
	{ CHILD_READY, CHILD_UNUSED, { CHILD_RETIRING, CHILD_HANG_UP } },
	{ CHILD_READY, CHILD_STOP, { CHILD_RETIRING, CHILD_HANG_UP } },
	{ CHILD_READY, CHILD_OUTDATED, { CHILD_RENEWING, CHILD_LEAVE } },
	{ CHILD_READY, CHILD_DISMISSED, { CHILD_LEAVING, CHILD_LEAVE } },

	{ CHILD_RENEWING, CHILD_EXITED, { CHILD_STARTING, CHILD_RENEW } },
	{ CHILD_RENEWING, CHILD_TIMEOUT, { CHILD_RENEWING, CHILD_KILL } },
	{ CHILD_RENEWING, CHILD_UNUSED, { CHILD_RETIRING, CHILD_HANG_UP } },
	{ CHILD_RENEWING, CHILD_STOP, { CHILD_RETIRING, CHILD_HANG_UP } },
	{ CHILD_RENEWING, CHILD_DISMISSED, { CHILD_LEAVING, CHILD_IGNORE } },

	{ CHILD_LEAVING, CHILD_WANTED, { CHILD_RENEWING, CHILD_IGNORE } },
	{ CHILD_LEAVING, CHILD_EXITED, { CHILD_NONE, CHILD_REST } },
	{ CHILD_LEAVING, CHILD_TIMEOUT, { CHILD_LEAVING, CHILD_KILL } },
	{ CHILD_LEAVING, CHILD_UNUSED, { CHILD_RETIRING, CHILD_HANG_UP } },
	{ CHILD_LEAVING, CHILD_STOP, { CHILD_RETIRING, CHILD_HANG_UP } },

	{ CHILD_RETIRING, CHILD_EXITED, { CHILD_GONE, CHILD_FORGET } },
	{ CHILD_RETIRING, CHILD_TIMEOUT, { CHILD_RETIRING, CHILD_KILL } },

	{ CHILD_BACKOFF, CHILD_TIMEOUT, { CHILD_STARTING, CHILD_FORK } },
	{ CHILD_BACKOFF, CHILD_UNUSED, { CHILD_GONE, CHILD_FORGET } },
	{ CHILD_BACKOFF, CHILD_STOP, { CHILD_GONE, CHILD_FORGET } },
	{ CHILD_BACKOFF, CHILD_DISMISSED, { CHILD_NONE, CHILD_REST } },
};

struct child_transition child_next(enum child_state state, enum child_event event)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (table[i].state == state && table[i].event == event)
			return table[i].then;
	return (struct child_transition){ state, CHILD_IGNORE };
}

const char *child_state_name(enum child_state state)
{
	static const char *const names[N_CHILD_STATES] = {
		[CHILD_NONE] = "none",	       [CHILD_STARTING] = "starting", [CHILD_READY] = "ready",
		[CHILD_RENEWING] = "renewing", [CHILD_LEAVING] = "leaving",   [CHILD_RETIRING] = "retiring",
		[CHILD_BACKOFF] = "backoff",   [CHILD_GONE] = "gone",
	};

	return names[state];
}

unsigned int child_backoff_ms(unsigned int last_ms, uint64_t lived_ms)
{
	if (!last_ms || lived_ms >= CHILD_HEALTHY_MS)
		return CHILD_BACKOFF_MIN_MS;
	return last_ms >= CHILD_BACKOFF_MAX_MS / 2 ? CHILD_BACKOFF_MAX_MS : 2 * last_ms;
}

struct child *child_of(struct workers *workers, struct instance *instance)
{
	struct child *child = instance->child;

	if (child)
		return child;
	child = pool_get(&workers->children, sizeof(*child));
	if (!child)
		return NULL;
	*child = (struct child){ .workers = workers, .instance = instance, .event_fd = -1, .report_fd = -1 };
	instance->child = child;
	return child;
}
