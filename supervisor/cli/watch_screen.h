/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The terminal, by ncurses. */
#ifndef BPFTUNE_SUPERVISOR_CLI_WATCH_SCREEN_H
#define BPFTUNE_SUPERVISOR_CLI_WATCH_SCREEN_H

#include <stdbool.h>
#include <stdint.h>

#include "supervisor/cli/watch_lines.h"

/* Takes the terminal over: keys come from `fd`. 0; -ENOTTY: this terminal is not known, and nothing was done. */
int screen_open(int fd);
/* As it was before. */
void screen_close(void);

/* Asks the terminal how large it is now. */
void screen_size(int *ret_width, int *ret_height);
void screen_show(const struct watch_lines *lines);

/* The next key, a character or an enum watch_key. False: there is none. */
bool screen_key(uint32_t *ret_key);

#endif
