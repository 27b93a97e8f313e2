// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/instances/name.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "ipc/log.h"
#include "ipc/unshared.h"
#include "supervisor/instances/mounts.h"
#include "supervisor/instances/registry.h"

/* NULL where `new` is empty. False: that is what it was, or there is no memory. */
static bool set_text(char **text, const char *new)
{
	char escaped[1024], *copy = NULL;

	log_escape(new, escaped, sizeof(escaped));
	if (!strcmp(*text ? *text : "", escaped))
		return false;
	if (*escaped) {
		copy = unshared_strdup(escaped);
		if (!copy)
			return false;
	}
	unshared_free(*text);
	*text = copy;
	return true;
}

/* "uid UID/NAME" in a user's session; a name that only looks like that, or like "instance:N", is written otherwise. */
static void write_name(const char *uid, const char *name, char *ret_text, size_t size)
{
	static const char *const reserved[] = { USER_NAME, PID_PREFIX, ID_PREFIX };
	size_t n = 0;

	if (uid)
		n = snprintf(ret_text, size, USER_NAME "%s/", uid);
	for (size_t i = 0; !uid && i < ARRAY_SIZE(reserved); i++) {
		size_t last = strlen(reserved[i]) - 1;

		if (strncmp(name, reserved[i], last + 1) != 0)
			continue;
		n = snprintf(ret_text, size, "%.*s\\x%02x", (int)last, name, name[last]);
		name += last + 1;
		break;
	}
	log_escape(name, ret_text + n, size - n);
}

/* Two that would be called the same stay apart: NAME@ID. */
static void set_name(struct instances *instances, struct instance *instance, const char *name)
{
	char apart[512], *copy;

	write_name(instance->uid, name, apart, sizeof(apart) - 32);
	if (!strcmp(instance->view.name, apart))
		return;
	if (registry_name_is_taken(instances, apart))
		snprintf(apart + strlen(apart), 32, "@%llu", (unsigned long long)instance->view.id);
	copy = unshared_strdup(apart);
	if (copy)
		registry_rename(instances, instance, copy);
}

static const char *low_level_runtime(const char *id)
{
	static const struct {
		const char *runtime, *directory;
	} kept[] = {
		{ "runc", "/run/runc" },
		{ "crun", "/run/crun" },
		{ "containerd", "/run/containerd/io.containerd.runtime.v2.task/default" }, /* ctr run IMAGE ID */
	};
	char path[512];

	for (size_t i = 0; *id && *id != '.' && i < ARRAY_SIZE(kept); i++)
		if ((size_t)snprintf(path, sizeof(path), "%s/%s", kept[i].directory, id) < sizeof(path) && !access(path, F_OK))
			return kept[i].runtime;
	return NULL;
}

/*
 * runc, crun and containerd keep a directory for each container, under its id; the path has no mark of theirs. The
 * outermost component that is so called counts: who is in it may make cgroups of any name.
 */
static bool parse_low_level(const char *path, struct cgroup_name *ret_name)
{
	for (const char *at = path + strspn(path, "/"); *at; at += strspn(at, "/")) {
		struct cgroup_name name = { 0 };
		size_t n = strcspn(at, "/");

		if (n < sizeof(name.container_id)) {
			memcpy(name.container_id, at, n);
			name.runtime = low_level_runtime(name.container_id);
		}
		at += n;
		name.bytes = name.container_bytes = at - path;
		if (name.runtime) {
			*ret_name = name;
			return true;
		}
	}
	return false;
}

static bool is_service(const struct cgroup_name *name)
{
	return name->runtime && !strcmp(name->runtime, "systemd");
}

/* What the path says, or runc, crun and containerd of its components. Tells a service from a container that it holds. */
bool name_parse(const char *path, struct cgroup_name *ret_name)
{
	struct cgroup_name low_level;

	*ret_name = (struct cgroup_name){ 0 };
	if (cgroup_parse(path, ret_name) && !is_service(ret_name))
		return true;
	/* These directories are root's: a user's cgroup of that name is not the container. */
	if (cgroup_find_user(path, ret_name->uid))
		return false;
	if (parse_low_level(path, &low_level))
		*ret_name = low_level;
	return ret_name->runtime != NULL;
}

/* systemd-nspawn itself stays in the host's namespace, beside what it runs: in the unit, and then in UNIT/supervisor. */
static bool is_nspawn_itself(const char *path, const struct cgroup_name *name)
{
	return !strcmp(name->runtime, "systemd-nspawn") && strncmp(path + name->container_bytes, "/payload", 8) != 0;
}

bool name_find_container(const char *path, char ret_container[CGROUP_PATH_BYTES])
{
	struct cgroup_name name;

	/* A service of the host's namespace is the host's. */
	if (!name_parse(path, &name) || is_service(&name) || is_nspawn_itself(path, &name))
		return false;
	/* A pod's own, if in no container. */
	snprintf(ret_container, CGROUP_PATH_BYTES, "%.*s", (int)(name.container_bytes ? name.container_bytes : name.bytes), path);
	return true;
}

bool name_is_container(const char *path)
{
	struct cgroup_name name;

	return name_parse(path, &name) && !is_service(&name);
}

/* The last component of the path's first n bytes. */
static const char *component_at(const char *path, size_t n, char *ret_component, size_t size)
{
	size_t from;

	while (n && path[n - 1] == '/')
		n--;
	for (from = n; from && path[from - 1] != '/'; from--)
		;
	snprintf(ret_component, size, "%.*s", (int)(n - from), path + from);
	return ret_component;
}

/* What is on record was another container's. A container in a container has no record here. */
static void forget_record(struct instance *instance)
{
	set_text(&instance->people_say, "");
	instance->is_off_on_record = instance->is_looked_up = false;
	instance->is_unread = instance->container_id ? !strchr(instance->container_id, '/') : instance->pod_uid != NULL;
}

/* What the path says; false: nothing that makes a container of it. */
bool name_by_path(struct instances *instances, struct instance *instance, const char *path)
{
	char component[NAME_MAX + 1];
	struct cgroup_name name;
	bool known = name_parse(path, &name), is_other;

	if (!known && cgroup_is_session(path))
		return false;
	instance->runtime = name.runtime;
	instance->pod_qos = name.pod_qos;
	is_other = set_text(&instance->uid, name.uid);
	is_other |= set_text(&instance->pod_uid, name.pod_uid);
	is_other |= set_text(&instance->container_id, name.container_id);
	if (is_other)
		forget_record(instance);
	set_name(instances, instance,
		 instance->people_say	? instance->people_say
		 : name.container_id[0] ? name.container_id
		 : name.pod_uid[0]
			 ? name.pod_uid
			 : component_at(path, known ? name.bytes : strlen(path), component, sizeof(component)));
	return true;
}

void name_by_record(struct instances *instances, struct instance *instance, const char *name)
{
	set_text(&instance->people_say, name);
	set_name(instances, instance, name);
}

/* Who made it; what lies below does not count, as it is made from inside. */
void name_owner(struct instance *instance, const char *path)
{
	struct cgroup_name name = { 0 };
	size_t container_bytes =
		!cgroup_find_user(path, name.uid) && parse_low_level(path, &name) ? name.container_bytes : 0;
	char *owner = unshared_strndup(path, cgroup_owner_bytes(path, container_bytes));

	if (!owner)
		return;
	unshared_free(instance->owner);
	instance->owner = owner;
}

/* A mount of our own mount namespace: only root of the host makes one. False: there is none. */
bool name_by_mount(struct instances *instances, struct instance *instance)
{
	const char *path = instance->view.shares_netns ? NULL : mounts_find(instances, instance);
	char component[NAME_MAX + 1];

	if (!path)
		return false;
	instance->is_mounted = true;
	if (!instance->container_id && !instance->pod_uid)
		set_name(instances, instance, component_at(path, strlen(path), component, sizeof(component)));
	return true;
}
