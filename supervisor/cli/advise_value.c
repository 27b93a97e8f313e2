// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/cli/advise_value.h"

#include <stdlib.h>
#include <string.h>

size_t value_next_word(const char **text, size_t last)
{
	*text += last;
	*text += strspn(*text, " ");
	return strcspn(*text, " ");
}

size_t value_count_numbers(const char *value)
{
	size_t n_words = 0, n = 0;

	while ((n = value_next_word(&value, n))) {
		if (strspn(value, "-0123456789") < n)
			return 0;
		n_words++;
	}
	return n_words;
}

bool value_is_in_effect(const char *wanted, const char *current)
{
	size_t n = strlen(wanted);

	return !strncmp(wanted, current, n) && (!current[n] || (n && current[n] == ' '));
}

bool value_is_taken_back(const char *wanted, const char *initial, const char *current)
{
	char *end, *end_initial, *end_current;

	for (;; wanted = end, initial = end_initial, current = end_current) {
		long long new = strtoll(wanted, &end, 10), first = strtoll(initial, &end_initial, 10),
			  now = strtoll(current, &end_current, 10);

		if (end == wanted || end_initial == initial || end_current == current)
			return false;
		if (now > first ? new < now : now<first &&new> now)
			return true;
	}
}
