/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `bpftune watch` shows: a table of all instances, or one that was opened. Keys change it; a page of lines is made
 * of it. */
#ifndef BPFTUNE_SUPERVISOR_CLI_WATCH_VIEW_H
#define BPFTUNE_SUPERVISOR_CLI_WATCH_VIEW_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "supervisor/cli/watch_lines.h"
#include "supervisor/cli/watch_rows.h"

#define WATCH_RECORDS 512 /* of the opened one's log that are kept */

/* Instances whose limits are read in a round, each by its worker, which wakes up for that: a hundredth of the time. */
#define WATCH_AT_ONCE 16
#define WATCH_ON_PAGE 10 /* at most, of these: rows on the page */
#define WATCH_STIRRED 4	 /* at most, of these: other rows that had events */

/* Of the supervisor. */
struct watch_head {
	char version[32];
	bool is_dry_run;
	double up_s, told_s; /* how long it has run; when it said so, 0: not yet */
	json_int_t received, lost;
	double events_per_s;
};

/* Of the one that is opened. */
struct watch_opened {
	uint64_t id;	   /* 0: none is opened, and the table is shown */
	json_t *instance;  /* as ListInstances told it last, with limits_met; NULL: not yet */
	json_t *records;   /* of its log, the newest last; NULL: not yet */
	json_int_t missed; /* records that came too fast */
	bool has_ended;
	size_t back; /* so many lines of the log, at its end, are scrolled out of the page */
};

struct watch_view {
	struct watch_rows rows;
	struct watch_head head;
	struct watch_opened opened;
	enum watch_order order;
	bool reversed;
	bool is_only; /* the opened one is all that was asked for: there is no way to the table */
	char filter[64];
	bool is_typing;	   /* the filter */
	uint64_t selected; /* an instance's id, which stays selected when rows change places; 0: whatever is first */
	size_t top, page;  /* the first row that is shown, and how many fit; 0: all */
	size_t page_turn, turn, stirred_turn; /* whose turn it is: on the page, of the others, and of these if they had events */
};

/* A character, or one of these. */
enum watch_key {
	WATCH_KEY_UP = 0x110000,
	WATCH_KEY_DOWN,
	WATCH_KEY_PAGE_UP,
	WATCH_KEY_PAGE_DOWN,
	WATCH_KEY_HOME,
	WATCH_KEY_END,
	WATCH_KEY_ENTER,
	WATCH_KEY_ESCAPE,
	WATCH_KEY_ERASE,
};

/* What the supervisor tells: the reply to GetStatus, an instance of ListInstances, records of the opened one's log. */
void watch_view_status(struct watch_view *view, json_t *status, double now_s);
void watch_view_instance(struct watch_view *view, json_t *instance, double now_s);
void watch_view_records(struct watch_view *view, json_t *records, json_int_t missed);

/* Of the rows that are shown; NULL: there is none. */
const struct watch_row *watch_view_selected(const struct watch_view *view, size_t *ret_place);

/* False: the user wants to leave. */
bool watch_view_key(struct watch_view *view, uint32_t key);
void watch_view_open(struct watch_view *view, uint64_t id);

/*
 * Whose limits are to be read: the opened one's; or on a terminal WATCH_AT_ONCE: rows of the page in turn, others that had
 * events, all others in turn; or all. `ids` has room for `shown` and one more. How many.
 */
size_t watch_view_asked(struct watch_view *view, uint64_t *ids);

/* Makes the page: `height` lines, or as many as it takes if that is 0. */
void watch_view_lines(struct watch_view *view, struct watch_lines *lines, size_t height, double now_s);
/* Of the two pages each: watch_view_lines() chooses. */
void watch_table_lines(struct watch_view *view, struct watch_lines *lines, size_t height, double now_s);
void watch_open_lines(struct watch_view *view, struct watch_lines *lines, size_t height);

/* A record in one sentence, without its container. To be freed; NULL: no memory. */
char *watch_record_text(json_t *record);

void watch_view_clear(struct watch_view *view);

#endif
