// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/pair.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "ipc/log.h"
#include "supervisor/nsfs.h"
#include "supervisor/supervisor.h"

/* Where a login's processes are, not a container's. */
static const char *const sessions[] = { "user.slice", "session-", "user@" };

/* --- runtimes ----------------------------------------------------------------------------------- */

enum id_kind {
	ID_HEX,  /* 64 hexadecimal digits */
	ID_NAME, /* what systemd escaped */
	ID_UID,  /* a pod's: hexadecimal with - or _ */
};

/* A path component that names a container: below a parent (NULL: any; a prefix when it ends in *), prefix, id, suffix. */
static const struct runtime {
	const char *name, *parent, *prefix, *suffix;
	enum id_kind id;
} runtimes[] = {
	{ "docker", NULL, "docker-", ".scope", ID_HEX },                 /* systemd driver, also Kubernetes' */
	{ "docker", "docker", "", "", ID_HEX },                          /* cgroupfs driver */
	{ "podman", NULL, "libpod-", ".scope", ID_HEX },
	{ "podman", "libpod_parent", "libpod-", "", ID_HEX },
	{ "containerd", NULL, "cri-containerd-", ".scope", ID_HEX },
	{ "containerd", NULL, "nerdctl-", ".scope", ID_HEX },
	{ "cri-o", NULL, "crio-", ".scope", ID_HEX },
	{ "cri-o", "pod*", "crio-", "", ID_HEX },
	{ "containerd", "pod*", "", "", ID_HEX },                        /* cgroupfs driver under Kubernetes */
	{ "containerd", "default", "", "", ID_HEX },                     /* its own namespace `default` */
	{ "lxc", NULL, "lxc.payload.", "", ID_NAME },
	{ "lxc", "lxc", "", "", ID_NAME },                               /* before 4.0 */
	{ "systemd-nspawn", "machine.slice", "systemd-nspawn@", ".service", ID_NAME },
	{ "machine", "machine.slice", "machine-", ".scope", ID_NAME },   /* machined's: libvirt, others */
	{ "kubernetes", "kubepods", "pod", "", ID_UID },                 /* a pod itself: its shared namespace */
	{ "kubernetes", NULL, "kubepods-pod", ".slice", ID_UID },
	{ "kubernetes", NULL, "kubepods-burstable-pod", ".slice", ID_UID },
	{ "kubernetes", NULL, "kubepods-besteffort-pod", ".slice", ID_UID },
	{ "kubernetes", NULL, "kubelet-kubepods-pod", ".slice", ID_UID }, /* kind: all below kubelet.slice */
	{ "kubernetes", NULL, "kubelet-kubepods-burstable-pod", ".slice", ID_UID },
	{ "kubernetes", NULL, "kubelet-kubepods-besteffort-pod", ".slice", ID_UID },
	{ "kubernetes", "burstable", "pod", "", ID_UID },
	{ "kubernetes", "besteffort", "pod", "", ID_UID },
	{ "systemd", "system.slice", "", ".service", ID_NAME },          /* PrivateNetwork= */
};

struct component {
	const char *at;
	size_t n;
};

static bool is_id(enum id_kind kind, const char *id, size_t n)
{
	static const char hex[] = "0123456789abcdef", uid[] = "0123456789abcdef-_";

	if (kind == ID_NAME)
		return n > 0;
	return (kind == ID_HEX ? n == 64 : n >= 32 && n <= 36) && strspn(id, kind == ID_HEX ? hex : uid) >= n;
}

static bool is_parent(const char *pattern, struct component parent)
{
	size_t n = strcspn(pattern, "*");

	return (pattern[n] ? parent.n >= n : parent.n == n) && !strncmp(parent.at, pattern, n);
}

static bool matches(const struct runtime *runtime, struct component parent, struct component here, struct component *ret_id)
{
	size_t prefix = strlen(runtime->prefix), suffix = strlen(runtime->suffix);

	if (runtime->parent && !is_parent(runtime->parent, parent))
		return false;
	if (here.n <= prefix + suffix || strncmp(here.at, runtime->prefix, prefix) ||
	    strncmp(here.at + here.n - suffix, runtime->suffix, suffix))
		return false;
	*ret_id = (struct component){ here.at + prefix, here.n - prefix - suffix };
	return is_id(runtime->id, ret_id->at, ret_id->n);
}

/* systemd.unit(5): \xNN stands for a byte. A slash stays as it is: it would pass for OUTER/INNER. */
static void copy_unescaped(char *to, size_t size, const char *from, size_t n)
{
	size_t at = 0;

	for (size_t i = 0; i < n && at + 1 < size; i++) {
		unsigned int byte = 0;

		if (i + 4 <= n && from[i] == '\\' && from[i + 1] == 'x' && isxdigit((unsigned char)from[i + 2]) &&
		    isxdigit((unsigned char)from[i + 3]))
			sscanf(from + i + 2, "%2x", &byte);
		if (byte && byte != '/') {
			to[at++] = byte;
			i += 3;
		} else {
			to[at++] = from[i];
		}
	}
	to[at] = '\0';
}

static void take_pod(const struct runtime *runtime, struct component parent, struct component id, struct pair_name *name)
{
	bool burstable = strstr(runtime->prefix, "burstable") || !strncmp(parent.at, "burstable", 9);
	bool besteffort = strstr(runtime->prefix, "besteffort") || !strncmp(parent.at, "besteffort", 10);

	name->pod_qos = burstable ? "burstable" : besteffort ? "besteffort" : "guaranteed";
	copy_unescaped(name->pod_uid, sizeof(name->pod_uid), id.at, id.n);
	for (char *p = name->pod_uid; *p; p++)
		if (*p == '_') /* systemd keeps - for its own */
			*p = '-';
}

static void take_container(const struct runtime *runtime, struct component id, struct pair_name *name)
{
	char *to = name->container_id;
	size_t size = sizeof(name->container_id), n = strlen(to);

	if (n && n + 1 < size)
		to[n++] = '/';
	if (runtime->id == ID_NAME)
		copy_unescaped(to + n, size - n, id.at, id.n);
	else
		snprintf(to + n, size - n, "%.*s", (int)id.n, id.at);
	if (!name->runtime || !strcmp(name->runtime, "systemd"))
		name->runtime = runtime->name;
}

static const struct runtime *find_runtime(struct component parent, struct component here, struct component *ret_id)
{
	for (size_t i = 0; i < ARRAY_SIZE(runtimes); i++)
		if (matches(&runtimes[i], parent, here, ret_id))
			return &runtimes[i];
	return NULL;
}

bool pair_parse_cgroup(const char *path, struct pair_name *ret_name)
{
	struct component parent = { "", 0 }, here, id;
	struct pair_name name = { 0 };

	for (const char *at = path; *at; at = here.at + here.n, parent = here) {
		const struct runtime *runtime;

		at += strspn(at, "/");
		here = (struct component){ at, strcspn(at, "/") };
		runtime = here.n ? find_runtime(parent, here, &id) : NULL;
		if (!runtime)
			continue;
		if (runtime->id == ID_UID)
			take_pod(runtime, parent, id, &name);
		else if (strcmp(runtime->name, "systemd"))
			take_container(runtime, id, &name);
		else if (!name.runtime)
			name.runtime = runtime->name; /* it may turn out to hold a container */
	}
	if (name.pod_uid[0] && !name.runtime)
		name.runtime = "kubernetes";
	if (!name.runtime)
		return false;
	*ret_name = name;
	return true;
}

/* --- cgroup paths ------------------------------------------------------------------------------- */

static const char *next_line(const char *line)
{
	line = strchr(line, '\n');
	return line ? line + 1 : NULL;
}

/* The path of `hierarchy` ("0::", "4:memory:") in the text of a /proc/PID/cgroup, with its length; NULL: none. */
static const char *hierarchy_path(const char *proc_cgroup, const char *hierarchy, size_t n, size_t *ret_n)
{
	for (const char *line = proc_cgroup; line && *line; line = next_line(line))
		if (!strncmp(line, hierarchy, n)) {
			*ret_n = strcspn(line + n, "\n");
			return line + n;
		}
	return NULL;
}

/* fs/kernfs/cgroup: the path of a removed cgroup ends in " (deleted)". */
static void cut_deleted(char *path)
{
	static const char deleted[] = " (deleted)";
	size_t n = strlen(path), mark = sizeof(deleted) - 1;

	if (n > mark && !strcmp(path + n - mark, deleted))
		path[n - mark] = '\0';
}

static bool differs(const char *proc_cgroup, const char *own, const char *line, char *ret_path, size_t size)
{
	const char *colon = strchr(line, ':');
	size_t prefix, n, own_n;
	const char *path, *own_path;

	colon = colon ? strchr(colon + 1, ':') : NULL;
	if (!colon)
		return false;
	prefix = colon + 1 - line;
	path = hierarchy_path(proc_cgroup, line, prefix, &n);
	own_path = hierarchy_path(own, line, prefix, &own_n);
	if (!path || n <= 1 || n >= size || (own_path && own_n == n && !strncmp(path, own_path, n)))
		return false;
	memcpy(ret_path, path, n);
	ret_path[n] = '\0';
	cut_deleted(ret_path);
	return ret_path[1] != '\0';
}

bool pair_cgroup_of(const char *proc_cgroup, const char *own_proc_cgroup, char *ret_path, size_t size)
{
	struct pair_name name;

	if (differs(proc_cgroup, own_proc_cgroup, "0::", ret_path, size))
		return true;
	for (const char *line = proc_cgroup; line && *line; line = next_line(line))
		if (differs(proc_cgroup, own_proc_cgroup, line, ret_path, size) && pair_parse_cgroup(ret_path, &name))
			return true;
	return false;
}

static bool read_file(const char *path, char *ret_text, size_t size)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, ret_text, size - 1);

	if (n < 0)
		return false;
	ret_text[n] = '\0';
	return true;
}

bool pair_find_cgroup(int pid, char *ret_path, size_t size)
{
	char path[64], text[2 * PAIR_PATH_BYTES], own[2 * PAIR_PATH_BYTES];

	snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
	return pid > 0 && read_file(path, text, sizeof(text)) && read_file("/proc/self/cgroup", own, sizeof(own)) &&
	       pair_cgroup_of(text, own, ret_path, size);
}

bool pair_is_session(const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(sessions); i++) {
		const char *at = strstr(path, sessions[i]);

		if (at && (at == path || at[-1] == '/'))
			return true;
	}
	return false;
}

void pair_common(char *path, const char *other)
{
	size_t same = 0;

	for (size_t i = 0; ; i++) {
		bool path_ends = !path[i] || path[i] == '/', other_ends = !other[i] || other[i] == '/';

		if (path_ends && other_ends)
			same = i;
		if (!path[i] || path[i] != other[i])
			break;
	}
	path[same] = '\0';
	if (!same)
		strcpy(path, "/");
}

/* --- naming ------------------------------------------------------------------------------------- */

static void replace(char **text, const char *new)
{
	char escaped[512], *copy;

	log_escape(new, escaped, sizeof(escaped));
	copy = strdup(escaped);
	if (!copy)
		return;
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
	replace(&instance->pub.name, apart);
}

/* runc and crun keep a directory for each container, under its id; the path has no mark of theirs. */
static const char *low_level_runtime(const char *id)
{
	static const char *const names[] = { "runc", "crun" };
	char path[512];

	for (size_t i = 0; *id && i < ARRAY_SIZE(names); i++)
		if ((size_t)snprintf(path, sizeof(path), "/run/%s/%s", names[i], id) < sizeof(path) && !access(path, F_OK))
			return names[i];
	return NULL;
}

static const char *last_component(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

bool pair_is_container(const char *path)
{
	struct pair_name name;

	/* A service of the host's namespace is the host's. */
	if (pair_parse_cgroup(path, &name))
		return strcmp(name.runtime, "systemd") != 0;
	return low_level_runtime(last_component(path)) != NULL;
}

/* What the path says; false: nothing that makes a container of it. */
static bool take_name(const struct supervisor *s, struct instance *instance, const char *path)
{
	struct pair_name name;

	if (pair_parse_cgroup(path, &name)) {
		instance->runtime = name.runtime;
		instance->pod_qos = name.pod_qos;
		if (name.pod_uid[0])
			replace(&instance->pod_uid, name.pod_uid);
		if (name.container_id[0])
			replace(&instance->container_id, name.container_id);
		set_name(s, instance, name.container_id[0] ? name.container_id :
				      name.pod_uid[0]	   ? name.pod_uid : last_component(path));
		return true;
	}
	if (pair_is_session(path))
		return false;
	instance->runtime = low_level_runtime(last_component(path));
	if (instance->runtime)
		replace(&instance->container_id, last_component(path));
	set_name(s, instance, last_component(path));
	return true;
}

/* The cgroup's own programs go with it. */
static void take_cgroup(struct supervisor *s, struct instance *instance, const char *path)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (!strcmp(instance->pub.cgroup_path, path) && instance->pub.cgroup_id)
		return;
	replace(&instance->pub.cgroup_path, path);
	bpf_detach_container(&instance->links, &instance->n_links);
	instance->pub.cgroup_id = 0;
	if (path[1])
		fd = openat(s->host.cgroup_fd, path + 1, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0 && fstat(fd, &st) == 0) {
		instance->pub.cgroup_id = st.st_ino;
		bpf_attach_container(&s->host, fd, instance->pub.id, &instance->links, &instance->n_links);
	}
	supervisor_set_gate(s, instance);
}

bool pair_instance(struct supervisor *s, struct instance *instance, int pid)
{
	char path[PAIR_PATH_BYTES];
	bool container = false;

	if (pair_find_cgroup(pid, path, sizeof(path))) {
		container = take_name(s, instance, path);
		if (container)
			take_cgroup(s, instance, path);
	}
	if (!instance->pub.shares_netns && nsfs_find_mount(instance->pub.netns_inode, path, sizeof(path)) == 0) {
		if (!instance->container_id)
			set_name(s, instance, *last_component(path) ? last_component(path) : path);
		return true;
	}
	return container;
}

static int first_task(int directory_fd)
{
	_cleanup_close_ int fd = openat(directory_fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	char text[32] = "";

	return fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 ? atoi(text) : 0;
}

int pair_any_task(const struct supervisor *s, const char *path)
{
	int fd = path[1] ? openat(s->host.cgroup_fd, path + 1, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	_cleanup_closedir_ DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
	int pid = directory ? first_task(fd) : 0;
	struct dirent *entry;

	/* systemd in a container keeps no task in the container's own cgroup */
	while (!pid && directory && (entry = readdir(directory))) {
		_cleanup_close_ int below = -1;

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		below = openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		pid = below >= 0 ? first_task(below) : 0;
	}
	return pid;
}

/* --- pairing again ------------------------------------------------------------------------------ */

struct again {
	struct instance *instance;
	char *path; /* common to all its tasks so far; NULL: none yet */
};

struct agains {
	struct again *list;
	size_t n;
};

static void add_task(void *arg, uint32_t inode, pid_t pid)
{
	struct agains *agains = arg;
	struct again *again = NULL;
	char path[PAIR_PATH_BYTES];

	for (size_t i = 0; i < agains->n && !again; i++)
		if (agains->list[i].instance->pub.netns_inode == inode)
			again = &agains->list[i];
	/* Who looks in from a login is not what the namespace is for. */
	if (!again || pid == again->instance->child.pid || !pair_find_cgroup(pid, path, sizeof(path)) ||
	    (pair_is_session(path) && !pair_is_container(path)))
		return;
	if (again->path)
		pair_common(again->path, path);
	else
		again->path = strdup(path);
}

static void move(struct supervisor *s, struct instance *instance, const char *path)
{
	if (!strcmp(path, instance->pub.cgroup_path) || !path[1] || !take_name(s, instance, path))
		return;
	take_cgroup(s, instance, path);
	supervisor_log(s, instance, LOG_INFO, "is in cgroup %s now", instance->pub.cgroup_path);
	if (uv_now(&s->loop) - instance->sighted_ms >= WATCH_YOUNG_MS)
		child_step(s, instance, CHILD_WANTED); /* a container: worth a worker if it has none */
}

void pair_again(struct supervisor *s)
{
	struct agains agains = { .list = calloc(HASH_CNT(by_id, s->registry.by_id), sizeof(struct again)) };
	struct instance *instance;

	if (!agains.list)
		return;
	for (instance = s->registry.by_id; instance; instance = instance->by_id.next) {
		if (instance->misplaced && !instance->pub.shares_netns)
			agains.list[agains.n++].instance = instance;
		instance->misplaced = false;
	}
	if (agains.n)
		nsfs_each_process(add_task, &agains);
	for (size_t i = 0; i < agains.n; i++) {
		if (agains.list[i].path)
			move(s, agains.list[i].instance, agains.list[i].path);
		free(agains.list[i].path);
	}
	free(agains.list);
}
