// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/instances/owner.h"

#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "supervisor/instances/cgroup.h"

static struct owner_count *find_or_add(struct instances *instances, const char *name)
{
	struct owner_count *owner;

	HASH_FIND_STR(instances->owners, name, owner);
	if (owner)
		return owner;
	owner = calloc(1, sizeof(*owner));
	if (owner)
		owner->name = strdup(name);
	if (!owner || !owner->name) {
		free(owner);
		return NULL;
	}
	HASH_ADD_KEYPTR(hh, instances->owners, owner->name, strlen(owner->name), owner);
	return owner;
}

void owner_uncount(struct instances *instances, struct instance *instance)
{
	struct owner_count *owner = instance->counted;

	instance->counted = NULL;
	if (!owner)
		return;
	if (--owner->n < OWNER_INSTANCES_MAX)
		owner->said_full = false;
	if (owner->n)
		return;
	HASH_DEL(instances->owners, owner);
	free(owner->name);
	free(owner);
}

void owner_count(struct instances *instances, struct instance *instance)
{
	const char *name = instance->is_mounted ? NULL : instance->owner;

	if (instance->counted && name && !strcmp(instance->counted->name, name))
		return;
	owner_uncount(instances, instance);
	instance->counted = name ? find_or_add(instances, name) : NULL;
	if (instance->counted)
		instance->counted->n++;
}

bool owner_is_over(const struct instance *instance)
{
	const struct owner_count *owner = instance->counted;
	char uid[CGROUP_UID_BYTES];

	return owner && owner->n > OWNER_INSTANCES_MAX && !(cgroup_find_user(owner->name, uid) && !strcmp(uid, "0"));
}

void owner_say_over(struct instances *instances, struct instance *instance)
{
	struct owner_count *owner = instance->counted;

	if (!owner->said_full)
		instance_log(instances, NULL, LOG_WARNING,
			     "no more namespaces of %s are tuned: there are %d, the most for one owner",
			     *owner->name ? owner->name : "no container", OWNER_INSTANCES_MAX);
	owner->said_full = true;
}
