/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What administrators have turned off, in memory and in two files: what is about all instances or the host outlasts a
 * boot, what is about a namespace or a cgroup goes with the boot whose cookies and ids they are.
 */
#ifndef BPFTUNE_SUPERVISOR_CHANGES_OFF_RULES_H
#define BPFTUNE_SUPERVISOR_CHANGES_OFF_RULES_H

#include <jansson.h>
#include <stdbool.h>

/* Scopes: these, or one that off_rules_scope() makes. */
#define OFF_ALL "all"
#define OFF_HOST "host"
#define OFF_SCOPE_BYTES 32

#define OFF_EVERY_TUNER "*" /* in the place of a tuner: also such as are added later */

struct off_rules {
	char *boot_path, *lasting_path;
	json_t *boot, *lasting;		    /* { SCOPE: { TUNER: true } } */
	bool boot_changed, lasting_changed; /* since the file was written */
};

/*
 * Reads RUN_DIR/off and STATE_DIR/off. 0 or -errno, with the file that is of no use: -EBADMSG: it says nothing that is
 * known; -EPERM: somebody else might have written it.
 */
int off_rules_open(struct off_rules *rules, const char *run_dir, const char *state_dir, const char **ret_path);
void off_rules_close(struct off_rules *rules);

bool off_rules_are_empty(const struct off_rules *rules);

/* Whether this tuner, or OFF_EVERY_TUNER, is turned off in that scope by those very words. */
bool off_rules_has(const struct off_rules *rules, const char *scope, const char *tuner);

void off_rules_add(struct off_rules *rules, const char *scope, const char *tuner);
void off_rules_remove(struct off_rules *rules, const char *scope, const char *tuner);

/* The scopes in which anything is turned off: a new array of strings. */
json_t *off_rules_scopes(const struct off_rules *rules);

/* All of a scope; false: there was nothing. */
bool off_rules_remove_scope(struct off_rules *rules, const char *scope);

/*
 * Writes the files whose rules have changed: 0, or -errno with the file that could not be written. The rules hold in
 * memory all the same. The lasting file is on a disk, which the supervisor waits for: so the end of a container, which
 * changes the other one, must not write it.
 */
int off_rules_save(struct off_rules *rules, const char **ret_path);

#endif
