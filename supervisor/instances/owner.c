// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/instances/owner.h"

#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "ipc/unshared.h"
#include "supervisor/instances/cgroup.h"

/* --- the table ---------------------------------------------------------------------------------- */

static void free_one(struct owner *owner)
{
	unshared_free(owner->name);
	unshared_free(owner);
}

static void forget(struct instances *instances, struct owner *owner)
{
	HASH_DEL(instances->owners, owner); /* NOLINT(clang-analyzer-unix.Malloc): what was freed is not in the table */
	free_one(owner);
}

static bool is_of_use(const struct owner *owner, uint64_t now_ms)
{
	return owner->n_users || !bucket_is_full(&owner->log.records, now_ms) ||
	       !bucket_is_full(&owner->forks, now_ms) || !bucket_is_full(&owner->filed, now_ms);
}

/* Containers come and go for years. */
static void forget_some(struct instances *instances)
{
	struct owner *owner, *next;
	size_t kept = 0;

	HASH_ITER (hh, instances->owners, owner, next)
		if (is_of_use(owner, uv_now(instances->loop)))
			kept++;
		else
			forget(instances, owner);
	instances->owners_forget_at = kept < OWNERS_KEPT / 2 ? OWNERS_KEPT : 2 * kept;
}

static struct owner *add(struct instances *instances, const char *name)
{
	struct owner *owner = unshared_alloc(sizeof(*owner));

	if (owner)
		owner->name = unshared_strdup(name);
	if (!owner || !owner->name) {
		unshared_free(owner);
		return NULL;
	}
	HASH_ADD_KEYPTR(hh, instances->owners, owner->name, strlen(owner->name), owner);
	return owner;
}

const char *owner_name(const struct instance *instance)
{
	return instance->is_mounted ? OWNER_ROOT : instance->owner ? instance->owner : "";
}

struct owner *owner_get(struct instances *instances, const struct instance *instance)
{
	const char *name = owner_name(instance);
	struct owner *owner;

	HASH_FIND_STR(instances->owners, name, owner);
	if (!owner)
		owner = add(instances, name);
	if (owner)
		owner_hold(owner);
	if (HASH_COUNT(instances->owners) > instances->owners_forget_at)
		forget_some(instances);
	return owner;
}

void owner_hold(struct owner *owner)
{
	owner->n_users++;
}

bool owner_is_root(const struct owner *owner)
{
	return !strcmp(owner->name, OWNER_ROOT);
}

void owner_put(struct instances *instances, struct owner *owner)
{
	if (!owner)
		return;
	owner->n_users--;
	if (!is_of_use(owner, uv_now(instances->loop)))
		forget(instances, owner);
}

void owners_free(struct instances *instances)
{
	struct owner *owner = instances->owners, *next;

	HASH_CLEAR(hh, instances->owners);
	for (; owner; owner = next) {
		next = owner->hh.next;
		free_one(owner);
	}
}

/* --- instances ---------------------------------------------------------------------------------- */

void owner_uncount(struct instances *instances, struct instance *instance)
{
	struct owner *owner = instance->counted;

	instance->counted = NULL;
	if (!owner)
		return;
	if (--owner->n_instances < OWNER_INSTANCES_MAX)
		owner->said_full = false;
	owner_put(instances, owner);
}

void owner_count(struct instances *instances, struct instance *instance)
{
	bool has_owner = instance->owner && !instance->is_mounted;

	if (instance->counted && has_owner && !strcmp(instance->counted->name, instance->owner))
		return;
	owner_uncount(instances, instance);
	instance->counted = has_owner ? owner_get(instances, instance) : NULL;
	if (instance->counted)
		instance->counted->n_instances++;
}

bool owner_is_over(const struct instance *instance)
{
	const struct owner *owner = instance->counted;
	char uid[CGROUP_UID_BYTES];

	return owner && owner->n_instances > OWNER_INSTANCES_MAX &&
	       !(cgroup_find_user(owner->name, uid) && !strcmp(uid, "0"));
}

void owner_say_over(struct instances *instances, struct instance *instance)
{
	struct owner *owner = instance->counted;

	if (!owner->said_full)
		instance_log(instances, NULL, LOG_WARNING,
			     "no more namespaces of %s are tuned: there are %d, the most for one owner",
			     *owner->name ? owner->name : "no container", OWNER_INSTANCES_MAX);
	owner->said_full = true;
}

/* --- the log ------------------------------------------------------------------------------------ */

struct owner_log *owner_log_of(struct instances *instances, const struct instance *instance)
{
	if (instance->is_mounted)
		return NULL;
	if (instance->counted && *instance->counted->name)
		return &instance->counted->log;
	/* Nobody is known to have made it: then it has a share with few others, not with all such. */
	return &instances->ownerless_logs[instance->view.id % OWNERLESS_LOGS];
}
