/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a supervisor does, as metrics: the families, and their samples as text. Names and values that others chose go
 * through metrics_put(), so that each line is what it says it is.
 */
#ifndef BPFTUNE_SUPERVISOR_CLI_METRICS_H
#define BPFTUNE_SUPERVISOR_CLI_METRICS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#define METRICS_OWNER_MAX 64	    /* containers of one owner that have series of their own; as many as workers */
#define METRICS_CONTAINERS_MAX 4096 /* the same of all; as many as workers */
#define METRICS_LABEL_BYTES 256	    /* of a label's value */

enum metric {
	METRIC_UP,
	METRIC_BUILD,
	METRIC_UPTIME,
	METRIC_DRY_RUN,
	METRIC_INSTANCES,
	METRIC_LEFT_OUT,
	METRIC_WORKERS,
	METRIC_TUNERS,
	METRIC_TUNER_INSTANCES,
	METRIC_EVENTS_RECEIVED,
	METRIC_EVENTS_ROUTED,
	METRIC_EVENTS_COALESCED,
	METRIC_EVENTS_LOST,
	METRIC_EVENTS_UNROUTABLE,
	METRIC_EVENTS_UNSERVED,
	METRIC_UNSIGHTED,
	METRIC_UNKNOWN_REPORTS,
	METRIC_LOG_RECORDS,
	METRIC_BPF_ATTACHED,
	METRIC_BPF_RUNS,
	METRIC_BPF_TIMED_RUNS,
	METRIC_BPF_RUN_TIME,
	METRIC_CONTAINER,
	METRIC_WORKER_READY,
	METRIC_WORKER_RESTARTS,
	METRIC_CHANGES,
	METRIC_VALUE,
	METRIC_INITIAL_VALUE,
	METRIC_MANUAL,
	METRIC_DECISIONS,
	METRIC_LIMITS_MET,
	N_METRICS
};

enum metrics_format {
	METRICS_OPENMETRICS, /* 1.0 */
	METRICS_PROMETHEUS,  /* its text format, 0.0.4, which node_exporter reads, too */
	N_METRICS_FORMATS
};

struct metrics {
	struct {
		FILE *out; /* NULL: it is complete */
		char *text;
		size_t size;
	} families[N_METRICS];
	/* Of metrics_add.c. */
	json_t *worker_states, *tuner_states; /* how many instances by state; and that by tuner, but for the active */
	struct seen *names, *owners;
	unsigned int n_instances, n_left_out, n_shown;
};

/* NULL: no memory. */
struct metrics *metrics_new(void);
void metrics_free(struct metrics *metrics);

/* Names and values of labels in turn. One with an empty value is left out. */
#define LABELS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* One sample. `labels` may be NULL. */
void metrics_put(struct metrics *metrics, enum metric metric, double value, const char *const *labels);
/* The same to a stream of the caller's: samples that metrics_put_text() takes later. */
void metrics_print(FILE *out, enum metric metric, double value, const char *const *labels);
void metrics_put_text(struct metrics *metrics, enum metric metric, const char *samples);

/* No more is put. False: no memory. */
bool metrics_complete(struct metrics *metrics);

/* What stands before a family's samples, for free(); NULL: no memory. And what stands after all. */
char *metrics_head(enum metric metric, enum metrics_format format);
const char *metrics_tail(enum metrics_format format);

/* All of it, once it is complete; for free(). NULL: no memory. */
char *metrics_text(const struct metrics *metrics, enum metrics_format format, size_t *ret_size);

/* --- from what the supervisor answers (metrics_add.c) -------------------------------------------- */

/* GetStatus's reply. */
void metrics_add_status(struct metrics *metrics, json_t *status);

/* One of ListInstances. False: it has no series of its own, as its owner has too many, or another of its name has. */
bool metrics_add_instance(struct metrics *metrics, json_t *instance);

/* What is known when all instances are added. */
void metrics_add_totals(struct metrics *metrics);

/* The samples of the limits that its namespace has met, for free(). NULL: no memory. */
char *metrics_of_limits(json_t *instance);

void metrics_forget_seen(struct metrics *metrics);

#endif
