// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/instances/registry.h"

#include <errno.h>
#include <stdbool.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisor/kernel/bpf.h"
#include "supervisor/changes/learnt.h"

static struct instance *make(struct registry *registry, uint64_t netns_cookie, uint32_t netns_inode)
{
	struct instance *instance = calloc(1, sizeof(*instance));

	if (!instance)
		return NULL;
	instance->pub.netns_cookie = netns_cookie;
	instance->pub.netns_inode = netns_inode;
	instance->pub.ring_fd = instance->pub.event_fd = -1;
	instance->child.event_fd = instance->child.report_fd = -1;
	instance->pub.cgroup_path = strdup("/");
	if (asprintf(&instance->pub.name, "netns-%u", netns_inode) < 0)
		instance->pub.name = NULL;
	if (!instance->pub.name || !instance->pub.cgroup_path) {
		free(instance->pub.name);
		free(instance->pub.cgroup_path);
		free(instance);
		return NULL;
	}
	instance->pub.id = ++registry->last_id;
	HASH_ADD(by_id, registry->by_id, pub.id, sizeof(uint64_t), instance);
	return instance;
}

struct instance *instance_new(struct registry *registry, uint64_t netns_cookie, uint32_t netns_inode)
{
	struct instance *instance = make(registry, netns_cookie, netns_inode);

	if (instance)
		HASH_ADD(by_cookie, registry->by_cookie, pub.netns_cookie, sizeof(uint64_t), instance);
	return instance;
}

struct instance *instance_new_shared(struct registry *registry, const struct instance *host)
{
	struct instance *instance = make(registry, host->pub.netns_cookie, host->pub.netns_inode);

	if (instance)
		instance->pub.shares_netns = true;
	return instance;
}

bool instance_is_claim(const struct instance *instance)
{
	return instance->pub.shares_netns && !instance->pub.cgroup_id;
}

void instance_free(struct registry *registry, struct instance *instance)
{
	if (!instance->pub.shares_netns)
		HASH_DELETE(by_cookie, registry->by_cookie, instance);
	HASH_DELETE(by_id, registry->by_id, instance);
	event_queue_clear(&instance->child.queue);
	learnt_free(&instance->learnt);
	bpf_detach_container(&instance->links, &instance->n_links);
	free(instance->container_id);
	free(instance->pod_uid);
	free(instance->owner);
	free(instance->pub.name);
	free(instance->pub.cgroup_path);
	free(instance);
}

struct instance *instance_by_cookie(const struct registry *registry, uint64_t netns_cookie)
{
	struct instance *instance;

	HASH_FIND(by_cookie, registry->by_cookie, &netns_cookie, sizeof(netns_cookie), instance);
	return instance;
}

struct instance *instance_by_id(const struct registry *registry, uint64_t id)
{
	struct instance *instance;

	HASH_FIND(by_id, registry->by_id, &id, sizeof(id), instance);
	return instance;
}

static bool parse_number(const char *text, unsigned long *ret_number)
{
	char *end;

	if (!*text || strspn(text, "0123456789") != strlen(text))
		return false;
	errno = 0;
	*ret_number = strtoul(text, &end, 10);
	return errno == 0;
}

static bool is_called(const struct instance *instance, const char *container)
{
	return !strcmp(instance->pub.name, container) ||
	       (instance->container_id && !strcmp(instance->container_id, container));
}

static bool has_prefix(const struct instance *instance, const char *container)
{
	size_t n = strlen(container);

	/* Not the ones inside it: OUTER/INNER */
	return instance->container_id && !strncmp(instance->container_id, container, n) &&
	       !strchr(instance->container_id + n, '/');
}

static struct instance *find_one(const struct registry *registry, const char *container,
				 bool (*matches)(const struct instance *instance, const char *container))
{
	struct instance *instance, *found = NULL;

	errno = ENOENT;
	for (instance = registry->by_id; instance; instance = instance->by_id.next) {
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

static bool has_inode_of(const struct instance *instance, const char *path)
{
	struct stat st;

	return !instance->pub.shares_netns && stat(path, &st) == 0 && st.st_ino == instance->pub.netns_inode;
}

struct instance *instance_find(const struct registry *registry, const char *container)
{
	struct instance *found;
	unsigned long number;
	char path[64];

	if (!strncmp(container, "pid:", 4)) {
		if (!parse_number(container + 4, &number)) {
			errno = ENOENT;
			return NULL;
		}
		snprintf(path, sizeof(path), "/proc/%lu/ns/net", number);
		if (access(path, F_OK) < 0)
			return NULL; /* errno: ENOENT, or EACCES of a task that even root may not look at */
		return find_one(registry, path, has_inode_of);
	}
	found = find_one(registry, container, is_called);
	if (found || errno == ENOTUNIQ)
		return found;
	if (parse_number(container, &number) && (found = instance_by_id(registry, number)) && !instance_is_claim(found))
		return found;
	return *container ? find_one(registry, container, has_prefix) : NULL;
}
