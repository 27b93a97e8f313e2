/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The supervisor: one loop, no threads, owner of everything. */
#ifndef BPFTUNE_SUPERVISOR_SUPERVISOR_H
#define BPFTUNE_SUPERVISOR_SUPERVISOR_H

#include <stdbool.h>
#include <uv.h>

#include "supervisor/kernel/bpf.h"
#include "supervisor/operator/control.h"
#include "supervisor/instances/registry.h"
#include "supervisor/changes/ledger.h"
#include "supervisor/operator/notify.h"
#include "supervisor/kernel/plugin.h"
#include "supervisor/operator/stream.h"
#include "supervisor/instances/watch.h"

#define BPFTUNE_RUN_DIR "/run/bpftune"

/* Exit statuses of every subcommand. */
enum { EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_UNSUPPORTED, EXIT_NOT_RUNNING };

struct options {
	const char *run_dir, *plugin_dir;
	bool to_stderr, debug, dry_run, rollback;
};

struct counters {
	uint64_t received;  /* events from the ring buffer */
	uint64_t routed;    /* handed to a worker, at once or from its queue */
	uint64_t coalesced; /* replaced by a newer one of the same kind before they were handed over */
	uint64_t lost;      /* no room in a worker's queue; the ring buffer's own are added in status */
	uint64_t unroutable; /* no such instance, tuner or scenario */
	uint64_t unserved;   /* their instance has no worker, as there are too many */
	uint64_t unknown_reports;
};

struct supervisor {
	struct options options;
	uv_loop_t loop;
	uv_signal_t signals[3]; /* TERM, INT, CHLD */
	uv_poll_t ring_poll;
	uv_timer_t ring_rest; /* until it is looked at again */
	uv_timer_t prune; /* once, when what lives has been sighted */
	struct notify notify;
	uv_timer_t notify_due; /* the service manager's watchdog, or READY=1 that it had no room for */
	bool said_ready;
	struct ring_buffer *ring;
	unsigned int taken_at_once; /* from the ring, by supervisor_take_events() */
	bool hurry;		    /* one of them is not about who comes and goes */
	struct bpftune_host host;
	struct plugins plugins;
	struct registry registry;
	struct watch watch;
	struct ledger ledger;
	struct streams streams;
	struct rollback *rollbacks; /* under way */
	struct control control;
	struct counters counters;
	uint64_t started_ms; /* uv_now() */
	bool stopping;
	int status; /* the exit status */
};

/* `bpftune run`: an exit status. */
int supervisor_run(const struct options *options);

/* Something to tell, in the instance's stream (NULL: the host's). */
void supervisor_log(struct supervisor *s, const struct instance *instance, int severity, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* What a tuner may do in an instance: its state in the ledger, active when that has none. */
enum tuner_state supervisor_tuner_state(const struct supervisor *s, const struct instance *instance, uint16_t tuner);

/* Sets it, with the reason (NULL: none), in the ledger and for the BPF programs. */
void supervisor_set_tuner_state(struct supervisor *s, const struct instance *instance, uint16_t tuner,
				enum tuner_state state, const char *why);

/* Tells the BPF programs which tuners are off there, and whether our worker is in. */
void supervisor_set_gate(struct supervisor *s, const struct instance *instance);

/* An order to the instance's worker; it waits for READY if need be. */
void supervisor_order(struct supervisor *s, struct instance *instance, enum bpftune_order order, const void *payload,
		      size_t size);

/*
 * Takes what the BPF programs have said so far, at most so much that all else gets its turn. Instances that have no
 * worker process may end by it, and connections be closed.
 */
void supervisor_take_events(struct supervisor *s);

/*
 * Takes what has been sighted so far, then listens on the control socket: what is asked about from then on is
 * what there is. Ends the supervisor if it cannot.
 */
void supervisor_open_control(struct supervisor *s);

/* The instance is let go: its namespace is forgotten and its stream ends. */
void supervisor_forget(struct supervisor *s, struct instance *instance);

#endif
