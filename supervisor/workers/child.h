/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The life of a worker: a table of state and event, with short actions. */
#ifndef BPFTUNE_SUPERVISOR_WORKERS_CHILD_H
#define BPFTUNE_SUPERVISOR_WORKERS_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "ipc/pipe.h"
#include "supervisor/workers/workers.h"

enum child_state {
	CHILD_NONE,     /* no process */
	CHILD_STARTING, /* forked, not READY yet */
	CHILD_READY,
	CHILD_RENEWING, /* told to end by its end of file; then another is forked */
	CHILD_LEAVING,  /* told to end by its end of file; then there is none */
	CHILD_RETIRING, /* told to end by its end of file; then the instance is let go */
	CHILD_BACKOFF,  /* died; the next fork waits */
	CHILD_GONE,     /* the instance is let go */
	N_CHILD_STATES
};

enum child_event {
	CHILD_WANTED,  /* it is a container of 250 ms, or has an event to handle */
	CHILD_IS_READY,
	CHILD_EXITED,
	CHILD_UNUSED,  /* nobody else uses the namespace */
	CHILD_TIMEOUT, /* of the state's timer */
	CHILD_FAILED,  /* it could not be forked */
	CHILD_PUT_OFF, /* there is no room for it, no slot, or no way into the namespace */
	CHILD_STOP,    /* the supervisor ends */
	CHILD_OUTDATED, /* there are tuners that it does not have */
	CHILD_DISMISSED, /* no tuner is on there */
	N_CHILD_EVENTS
};

enum child_action {
	CHILD_IGNORE,
	CHILD_FORK,    /* open the namespace, fork; arms the ready timer */
	CHILD_SERVE,   /* send what was queued */
	CHILD_HANG_UP, /* close its event pipe; arms the kill timer */
	CHILD_LEAVE,   /* the same, for the next one to take its place */
	CHILD_RENEW,   /* fork that one */
	CHILD_REST,    /* its place is another's, what was queued is dropped */
	CHILD_KILL,
	CHILD_DELAY,   /* arms the backoff timer */
	CHILD_FORGET,  /* let the instance go */
};

struct child_transition {
	enum child_state next;
	enum child_action action;
};

#define CHILD_READY_MS 10000
#define CHILD_REPORTS_MS 10 /* to handle reports that have come */
#define CHILD_KILL_MS 1000
#define CHILD_BACKOFF_MIN_MS 1000
#define CHILD_BACKOFF_MAX_MS 60000
#define CHILD_HEALTHY_MS 60000

struct child {
	struct workers *workers;
	struct instance *instance;
	enum child_state state;
	int event_fd, report_fd;     /* the supervisor's ends; -1 */
	uv_poll_t *events, *reports; /* when writable, when readable */
	uv_timer_t *timer;
	struct event_queue queue;
	struct record_reader reader;
	size_t readable_bytes; /* of reports, when the loop last looked */
	struct child *readable_prev, *readable_next;
	unsigned int restarts, backoff_ms;
	uint64_t n_events;	      /* of tuners' programs, for it */
	bool is_wanted;		      /* its instance is worth one, if any tuner is on there */
	struct slot *slot;	      /* while it starts */
	unsigned int tuners;	      /* workers->tuners, when it was forked */
	bool is_overrun;	      /* it did not read its orders: it is being killed */
	uint64_t forked_ms, retry_ms; /* uv_now() */

	/* Of capacity.c. */
	struct owner *owner; /* whose worker it is, or would be; NULL: it counts for nobody */
	bool is_counted;     /* among the owner's workers */
	int unserved;	     /* wants a worker, and there is no room for one: capacity_must_wait(); 0: no */
	struct child *waiting_prev, *waiting_next; /* of the owner's list, workers->lacking or workers->starters */

	UT_hash_handle hh; /* by instance->worker_pid */
};

/* The table, for one cell. */
struct child_transition child_next(enum child_state state, enum child_event event);

const char *child_state_name(enum child_state state);

/* The pause before the next fork: doubles from 1 s to 60 s, and starts anew after a minute of health. */
unsigned int child_backoff_ms(unsigned int last_ms, uint64_t lived_ms);

/* The instance's, made if it has none. NULL: no memory. */
struct child *child_of(struct workers *workers, struct instance *instance);

#endif
