/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The page of `bpftune report`. What others chose in it (names, reasons) goes through html_text(). */
#ifndef BPFTUNE_SUPERVISOR_CLI_REPORT_H
#define BPFTUNE_SUPERVISOR_CLI_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#define REPORT_RECORDS 256 /* as many as a supervisor keeps of an instance */

/* Where a page goes, and when it is made. */
struct page {
	FILE *out;
	const char *container; /* its name; NULL: of all */
	bool is_dry_run;       /* nothing was written */
	double now_s;
	long utc_offset_s;
};

/* The record's time in seconds of CLOCK_REALTIME. False: it has none. */
bool report_time(json_t *record, double *ret_s);

/* Changes in the tunables or in the log, if it has that, or something learnt. */
bool report_has_news(json_t *instance);

/* `status` is GetStatus's reply; each instance that is told of has its log besides, as "records". */
void report_page(const struct page *page, json_t *status, json_t *instances);

/*
 * One tunable's part of an instance's: its plots and its changes. `tunable` is as in the instance's "tunables"; NULL:
 * the tunable is the host's, and what is known are the records of that name.
 */
void report_tunable(const struct page *page, const char *name, json_t *tunable, json_t *records);

#endif
