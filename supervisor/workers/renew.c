// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/workers/renew.h"

#include <syslog.h>

#include "supervisor/workers/child.h"

void renew_begin(struct workers *workers)
{
	workers->is_renewing = true;
}

void workers_renew(struct workers *workers)
{
	workers->tuners++;
	workers->renewed = 0;
	renew_begin(workers);
}

static bool is_under_way(const struct instance *instance)
{
	const struct child *child = instance ? instance->child : NULL;

	return child && (child->state == CHILD_RENEWING || child->state == CHILD_STARTING);
}

static struct instance *first_outdated(const struct workers *workers, struct instance *from)
{
	while (from && !(from->child && from->child->state == CHILD_READY && from->child->tuners != workers->tuners))
		from = from->by_id.next;
	return from;
}

struct child *renew_next(struct workers *workers)
{
	struct instance *last = workers->is_renewing ? instance_by_id(workers->instances, workers->renewed) : NULL;
	struct instance *next;

	if (!workers->is_renewing || workers->stopping || is_under_way(last))
		return NULL;
	next = first_outdated(workers, last);
	if (!next)
		next = first_outdated(workers, workers->instances->by_id);
	if (next) {
		workers->renewed = next->view.id;
		workers->n_renewed++;
		return next->child;
	}
	workers->is_renewing = false;
	instance_log(workers->instances, NULL, LOG_INFO,
		     "%u workers were replaced, one after another: all have all tuners", workers->n_renewed);
	workers->n_renewed = 0;
	return NULL;
}
