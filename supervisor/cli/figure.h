/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The figure that a change's reason begins with: how fast a flow was, or how much trouble there was. */
#ifndef BPFTUNE_SUPERVISOR_CLI_FIGURE_H
#define BPFTUNE_SUPERVISOR_CLI_FIGURE_H

#include <stdbool.h>

struct figure {
	double value;
	char name[128]; /* "Mbit/s", or "ReasmFails per 100 ReasmReqds" */
};

/* False: the text has neither a rate nor a trouble per work. */
bool figure_of_reason(const char *text, struct figure *ret_figure);

/* The number at that place of a value such as "4096 16384 65536", from 0 on. False: there is none. */
bool figure_of_value(const char *value, unsigned int place, double *ret_number);

#endif
