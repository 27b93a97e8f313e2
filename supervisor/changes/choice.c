// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/changes/choice.h"

#include <errno.h>
#include <string.h>

static bool is_called(const struct ledger_netns *netns, const char *container)
{
	return (netns->name && !strcmp(netns->name, container)) ||
	       (netns->container_id && !strcmp(netns->container_id, container));
}

static bool has_prefix(const struct ledger_netns *netns, const char *container)
{
	size_t n = strlen(container);

	/* Not the ones inside it: OUTER/INNER */
	return n && netns->container_id && !strncmp(netns->container_id, container, n) &&
	       !strchr(netns->container_id + n, '/');
}

static bool is_any(const struct ledger_netns *netns, const char *container)
{
	(void)netns, (void)container;
	return true;
}

/*
 * Ended containers may have had the name of one that lives. The beginning of an id must not stand for several ids,
 * ended or not. 0: none; 1; 2: several.
 */
static int count(const struct ledger *ledger, const struct surveyed_netns *survey, const char *container,
		 choice *matches)
{
	const struct ledger_netns *netns, *first = NULL;
	int living = 0;

	for (netns = ledger->netns; netns; netns = netns->hh.next) {
		if (!matches(netns, container))
			continue;
		living += survey_find(survey, netns->cookie) != NULL;
		if (first && matches == has_prefix && strcmp(first->container_id, netns->container_id))
			return 2;
		first = netns;
	}
	return living > 1 ? 2 : first != NULL;
}

int choice_of(const struct ledger *ledger, const struct surveyed_netns *survey, const char *container,
	      choice **ret_choice)
{
	int n = 1;

	*ret_choice = is_any;
	if (container) {
		*ret_choice = is_called;
		n = count(ledger, survey, container, is_called);
	}
	if (!n) {
		*ret_choice = has_prefix;
		n = count(ledger, survey, container, has_prefix);
	}
	return n > 1 ? -ENOTUNIQ : n ? 0 : -ENOENT;
}
