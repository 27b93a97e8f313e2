/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A line of a file as sysctl.d(5) describes it. */
#ifndef BPFTUNE_SUPERVISOR_CLI_ADVISE_LINE_H
#define BPFTUNE_SUPERVISOR_CLI_ADVISE_LINE_H

#include <stdbool.h>
#include <stddef.h>

struct setting {
	char *key;	       /* as sysctl(8) shows it: net.ipv4.conf.eth0/1.rp_filter. NULL: the line sets nothing */
	char *value;	       /* runs of blanks are one. NULL: the key is only exempt from globs (`-key`) */
	const char *malformed; /* what is wrong with the line, and nothing is set; NULL: nothing is wrong */
	bool may_fail;	       /* `-key = value` */
	bool is_glob;
};

/* The line's bytes without its newline; what is neither blank nor a comment is a key or malformed. 0 or -ENOMEM. */
int setting_parse(const char *line, size_t n, struct setting *ret_setting);

void setting_clear(struct setting *setting);

#endif
