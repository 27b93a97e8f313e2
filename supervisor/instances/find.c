// SPDX-License-Identifier: GPL-2.0-or-later
/* What an operator calls an instance. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "supervisor/instances/place.h"
#include "supervisor/instances/registry.h"
#include "supervisor/instances/sharer.h"

static bool parse_number(const char *text, uint64_t *ret_number)
{
	char *end;

	if (!*text || strspn(text, "0123456789") != strlen(text))
		return false;
	errno = 0;
	*ret_number = strtoull(text, &end, 10);
	return errno == 0;
}

/* NULL: the text does not begin so. */
static const char *after(const char *text, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(text, prefix, n) ? NULL : text + n;
}

/* What is said of the container id: of a user's container, what follows "uid UID/". NULL: nothing. */
static const char *id_part(const struct instance *instance, const char *container)
{
	size_t n = instance->uid ? strlen(instance->uid) : 0;

	if (!instance->container_id || !n)
		return instance->container_id ? container : NULL;
	container = after(container, USER_NAME);
	return container && !strncmp(container, instance->uid, n) && container[n] == '/' ? container + n + 1 : NULL;
}

static bool is_called(const struct instance *instance, const char *container)
{
	const char *id = id_part(instance, container);

	return !strcmp(instance->view.name, container) || (id && !strcmp(instance->container_id, id));
}

static bool has_prefix(const struct instance *instance, const char *container)
{
	const char *id = id_part(instance, container);
	size_t n = id ? strlen(id) : 0;

	/* Not the ones inside it: OUTER/INNER */
	return n && !strncmp(instance->container_id, id, n) && !strchr(instance->container_id + n, '/');
}

static struct instance *find_one(const struct instances *instances, const char *container,
				 bool (*matches)(const struct instance *instance, const char *container))
{
	struct instance *instance, *found = NULL;

	errno = ENOENT;
	for (instance = instances->by_id; instance; instance = instance->by_id.next) {
		if (instance_is_claim(instance) || !matches(instance, container))
			continue;
		if (found) {
			errno = ENOTUNIQ;
			return NULL;
		}
		found = instance;
	}
	return found;
}

/* Of the container that the task is in, if that shares the host's namespace. */
static struct instance *find_by_pid(struct instances *instances, const char *text)
{
	uint64_t pid;
	char path[CGROUP_PATH_BYTES], link[64];
	struct instance *instance, *sharer;
	enum cgroup_hierarchy hierarchy;
	struct stat st;

	if (!parse_number(text, &pid)) {
		errno = ENOENT;
		return NULL;
	}
	snprintf(link, sizeof(link), "/proc/%llu/ns/net", (unsigned long long)pid);
	if (stat(link, &st) < 0)
		return NULL; /* errno: ENOENT, or EACCES of a task that even root may not look at */
	instance = registry_by_inode(instances, st.st_ino);
	errno = ENOENT;
	if (!instance || instance->view.id != INSTANCE_HOST || !place_find_task(instances, (pid_t)pid, path, &hierarchy))
		return instance;
	sharer = sharer_of(instances, path);
	return sharer && !instance_is_claim(sharer) ? sharer : instance;
}

bool instance_parse_id(const char *container, uint64_t *ret_id)
{
	const char *number = after(container, ID_PREFIX);

	if (number && !parse_number(number, ret_id))
		*ret_id = 0;
	return number != NULL;
}

static struct instance *find_by_id(const struct instances *instances, uint64_t id)
{
	struct instance *instance = instance_by_id(instances, id);

	errno = ENOENT;
	return instance && !instance_is_claim(instance) ? instance : NULL;
}

struct instance *instance_find(struct instances *instances, const char *container)
{
	const char *pid = after(container, PID_PREFIX);
	struct instance *found;
	uint64_t id;

	if (pid)
		return find_by_pid(instances, pid);
	if (instance_parse_id(container, &id))
		return find_by_id(instances, id);
	found = find_one(instances, container, is_called);
	if (found || errno == ENOTUNIQ)
		return found;
	if (parse_number(container, &id) && (found = find_by_id(instances, id)))
		return found;
	return *container ? find_one(instances, container, has_prefix) : NULL;
}
