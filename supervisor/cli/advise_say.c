// SPDX-License-Identifier: GPL-2.0-or-later
/* What is said about one line. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/cleanup.h"
#include "ipc/log.h"
#include "supervisor/cli/advise.h"
#include "supervisor/cli/advise_known.h"
#include "supervisor/cli/advise_value.h"
#include "supervisor/cli/ask.h"

#define NAMES_SHOWN 3 /* of containers that have the same value */
#define HOST 1	      /* the host's instance */

enum severity {
	NOTE,
	WARNING,
	ERROR
};

__attribute__((format(printf, 4, 5))) static void say(struct advice *advice, const struct sysctl_line *line,
						      enum severity severity, const char *format, ...)
{
	static const char *const names[] = { "note", "warning", "error" };
	const char *key = line->setting.key;
	char path[4096], text[4096], shown[4096];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_escape(line->path, path, sizeof(path));
	log_escape(text, shown, sizeof(shown));
	printf("%s:%u: %s: %s%s%s\n", path, line->number, names[severity], key ? key : "", key ? ": " : "", shown);
	advice->n_errors += severity == ERROR;
	advice->n_warnings += severity == WARNING;
}

/* --- values ------------------------------------------------------------------------------------- */

static bool says_of_value(struct advice *advice, const struct sysctl_line *line, const struct sysctl_place *here)
{
	const char *value = line->setting.value, *comment = strstr(value, " #"), *word = value;
	size_t n_here = here->has_value ? value_count_numbers(here->value) : 0, n_words = 0, n = 0;

	if (comment) {
		say(advice, line, WARNING, "'#' begins no comment behind a value: the kernel is given all of '%s'",
		    value);
		return true;
	}
	/* Others show a number and take words, too: kernel.core_pattern, say. */
	if (!n_here || (strncmp(line->setting.key, "net.", 4) != 0 && strncmp(line->setting.key, "vm.", 3) != 0))
		return false;
	while ((n = value_next_word(&word, n))) {
		n_words++;
		if (strspn(word, "-+0123456789abcdefABCDEFx,") < n) {
			say(advice, line, ERROR, "a number is wanted, and '%.*s' is none", (int)n, word);
			return true;
		}
	}
	if (!n_words)
		say(advice, line, ERROR, "there is no value");
	else if (n_words > n_here)
		say(advice, line, WARNING, "it has %zu number%s, and the line %zu", n_here, n_here > 1 ? "s" : "",
		    n_words);
	return !n_words;
}

/* --- the kernel --------------------------------------------------------------------------------- */

static void say_absent(struct advice *advice, const struct sysctl_line *line)
{
	const char *key = line->setting.key, *why = known_obsolete(key), *module = known_module(key);
	enum severity severity = line->setting.may_fail ? NOTE : WARNING;

	if (why)
		say(advice, line, WARNING, "%s", why);
	else if (line->setting.is_glob)
		say(advice, line, severity, "no key matches on this kernel");
	else if (module)
		say(advice, line, severity,
		    "it does not exist while the module %s is not loaded, and the line then does nothing", module);
	else
		say(advice, line, severity, "this kernel does not have it");
}

static void say_of_namespace(struct advice *advice, const struct sysctl_line *line, const struct sysctl_place *fresh)
{
	bool is_same = fresh->has_value && value_is_in_effect(line->setting.value, fresh->value);

	if (sysctl_is_of_device(line->setting.key))
		say(advice, line, NOTE,
		    "a network device's: the line has effect on devices of the host's network namespace");
	else if (!fresh->has_value || line->setting.is_glob)
		say(advice, line, NOTE, "each network namespace has its own: the line sets the host's only");
	else
		say(advice, line, NOTE,
		    "each network namespace has its own: the line sets the host's only; one that is made now begins with %s%s",
		    fresh->value, is_same ? ", too" : "");
}

static void say_scope(struct advice *advice, const struct sysctl_line *line, const struct sysctl_look *look)
{
	const char *other = known_namespace(line->setting.key);

	switch (look->scope) {
	case SCOPE_NAMESPACE:
		say_of_namespace(advice, line, &look->fresh);
		break;
	case SCOPE_HOST:
		say(advice, line, NOTE, "the machine's: a container %s",
		    look->fresh.exists ? "sees the same value, and cannot write it" : "does not have it");
		break;
	case SCOPE_OTHER:
		if (other)
			say(advice, line, NOTE, "each %s has its own: the line sets the host's only", other);
		else
			say(advice, line, NOTE, "the machine's");
		break;
	case SCOPE_UNKNOWN:
		say(advice, line, NOTE, "the host's; only root can find out whether a container has its own");
		break;
	case SCOPE_NO_DEVICE:
		say(advice, line, NOTE,
		    "a network device's of the host's network namespace, which has no device of this name now");
		break;
	case SCOPE_ABSENT:
		break;
	}
}

/* --- what instances have ------------------------------------------------------------------------ */

json_t *advise_tunable(json_t *instance, const char *name)
{
	json_t *tunable;
	size_t i;

	json_array_foreach (json_object_get(instance, "tunables"), i, tunable)
		if (!strcmp(text_of(tunable, "name"), name))
			return tunable;
	return NULL;
}

bool advise_is_tuned(json_t *instance, json_t *tunable)
{
	json_t *tuner;
	size_t i;

	json_array_foreach (json_object_get(instance, "tuners"), i, tuner)
		if (!strcmp(text_of(tuner, "name"), text_of(tunable, "tuner")) &&
		    !strcmp(text_of(tuner, "state"), "manual"))
			return false;
	return number_of(tunable, "changes") && strcmp(text_of(tunable, "initial"), text_of(tunable, "current")) != 0;
}

/* Whether one note says what these two containers have. */
static bool is_same(json_t *one, json_t *other, const char *key)
{
	json_t *its = advise_tunable(one, key), *others = advise_tunable(other, key);
	bool is_tuned;

	if (!its || !others || number_of(one, "id") == HOST || number_of(other, "id") == HOST ||
	    strcmp(text_of(its, "current"), text_of(others, "current")) != 0)
		return false;
	is_tuned = advise_is_tuned(one, its);
	return is_tuned == advise_is_tuned(other, others) &&
	       (!is_tuned || !strcmp(text_of(its, "initial"), text_of(others, "initial")));
}

/* As "web", or "web, db, cache and 4 others": those from the i-th on that are the same. Returns how many. */
static size_t name_group(json_t *instances, size_t i, const char *key, char *ret_names, size_t size)
{
	json_t *first = json_array_get(instances, i);
	size_t n = 0, at = 0;

	for (; i < json_array_size(instances); i++) {
		json_t *instance = json_array_get(instances, i);

		if (is_same(first, instance, key) && n++ < NAMES_SHOWN && at < size)
			at += snprintf(ret_names + at, size - at, "%s%s", n > 1 ? ", " : "", text_of(instance, "name"));
	}
	if (n > NAMES_SHOWN && at < size)
		snprintf(ret_names + at, size - at, " and %zu other%s", n - NAMES_SHOWN,
			 n > NAMES_SHOWN + 1 ? "s" : "");
	return n;
}

static void say_group(struct advice *advice, const struct sysctl_line *line, size_t i)
{
	json_t *instance = json_array_get(advice->instances, i), *tunable = advise_tunable(instance, line->setting.key);
	char names[1024];
	bool are_many = name_group(advice->instances, i, line->setting.key, names, sizeof(names)) > 1;

	if (advise_is_tuned(instance, tunable))
		say(advice, line, NOTE, "%s %s %s, measured by %s to be of use; first %s", names,
		    are_many ? "have" : "has", text_of(tunable, "current"), text_of(tunable, "tuner"),
		    text_of(tunable, "initial"));
	else
		say(advice, line, NOTE, "%s %s %s", names, are_many ? "have" : "has", text_of(tunable, "current"));
}

/* Containers with the same value are one note. */
static void say_containers(struct advice *advice, const struct sysctl_line *line)
{
	const char *key = line->setting.key;
	json_t *instance;
	size_t i, before;

	json_array_foreach (advice->instances, i, instance) {
		if (!advise_tunable(instance, key) || number_of(instance, "id") == HOST)
			continue;
		for (before = 0; before < i; before++)
			if (is_same(json_array_get(advice->instances, before), instance, key))
				break;
		if (before == i)
			say_group(advice, line, i);
	}
}

static json_t *find_host(json_t *instances)
{
	json_t *instance;
	size_t i;

	json_array_foreach (instances, i, instance)
		if (number_of(instance, "id") == HOST)
			return instance;
	return NULL;
}

static void say_host(struct advice *advice, const struct sysctl_line *line, const struct sysctl_place *here)
{
	json_t *host = find_host(advice->instances), *tunable = advise_tunable(host, line->setting.key);
	const char *current = tunable ? text_of(tunable, "current") : here->value, *wanted = line->setting.value;

	if (tunable && advise_is_tuned(host, tunable)) {
		bool is_undone = value_is_taken_back(wanted, text_of(tunable, "initial"), current);

		say(advice, line, is_undone ? WARNING : NOTE,
		    "the host has %s, measured by %s to be of use; first %s%s", current, text_of(tunable, "tuner"),
		    text_of(tunable, "initial"), is_undone ? "; the line takes it back when it is applied" : "");
	} else if ((tunable || here->has_value) && !value_is_in_effect(wanted, current)) {
		say(advice, line, advice->is_installed ? WARNING : NOTE, "%sthe host has %s",
		    advice->is_installed ? "not in effect: " : "", current);
	}
}

/* --- a line ------------------------------------------------------------------------------------- */

/* What vendors' files say is there to be overridden. */
static bool is_vendors(const char *path)
{
	return !strncmp(path, "/usr/", 5) || !strncmp(path, "/lib/", 5);
}

static void say_overridden(struct advice *advice, const struct sysctl_line *line)
{
	const struct sysctl_line *by = line->overridden_by;

	say(advice, line, is_vendors(line->path) && strcmp(line->path, by->path) ? NOTE : WARNING,
	    "ignored: %s:%u sets it, too, to %s", by->path, by->number, by->setting.value);
}

void advise_line(struct advice *advice, size_t i)
{
	const struct sysctl_line *line = &advice->files.lines[i];
	const struct sysctl_look *look = &advice->looks[i];
	const char *why;

	if (line->setting.malformed) {
		say(advice, line, ERROR, "%s: the line sets nothing", line->setting.malformed);
		return;
	}
	if (!line->setting.value)
		return;
	why = known_obsolete(line->setting.key);
	if (look->scope == SCOPE_ABSENT)
		say_absent(advice, line);
	else if (why)
		say(advice, line, WARNING, "%s", why);
	else if (!look->here.is_writable && look->here.exists)
		say(advice, line, WARNING, "it is read-only");
	else if (line->overridden_by)
		say_overridden(advice, line);
	else if (!says_of_value(advice, line, &look->here)) {
		say_scope(advice, line, look);
		if (!line->setting.is_glob)
			say_host(advice, line, &look->here);
		say_containers(advice, line);
	}
}
