/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `bpftune watch` knows of each instance. No clock, no terminal: times are arguments, in seconds of
 * CLOCK_REALTIME. */
#ifndef BPFTUNE_SUPERVISOR_CLI_WATCH_ROWS_H
#define BPFTUNE_SUPERVISOR_CLI_WATCH_ROWS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

#define WATCH_RECENT_S 60 /* what was measured or told before that is not of now */

struct watch_trouble {
	int rank;      /* more of it comes first; 0: none is known */
	char what[48]; /* a counter of a limit, a scenario, or what is wrong with the worker */
	char rate[24]; /* how often a limit is met, or the figure of a change's reason; "": not known */
};

struct watch_row {
	uint64_t id; /* of the instance */
	char *name, *runtime, *worker;
	json_int_t changes;
	json_t *changed; /* the tunables that were changed, as `status --json` has them */
	json_t *last;	 /* the newest record of a change or a warning; NULL: none is known */
	double last_s;
	char limit[48];		      /* the counter that grows fastest; "": none grows */
	double limit_rate, limit_s;   /* by the second; when that was told */
	json_int_t events;	      /* that its worker was sent */
	unsigned int looks_due;	      /* at its limits, as there were more events: two make a rate */
	struct watch_trouble trouble; /* as of the last watch_rows_arrange() */
	unsigned int listing;	      /* the last listing that had it */
	UT_hash_handle hh;
};

enum watch_order {
	WATCH_BY_TROUBLE,
	WATCH_BY_LATEST,
	WATCH_BY_CHANGES,
	WATCH_BY_NAME,
	WATCH_ORDERS
};

struct watch_rows {
	struct watch_row *by_id;
	unsigned int listing;
	struct watch_row **shown; /* sorted and filtered by watch_rows_arrange() */
	size_t n_shown, capacity, n_in_trouble;
};

extern const char *const watch_order_names[WATCH_ORDERS];

/* A listing of all instances begins, and is complete: those that it did not have are gone. */
void watch_rows_begin(struct watch_rows *rows);
void watch_rows_end(struct watch_rows *rows);

/* That instance has ended. */
void watch_rows_forget(struct watch_rows *rows, uint64_t id);

/* An instance as ListInstances tells it. */
void watch_rows_take(struct watch_rows *rows, json_t *instance, double now_s);
/* A record of the log. If it is `live`, and not one of the past, an instance that is not known is new. */
void watch_rows_record(struct watch_rows *rows, json_t *record, bool live);

/* Makes `shown`: those whose name, runtime or trouble has the filter in it ("": all), in this order. */
void watch_rows_arrange(struct watch_rows *rows, enum watch_order order, bool reversed, const char *filter,
			double now_s);

/* NULL: there is no such instance. */
struct watch_row *watch_rows_find(const struct watch_rows *rows, uint64_t id);

void watch_rows_clear(struct watch_rows *rows);

#endif
