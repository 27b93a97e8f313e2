/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The workers: one process an instance that is worth one. Events go to them, their reports come back; the rooms above
 * say what the reports mean.
 */
#ifndef BPFTUNE_SUPERVISOR_WORKERS_WORKERS_H
#define BPFTUNE_SUPERVISOR_WORKERS_WORKERS_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "bpf/sizes.h"
#include "ipc/event.h"
#include "ipc/pool.h"
#include "ipc/report.h"
#include "supervisor/instances/instances.h"
#include "supervisor/workers/slot.h"

#define WORKERS_MAX BPFTUNE_WORKERS_MAX
#define WORKERS_PER_OWNER_MAX 64 /* a container, a user, a service may make namespaces at will */

struct child;

/* What the rooms above are told. */
struct workers_listener {
	void (*ready)(void *arg, struct instance *instance);
	void (*report)(void *arg, struct instance *instance, const struct bpftune_report *report); /* but for READY */
	void (*ended)(void *arg, struct instance *instance); /* its instance is to end: it has no worker any more */
	/* What its last worker has left of a tuner: valid until anything else is asked. */
	struct bpftune_memory (*remembered)(void *arg, const struct bpftune *view, uint16_t tuner,
					    enum bpftune_memory_kind kind);
};

struct workers {
	uv_loop_t *loop;
	struct kernel *kernel;
	struct instances *instances;
	bool dry_run, stopping;
	struct workers_listener listener;
	void *arg;
	const void *stack; /* what is below on the supervisor's stack is not for workers */

	/* To be read by all. */
	struct workers_counters {
		uint64_t routed;     /* handed to a worker, at once or from its queue */
		uint64_t coalesced;  /* replaced by a newer one of the same kind before they were handed over */
		uint64_t lost;	     /* no room in a worker's queue */
		uint64_t unroutable; /* no such instance, tuner or scenario */
		uint64_t unserved;   /* their instance has no worker, as there are too many */
	} counters;
	unsigned int n_ready;

	/* Of this room only. */
	struct child *by_pid;
	struct child *readable; /* have reports that are yet to be handled */
	bool has_exits;		/* SIGCHLD came */
	struct pool children, polls, timers;
	struct confinement confinement;
	struct slots slots;	/* workers that start */
	struct child *starters; /* wait for a slot */
	struct child *lacking;	/* wait till the machine has enough again of what it was short of */
	unsigned int n;		/* worker processes */
	unsigned int n_waiting; /* for one of them to leave */
	uv_timer_t retry;	/* for those that lack something */
	uv_timer_t pace;	/* for those whose owner has started too many of late */
	bool (*try_start)(struct child *child);
	unsigned int tuners; /* how often there were more tuners: of which set a worker has */
	bool is_renewing;    /* workers that have an older set */
	uint64_t renewed;    /* the instance whose worker was the last */
	unsigned int n_renewed;
};

/* Before much else is opened: takes low descriptor numbers. 0 or -errno. */
int workers_reserve(struct workers *workers);
/* 0 or -errno. */
int workers_start(struct workers *workers);
/* Closes its handles: the loop is to run once more. */
void workers_stop(struct workers *workers);

/* An event of a tuner's BPF program, for the worker of its instance; one is forked if there is none. */
void workers_event(struct workers *workers, const struct bpftune_event *event);
void workers_deliver(struct workers *workers, struct instance *instance, const struct bpftune_event *event);

/* An order to the instance's worker; it waits for READY if need be. */
void workers_order(struct workers *workers, struct instance *instance, enum bpftune_order order, const void *payload,
		   size_t size);

/* How many instances besides the host have a worker that is ready, so that each may ask the host's. */
unsigned int workers_n_containers(const struct workers *workers);

/* The instance is worth a worker, unless all tuners are off there. */
void workers_want(struct workers *workers, struct instance *instance);

/* A rollback needs a worker there, also where all tuners are off. */
void workers_need(struct workers *workers, struct instance *instance);

/* All tuners are off there (instance->is_off): its worker ends. Or no longer: it gets a worker if it is worth one. */
void workers_off_changed(struct workers *workers, struct instance *instance);

/* Nobody else uses the namespace; `is_entered`: our worker's reference was discounted. */
void workers_unused(struct workers *workers, struct instance *instance, bool is_entered);

/* Who made it may be somebody else than was known. */
void workers_recount(struct workers *workers, struct instance *instance);

/* There are more tuners: workers are replaced by such as have them, one after another. */
void workers_renew(struct workers *workers);

/* Ends them all, and with each its instance. */
void workers_end_all(struct workers *workers);

/* SIGCHLD came: workers_handle() looks who has ended. */
void workers_child_ended(struct workers *workers);

/* Handles the reports that were there when the loop last looked, and exits. */
void workers_handle(struct workers *workers);

/* When all instances are freed. */
void workers_close(struct workers *workers);

/* Frees what the instance has of this room. */
void workers_free(struct instance *instance);

/* --- of one instance ---------------------------------------------------------------------------- */

bool worker_is_none(const struct instance *instance); /* no process, and none is to come by itself */
bool worker_is_starting(const struct instance *instance);
bool worker_is_ready(const struct instance *instance);
const char *worker_state(const struct instance *instance);
unsigned int worker_restarts(const struct instance *instance);
/* Those of tuners' programs that were for it, also while it waited for its turn. */
uint64_t worker_events(const struct instance *instance);

#endif
