/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The supervisor: one loop, no threads, owner of everything. */
#ifndef BPFTUNE_SUPERVISOR_SUPERVISOR_H
#define BPFTUNE_SUPERVISOR_SUPERVISOR_H

#include <stdbool.h>
#include <uv.h>

#include "supervisor/bpf.h"
#include "supervisor/control.h"
#include "supervisor/instance.h"
#include "supervisor/plugin.h"
#include "supervisor/stream.h"
#include "supervisor/watch.h"

#define BPFTUNE_RUN_DIR "/run/bpftune"

/* Exit statuses of every subcommand. */
enum { EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_UNSUPPORTED, EXIT_NOT_RUNNING };

struct options {
	const char *run_dir, *plugin_dir;
	bool to_stderr, debug, dry_run;
};

struct counters {
	uint64_t received;  /* events from the ring buffer */
	uint64_t routed;    /* handed to a worker, at once or from its queue */
	uint64_t coalesced; /* replaced by a newer one of the same kind before they were handed over */
	uint64_t lost;      /* no room in a worker's queue; the ring buffer's own are added in status */
	uint64_t unroutable; /* no such instance, tuner or scenario */
	uint64_t unknown_reports;
};

struct supervisor {
	struct options options;
	uv_loop_t loop;
	uv_signal_t signals[3]; /* TERM, INT, CHLD */
	uv_poll_t ring_poll;
	struct ring_buffer *ring;
	struct bpftune_host host;
	struct plugins plugins;
	struct registry registry;
	struct watch watch;
	struct streams streams;
	struct control control;
	struct counters counters;
	uint64_t started_ms; /* uv_now() */
	bool stopping;
};

/* `bpftune run`: an exit status. */
int supervisor_run(const struct options *options);

/* Something to tell, in the instance's stream (NULL: the host's). `tuner` may be BPFTUNE_FROM_SUPERVISOR. */
void supervisor_log(struct supervisor *s, const struct instance *instance, int severity, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* The instance is let go: its namespace is forgotten and its stream ends. */
void supervisor_forget(struct supervisor *s, struct instance *instance);

#endif
