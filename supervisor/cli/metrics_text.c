// SPDX-License-Identifier: GPL-2.0-or-later
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/cleanup.h"
#include "supervisor/cli/metrics.h"

enum type {
	GAUGE,
	COUNTER,
	INFO
};

/* Counters' names are without "_total", those of information without "_info". */
static const struct {
	const char *name;
	enum type type;
	const char *help;
} families[N_METRICS] = {
	[METRIC_UP] = { "bpftune_up", GAUGE, "Whether the supervisor answers" },
	[METRIC_BUILD] = { "bpftune_build", INFO, "Versions of the supervisor and of the kernel" },
	[METRIC_UPTIME] = { "bpftune_uptime_seconds", GAUGE, "Since the supervisor started" },
	[METRIC_DRY_RUN] = { "bpftune_dry_run", GAUGE, "Whether the supervisor was told to write nothing" },
	[METRIC_INSTANCES] = { "bpftune_instances", GAUGE, "Network namespaces and containers, the host among them" },
	[METRIC_LEFT_OUT] = { "bpftune_instances_left_out", GAUGE,
			      "Of these, how many have no metrics of their own, as one owner has too many" },
	[METRIC_WORKERS] = { "bpftune_workers", GAUGE, "Instances by the state of their worker" },
	[METRIC_TUNERS] = { "bpftune_tuners", GAUGE, "Tuners by their state" },
	[METRIC_TUNER_INSTANCES] = { "bpftune_tuner_instances", GAUGE,
				     "In how many instances a tuner is active, manual, paused or off" },
	[METRIC_EVENTS_RECEIVED] = { "bpftune_events_received", COUNTER, "Events from BPF programs" },
	[METRIC_EVENTS_ROUTED] = { "bpftune_events_routed", COUNTER, "Events and answers handed to a worker" },
	[METRIC_EVENTS_COALESCED] = { "bpftune_events_coalesced", COUNTER,
				      "Events replaced by a newer one before the worker took them" },
	[METRIC_EVENTS_LOST] = { "bpftune_events_lost", COUNTER, "Events that found no room" },
	[METRIC_EVENTS_UNROUTABLE] = { "bpftune_events_unroutable", COUNTER,
				       "Events of no known instance, tuner or scenario" },
	[METRIC_EVENTS_UNSERVED] = { "bpftune_events_unserved", COUNTER,
				     "Events of instances that have no worker, as there are too many" },
	[METRIC_UNSIGHTED] = { "bpftune_unsighted", COUNTER,
			       "Tasks and sockets seen of namespaces beyond those that can be known" },
	[METRIC_UNKNOWN_REPORTS] = { "bpftune_unknown_reports", COUNTER, "Reports of workers of an unknown kind" },
	[METRIC_LOG_RECORDS] = { "bpftune_log_records", COUNTER, "Changes and warnings of tuners in the log" },
	[METRIC_BPF_ATTACHED] = { "bpftune_bpf_attached", GAUGE, "Whether the kernel has taken a BPF program" },
	[METRIC_BPF_RUNS] = { "bpftune_bpf_runs", COUNTER, "Runs of a BPF program that an observer calls" },
	[METRIC_BPF_TIMED_RUNS] = { "bpftune_bpf_timed_runs", COUNTER,
				    "Runs of any BPF program while kernel.bpf_stats_enabled was 1; an observer's contain "
				    "those of the programs that it calls" },
	[METRIC_BPF_RUN_TIME] = { "bpftune_bpf_run_time_seconds", COUNTER, "What the timed runs took" },
	[METRIC_CONTAINER] = { "bpftune_container", INFO, "What a container is called elsewhere" },
	[METRIC_WORKER_READY] = { "bpftune_worker_ready", GAUGE, "Whether a container's worker is ready" },
	[METRIC_WORKER_RESTARTS] = { "bpftune_worker_restarts", COUNTER, "Workers of a container that have died" },
	[METRIC_CHANGES] = { "bpftune_changes", COUNTER, "Changes of a tunable, by the scenario that led to them" },
	[METRIC_VALUE] = { "bpftune_tunable_value", GAUGE, "A tunable that bpftune has changed: its value of now" },
	[METRIC_INITIAL_VALUE] = { "bpftune_tunable_initial_value", GAUGE, "The same: its first value" },
	[METRIC_MANUAL] = { "bpftune_tuner_manual", GAUGE,
			    "A tuner that has stepped aside in a container, as somebody else wrote its tunable" },
	[METRIC_DECISIONS] = { "bpftune_decisions", GAUGE, "Decisions about connections that are in effect" },
	[METRIC_LIMITS_MET] = { "bpftune_limits_met", COUNTER,
				"How often a container has met a limit; the tuner that handles it, if one does" },
};

static const char *const type_names[N_METRICS_FORMATS][3] = {
	[METRICS_OPENMETRICS] = { "gauge", "counter", "info" },
	[METRICS_PROMETHEUS] = { "gauge", "counter", "gauge" },
};

static const char *const suffixes[] = { [GAUGE] = "", [COUNTER] = "_total", [INFO] = "_info" };

/* --- samples ------------------------------------------------------------------------------------ */

/* How many bytes of it make whole characters, and not too many. */
static size_t cut(const char *text)
{
	size_t n = strnlen(text, METRICS_LABEL_BYTES + 1);

	if (n <= METRICS_LABEL_BYTES)
		return n;
	for (n = METRICS_LABEL_BYTES; n && (text[n] & 0xc0) == 0x80;)
		n--;
	return n;
}

static void print_label(FILE *out, char before, const char *name, const char *text)
{
	size_t n = cut(text);

	fprintf(out, "%c%s=\"", before, name);
	for (size_t i = 0; i < n; i++) {
		if (text[i] == '\n') {
			fputs("\\n", out);
			continue;
		}
		if (text[i] == '"' || text[i] == '\\')
			putc('\\', out);
		putc(text[i], out);
	}
	putc('"', out);
}

void metrics_print(FILE *out, enum metric metric, double value, const char *const *labels)
{
	char before = '{';

	fprintf(out, "%s%s", families[metric].name, suffixes[families[metric].type]);
	for (; labels && labels[0]; labels += 2) {
		if (!*labels[1])
			continue;
		print_label(out, before, labels[0], labels[1]);
		before = ',';
	}
	fputs(before == ',' ? "} " : " ", out);
	fprintf(out, fabs(value) < 0x1p53 && value == floor(value) ? "%.0f\n" : "%.9g\n", value);
}

void metrics_put(struct metrics *metrics, enum metric metric, double value, const char *const *labels)
{
	metrics_print(metrics->families[metric].out, metric, value, labels);
}

void metrics_put_text(struct metrics *metrics, enum metric metric, const char *samples)
{
	fputs(samples, metrics->families[metric].out);
}

/* --- all of them -------------------------------------------------------------------------------- */

struct metrics *metrics_new(void)
{
	struct metrics *metrics = calloc(1, sizeof(*metrics));

	if (!metrics)
		return NULL;
	metrics->worker_states = json_object();
	metrics->tuner_states = json_object();
	for (size_t i = 0; i < N_METRICS; i++) {
		metrics->families[i].out = open_memstream(&metrics->families[i].text, &metrics->families[i].size);
		if (!metrics->families[i].out) {
			metrics_free(metrics);
			return NULL;
		}
	}
	return metrics;
}

bool metrics_complete(struct metrics *metrics)
{
	bool has_failed = false;

	metrics_forget_seen(metrics);
	for (size_t i = 0; i < N_METRICS; i++) {
		FILE *out = metrics->families[i].out;

		if (!out)
			continue;
		has_failed |= ferror(out) != 0;
		has_failed |= fclose(out) == EOF;
		metrics->families[i].out = NULL;
	}
	return !has_failed;
}

void metrics_free(struct metrics *metrics)
{
	if (!metrics)
		return;
	metrics_complete(metrics);
	for (size_t i = 0; i < N_METRICS; i++)
		free(metrics->families[i].text);
	json_decref(metrics->worker_states);
	json_decref(metrics->tuner_states);
	free(metrics);
}

/* In OpenMetrics a family's name is without its samples' suffix. */
char *metrics_head(enum metric metric, enum metrics_format format)
{
	const char *name = families[metric].name;
	const char *suffix = format == METRICS_OPENMETRICS ? "" : suffixes[families[metric].type];
	char *head;

	return asprintf(&head, "# HELP %s%s %s\n# TYPE %s%s %s\n", name, suffix, families[metric].help, name, suffix,
			type_names[format][families[metric].type]) < 0
		       ? NULL
		       : head;
}

const char *metrics_tail(enum metrics_format format)
{
	return format == METRICS_OPENMETRICS ? "# EOF\n" : "";
}

char *metrics_text(const struct metrics *metrics, enum metrics_format format, size_t *ret_size)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, ret_size);
	bool has_failed;

	if (!out)
		return NULL;
	for (size_t i = 0; i < N_METRICS; i++) {
		_cleanup_free_ char *head = metrics_head(i, format);

		fputs(head ? head : "", out);
		fwrite(metrics->families[i].text, 1, metrics->families[i].size, out);
	}
	fputs(metrics_tail(format), out);
	has_failed = ferror(out);
	if (fclose(out) == EOF || has_failed) {
		free(text);
		return NULL;
	}
	return text;
}
