/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Values of sysctls as text: words with a blank between two. */
#ifndef BPFTUNE_SUPERVISOR_CLI_ADVISE_VALUE_H
#define BPFTUNE_SUPERVISOR_CLI_ADVISE_VALUE_H

#include <stdbool.h>
#include <stddef.h>

/* Goes on from a word of that length to the next one, whose length it returns; 0: there is none. */
size_t value_next_word(const char **text, size_t last);

/* How many numbers the value is; 0: at least one word is no number. */
size_t value_count_numbers(const char *value);

/* The current value is as wanted; a line may want the first ones of several numbers only. */
bool value_is_in_effect(const char *wanted, const char *current);

/* In at least one number, what is wanted undoes a part of the way from the initial value to the current one. */
bool value_is_taken_back(const char *wanted, const char *initial, const char *current);

#endif
