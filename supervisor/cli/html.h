/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text in a page of HTML that is XML as well. */
#ifndef BPFTUNE_SUPERVISOR_CLI_HTML_H
#define BPFTUNE_SUPERVISOR_CLI_HTML_H

#include <stdio.h>

/* The text, which may be anything, so that nothing of it is taken for markup: in an element, or in quotes of an
 * attribute. */
void html_text(FILE *out, const char *text);

/* An element of that name and class with the text in it. `name` and `class` are ours. */
void html_element(FILE *out, const char *name, const char *class, const char *text);

#endif
