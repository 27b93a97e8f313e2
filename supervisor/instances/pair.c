// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/instances/pair.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "ipc/log.h"
#include "supervisor/kernel/bpf_maps.h"
#include "supervisor/instances/cgroup.h"
#include "supervisor/kernel/nsfs.h"
#include "supervisor/supervisor.h"
#include "supervisor/kernel/task.h"

/* --- naming ------------------------------------------------------------------------------------- */

static void set_text(char **text, const char *new)
{
	char escaped[1024], *copy = NULL;

	if (new) {
		log_escape(new, escaped, sizeof(escaped));
		copy = strdup(escaped);
		if (!copy)
			return;
	}
	free(*text);
	*text = copy;
}

/* Two that would be called the same stay apart: NAME@ID. */
static void set_name(const struct supervisor *s, struct instance *instance, const char *name)
{
	const struct instance *other;
	char apart[512];

	log_escape(name, apart, sizeof(apart) - 32);
	for (other = s->registry.by_id; other; other = other->by_id.next)
		if (other != instance && other->child.state != CHILD_RETIRING && !strcmp(other->pub.name, apart)) {
			snprintf(apart + strlen(apart), 32, "@%llu", (unsigned long long)instance->pub.id);
			break;
		}
	set_text(&instance->pub.name, apart);
}

static const char *low_level_runtime(const char *id)
{
	static const char *const names[] = { "runc", "crun" };
	char path[512];

	for (size_t i = 0; *id && *id != '.' && i < ARRAY_SIZE(names); i++)
		if ((size_t)snprintf(path, sizeof(path), "/run/%s/%s", names[i], id) < sizeof(path) && !access(path, F_OK))
			return names[i];
	return NULL;
}

/*
 * runc and crun keep a directory for each container, under its id; the path has no mark of theirs. The outermost
 * component that is so called counts: who is in it may make cgroups of any name.
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

/* What the path says, or runc and crun of its components. Tells a service from a container that it holds. */
static bool parse(const char *path, struct cgroup_name *ret_name)
{
	struct cgroup_name low_level;

	*ret_name = (struct cgroup_name){ 0 };
	if (cgroup_parse(path, ret_name) && !is_service(ret_name))
		return true;
	if (parse_low_level(path, &low_level))
		*ret_name = low_level;
	return ret_name->runtime != NULL;
}

bool pair_cut_to_container(char *path)
{
	struct cgroup_name name;

	/* A service of the host's namespace is the host's. */
	if (!parse(path, &name) || is_service(&name))
		return false;
	path[name.container_bytes ? name.container_bytes : name.bytes] = '\0'; /* a pod's own, if in no container */
	return true;
}

bool pair_is_inside(const struct instance *instance, int pid)
{
	char path[CGROUP_PATH_BYTES];
	struct cgroup_name name;

	return instance->pub.cgroup_id && parse(instance->pub.cgroup_path, &name) && name.container_bytes &&
	       task_find_cgroup(pid, path, sizeof(path)) && cgroup_is_below(path, instance->pub.cgroup_path);
}

static bool is_container(const char *path)
{
	struct cgroup_name name;

	return parse(path, &name) && !is_service(&name);
}

bool pair_is_astray(const struct instance *instance, int pid)
{
	const char *paired = instance->pub.cgroup_id ? instance->pub.cgroup_path : NULL;
	char path[CGROUP_PATH_BYTES];

	if (!task_find_cgroup(pid, path, sizeof(path)) || cgroup_is_session(path))
		return false;
	return !paired || (!cgroup_is_below(path, paired) && (is_container(path) || !is_container(paired)));
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

/* What the path says; false: nothing that makes a container of it. */
static bool take_name(const struct supervisor *s, struct instance *instance, const char *path)
{
	char component[NAME_MAX + 1];
	struct cgroup_name name;
	bool known = parse(path, &name);

	if (!known && cgroup_is_session(path))
		return false;
	instance->runtime = name.runtime;
	instance->pod_qos = name.pod_qos;
	set_text(&instance->pod_uid, name.pod_uid[0] ? name.pod_uid : NULL);
	set_text(&instance->container_id, name.container_id[0] ? name.container_id : NULL);
	set_name(s, instance, name.container_id[0] ? name.container_id :
			      name.pod_uid[0]	   ? name.pod_uid :
			      component_at(path, known ? name.bytes : strlen(path), component, sizeof(component)));
	return true;
}

/* Who made it; what lies below does not count, as it is made from inside. */
static void take_owner(struct instance *instance, const char *path)
{
	struct cgroup_name name;
	size_t container_bytes = parse_low_level(path, &name) ? name.container_bytes : 0;
	char *owner = strndup(path, cgroup_owner_bytes(path, container_bytes));

	if (!owner)
		return;
	free(instance->owner);
	instance->owner = owner;
}

/* A mount of our own mount namespace: only root of the host makes one. False: there is none. */
static bool take_mount(const struct supervisor *s, struct instance *instance)
{
	char path[CGROUP_PATH_BYTES], component[NAME_MAX + 1];

	if (instance->pub.shares_netns || nsfs_find_mount(instance->pub.netns_inode, path, sizeof(path)) < 0)
		return false;
	instance->named = true;
	if (!instance->container_id && !instance->pod_uid)
		set_name(s, instance, component_at(path, strlen(path), component, sizeof(component)));
	return true;
}

void pair_find_owner(struct supervisor *s, struct instance *instance)
{
	char path[CGROUP_PATH_BYTES];
	int pids[] = { instance->pid, bpf_last_pid(&s->host, instance->pub.netns_cookie) };

	if (instance->owner || instance->named || take_mount(s, instance))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(pids) && !instance->owner; i++)
		if (task_find_cgroup(pids[i], path, sizeof(path)))
			take_owner(instance, path);
	if (!instance->owner)
		instance->owner = strdup(""); /* asked once, not for each event */
}

/* --- its programs ------------------------------------------------------------------------------- */

static struct instance *holder_of(const struct supervisor *s, uint64_t cgroup_id)
{
	struct instance *instance = s->registry.by_id;

	while (instance && !(instance->n_links && instance->pub.cgroup_id == cgroup_id))
		instance = instance->by_id.next;
	return instance;
}

struct refused {
	struct supervisor *s;
	const struct instance *instance;
};

static void say_refused(void *arg, const struct hook *hook)
{
	const struct refused *refused = arg;

	supervisor_log(refused->s, refused->instance, LOG_WARNING, "cannot attach %s to cgroup %s: %s", hook->program,
		       refused->instance->pub.cgroup_path, bpf_hook_error(hook));
}

/*
 * A program can be attached to a cgroup only once (kernel/bpf/cgroup.c: find_attach_entry()), so one instance's id
 * is on what it tells. That of a container in the host's namespace goes first: the others are found by cookie.
 */
static void hold(struct supervisor *s, struct instance *instance, int cgroup_fd)
{
	struct instance *holder = holder_of(s, instance->pub.cgroup_id);

	if (holder && (!instance->pub.shares_netns || holder->pub.shares_netns))
		return;
	if (holder)
		bpf_detach_container(&holder->links, &holder->n_links);
	bpf_attach_container(&s->host, cgroup_fd, instance->pub.id, &instance->links, &instance->n_links, say_refused,
			     &(struct refused){ s, instance });
}

void pair_let_go(struct supervisor *s, struct instance *instance)
{
	uint64_t cgroup_id = instance->pub.cgroup_id;
	bool held = instance->n_links, left = false;
	struct instance *other;

	bpf_detach_container(&instance->links, &instance->n_links);
	instance->pub.cgroup_id = 0;
	for (other = cgroup_id && !s->stopping ? s->registry.by_id : NULL; other; other = other->by_id.next)
		if (other->pub.cgroup_id == cgroup_id && other->pub.id != INSTANCE_HOST) {
			_cleanup_close_ int fd = held ? bpf_open_cgroup(&s->host, other->pub.cgroup_path) : -1;

			left = true;
			if (fd >= 0)
				hold(s, other, fd);
		}
	if (cgroup_id && !left)
		bpf_set_paired(&s->host, cgroup_id, false);
}

bool pair_is_there(const struct supervisor *s, const struct instance *instance)
{
	struct stat st;

	return fstatat(s->host.cgroup_fd, instance->pub.cgroup_path + 1, &st, 0) == 0 && st.st_ino == instance->pub.cgroup_id;
}

void pair_dissolve(struct supervisor *s, struct instance *instance)
{
	pair_let_go(s, instance);
	instance->pub.cgroup_path[1] = '\0'; /* "/": another of the same path is another cgroup */
	supervisor_set_gate(s, instance);
}

static void take_cgroup(struct supervisor *s, struct instance *instance, const char *path)
{
	_cleanup_close_ int fd = -1;
	struct stat st;
	char *copy;

	take_owner(instance, path);
	if (!strcmp(instance->pub.cgroup_path, path) && instance->pub.cgroup_id)
		return;
	copy = strdup(path);
	if (!copy)
		return;
	pair_let_go(s, instance);
	free(instance->pub.cgroup_path);
	instance->pub.cgroup_path = copy;
	fd = bpf_open_cgroup(&s->host, path);
	if (fd >= 0 && fstat(fd, &st) == 0) {
		instance->pub.cgroup_id = st.st_ino;
		bpf_set_paired(&s->host, st.st_ino, true);
		hold(s, instance, fd);
	}
	supervisor_set_gate(s, instance);
}

struct instance *pair_sharer(const struct supervisor *s, const char *path)
{
	struct instance *instance = s->registry.by_id;

	while (instance && !(instance->pub.shares_netns && instance->child.state != CHILD_RETIRING &&
			     !strcmp(instance->pub.cgroup_path, path)))
		instance = instance->by_id.next;
	return instance;
}

struct instance *pair_sharer_of(const struct supervisor *s, int pid)
{
	char path[CGROUP_PATH_BYTES];

	return task_find_cgroup(pid, path, sizeof(path)) && pair_cut_to_container(path) ? pair_sharer(s, path) : NULL;
}

bool pair_instance(struct supervisor *s, struct instance *instance, int pid)
{
	char path[CGROUP_PATH_BYTES];
	bool container = false;

	if (task_find_cgroup(pid, path, sizeof(path)) &&
	    (!instance->pub.shares_netns || pair_cut_to_container(path))) {
		container = take_name(s, instance, path);
		if (container)
			take_cgroup(s, instance, path);
		else
			take_owner(instance, path);
	}
	return take_mount(s, instance) || container;
}

/* --- pairing again ------------------------------------------------------------------------------ */

struct again {
	struct instance *instance;
	bool contained; /* the tasks that count are in containers: then others only look in */
	bool stays;     /* one of them is where it was */
	char *first;    /* where the first of them is; NULL: there is none yet */
	char *common;   /* to all of them */
};

struct agains {
	struct again *list;
	size_t n;
	char own[TASK_CGROUPS_BYTES]; /* read once for all tasks */
};

static void add_path(struct again *again, const char *path)
{
	bool contained = is_container(path);

	/* Who looks in from a login is not what the namespace is for; nor is a service, if it is a container's. */
	if ((cgroup_is_session(path) || again->contained) && !contained)
		return;
	if (contained && !again->contained) {
		free(again->first);
		free(again->common);
		again->first = again->common = NULL;
		again->stays = false;
	}
	again->contained = contained;
	again->stays |= again->instance->pub.cgroup_id && cgroup_is_below(path, again->instance->pub.cgroup_path);
	if (!again->first)
		again->first = strdup(path);
	if (again->common)
		cgroup_common(again->common, path);
	else
		again->common = strdup(path);
}

static void add_task(void *arg, uint32_t inode, pid_t pid)
{
	struct agains *agains = arg;
	char path[CGROUP_PATH_BYTES];

	for (size_t i = 0; i < agains->n; i++) {
		struct again *again = &agains->list[i];

		if (again->instance->pub.netns_inode == inode && pid != again->instance->child.pid &&
		    task_find_cgroup_beside(pid, agains->own, path, sizeof(path)))
			add_path(again, path);
	}
}

/*
 * The deepest cgroup that holds all its tasks; but when that is where unrelated ones are side by side, the
 * container that it is paired with, or was first.
 */
static const char *best_of(const struct again *again)
{
	if (!again->first || !again->common)
		return NULL;
	if (!cgroup_is_place(again->common))
		return again->common;
	return again->stays ? again->instance->pub.cgroup_path : again->first;
}

static void move(struct supervisor *s, struct instance *instance, const char *path)
{
	if (!strcmp(path, instance->pub.cgroup_path) || !take_name(s, instance, path))
		return;
	take_mount(s, instance);
	take_cgroup(s, instance, path);
	supervisor_log(s, instance, LOG_INFO, "is in cgroup %s now", instance->pub.cgroup_path);
	if (uv_now(&s->loop) - instance->sighted_ms >= WATCH_YOUNG_MS)
		child_step(s, instance, CHILD_WANTED); /* a container: worth a worker if it has none */
}

static bool look_at_all(struct agains *agains)
{
	return !agains->n || (task_read_own_cgroups(agains->own) && !nsfs_each_process(add_task, agains));
}

void pair_again(struct supervisor *s)
{
	struct agains agains = { .list = calloc(HASH_CNT(by_id, s->registry.by_id) + 1, sizeof(struct again)) };
	struct instance *instance;
	bool looked;

	if (!agains.list)
		return;
	for (instance = s->registry.by_id; instance; instance = instance->by_id.next) {
		if (!instance->misplaced || watch_is_young(s, instance))
			continue;
		if (!instance->pub.shares_netns)
			agains.list[agains.n++].instance = instance;
		instance->misplaced = false;
	}
	looked = look_at_all(&agains);
	for (size_t i = 0; i < agains.n; i++) {
		const char *path = best_of(&agains.list[i]);

		agains.list[i].instance->misplaced = !looked || watch_was_just_told(s, agains.list[i].instance);
		if (path)
			move(s, agains.list[i].instance, path);
		free(agains.list[i].first);
		free(agains.list[i].common);
	}
	free(agains.list);
}
