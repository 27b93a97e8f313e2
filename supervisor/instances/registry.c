// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/instances/registry.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/unshared.h"

static struct instance *make(struct instances *instances, uint64_t netns_cookie, uint32_t netns_inode)
{
	struct instance *instance = pool_get(&instances->pool, sizeof(*instance));
	char name[32];

	if (!instance)
		return NULL;
	instance->view.netns_cookie = netns_cookie;
	instance->view.netns_inode = netns_inode;
	instance->view.event_fd = -1;
	instance->view.ring_fd = instances->kernel->host.shared_fds[SHARED_EVENTS];
	instance->view.cgroup_path = unshared_strdup("/");
	snprintf(name, sizeof(name), "netns-%u", netns_inode);
	instance->view.name = unshared_strdup(name);
	if (!instance->view.name || !instance->view.cgroup_path) {
		unshared_free(instance->view.name);
		unshared_free(instance->view.cgroup_path);
		pool_put(&instances->pool, instance);
		return NULL;
	}
	instance->view.id = ++instances->last_id;
	HASH_ADD(by_id, instances->by_id, view.id, sizeof(uint64_t), instance);
	HASH_ADD_KEYPTR(by_name, instances->by_name, instance->view.name, strlen(instance->view.name), instance);
	return instance;
}

struct instance *registry_add(struct instances *instances, uint64_t netns_cookie, uint32_t netns_inode)
{
	struct instance *instance = make(instances, netns_cookie, netns_inode);

	if (!instance)
		return NULL;
	HASH_ADD(by_cookie, instances->by_cookie, view.netns_cookie, sizeof(uint64_t), instance);
	HASH_ADD(by_inode, instances->by_inode, view.netns_inode, sizeof(uint32_t), instance);
	return instance;
}

struct instance *registry_add_claim(struct instances *instances, const char *cgroup_path)
{
	const struct instance *host = instance_host(instances);
	struct instance *instance = make(instances, host->view.netns_cookie, host->view.netns_inode);

	if (!instance)
		return NULL;
	instance->view.shares_netns = true;
	instance->claim = unshared_strdup(cgroup_path);
	if (!instance->claim) {
		registry_remove(instances, instance);
		registry_free(instances, instance);
		return NULL;
	}
	HASH_ADD_KEYPTR(by_claim, instances->by_claim, instance->claim, strlen(instance->claim), instance);
	return instance;
}

void registry_remove(struct instances *instances, struct instance *instance)
{
	instance_is_to_end(instances, instance);
	if (!instance->view.shares_netns) {
		HASH_DELETE(by_cookie, instances->by_cookie, instance);
		HASH_DELETE(by_inode, instances->by_inode, instance);
	}
	HASH_DELETE(by_id, instances->by_id, instance);
}

void registry_free(struct instances *instances, struct instance *instance)
{
	unshared_free(instance->claim);
	unshared_free(instance->container_id);
	unshared_free(instance->people_say);
	unshared_free(instance->pod_uid);
	unshared_free(instance->uid);
	unshared_free(instance->owner);
	unshared_free(instance->view.name);
	unshared_free(instance->view.cgroup_path);
	pool_put(&instances->pool, instance);
}

bool registry_name_is_taken(const struct instances *instances, const char *name)
{
	struct instance *other;

	HASH_FIND(by_name, instances->by_name, name, strlen(name), other);
	return other != NULL;
}

void registry_rename(struct instances *instances, struct instance *instance, char *name)
{
	if (!instance->is_ending)
		HASH_DELETE(by_name, instances->by_name, instance);
	unshared_free(instance->view.name);
	instance->view.name = name;
	if (!instance->is_ending)
		HASH_ADD_KEYPTR(by_name, instances->by_name, name, strlen(name), instance);
}

void instance_is_to_end(struct instances *instances, struct instance *instance)
{
	if (instance->is_ending)
		return;
	instance->is_ending = true;
	HASH_DELETE(by_name, instances->by_name, instance);
	if (instance->claim)
		HASH_DELETE(by_claim, instances->by_claim, instance);
}

bool instance_is_claim(const struct instance *instance)
{
	return instance->view.shares_netns && !instance->view.cgroup_id;
}

/* --- lookups ------------------------------------------------------------------------------------ */

struct instance *instance_by_cookie(const struct instances *instances, uint64_t netns_cookie)
{
	struct instance *instance;

	HASH_FIND(by_cookie, instances->by_cookie, &netns_cookie, sizeof(netns_cookie), instance);
	return instance;
}

struct instance *instance_by_id(const struct instances *instances, uint64_t id)
{
	struct instance *instance;

	HASH_FIND(by_id, instances->by_id, &id, sizeof(id), instance);
	return instance;
}

struct instance *registry_by_claim(const struct instances *instances, const char *cgroup_path)
{
	struct instance *instance;

	HASH_FIND(by_claim, instances->by_claim, cgroup_path, strlen(cgroup_path), instance);
	return instance;
}

struct instance *registry_by_inode(const struct instances *instances, uint32_t netns_inode)
{
	struct instance *instance;

	HASH_FIND(by_inode, instances->by_inode, &netns_inode, sizeof(netns_inode), instance);
	return instance;
}

struct instance *instance_host(const struct instances *instances)
{
	return instance_by_id(instances, INSTANCE_HOST);
}

/* --- log, gate ---------------------------------------------------------------------------------- */

void instance_log(const struct instances *instances, const struct instance *instance, int severity, const char *format,
		  ...)
{
	char text[1024];
	va_list args;

	if (!instance)
		instance = instance_host(instances);
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	instances->listener.log(instances->arg, &(struct log_record){
		.instance = instance ? instance->view.id : INSTANCE_HOST,
		.severity = severity,
		.container = instance ? instance->view.name : "host",
		.text = text,
	});
}

/* A container that shares the host's namespace has the host's, but for those that are turned off for it. */
static uint64_t tuners_off(const struct instances *instances, const struct instance *instance)
{
	const struct instance *host = instance->view.shares_netns ? instance_host(instances) : NULL;

	return host ? host->tuners_off | instance->switched_off : instance->tuners_off;
}

bool instance_tuner_is_active(const struct instances *instances, const struct instance *instance, uint16_t tuner)
{
	return !(tuners_off(instances, instance) >> tuner & 1);
}

void instance_set_gate(struct instances *instances, const struct instance *instance)
{
	bool is_host = instance->view.id == INSTANCE_HOST; /* its tasks may be anywhere */
	struct bpftune_gate gate = {
		.tuners_off = instance->tuners_off,
		.verdicts = instance->verdicts,
		.own_users = instance->is_entered && !is_host,
		.cgroup_id = is_host ? 0 : instance->view.cgroup_id,
	};

	if (instance->view.shares_netns)
		return; /* the gate is the host's */
	for (const char *p = instance->view.cgroup_path; gate.cgroup_id && *p; p++)
		gate.cgroup_level += *p == '/';
	bpf_set_gate(&instances->kernel->host, instance->view.netns_cookie, &gate);
}
