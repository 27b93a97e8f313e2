// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/pair.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "ipc/log.h"
#include "supervisor/bpf.h"
#include "supervisor/instance.h"
#include "supervisor/nsfs.h"

#define PATH_BYTES 4096

/* A path component that names a container: prefix, id, suffix. */
static const struct {
	const char *runtime, *prefix, *suffix;
} runtimes[] = {
	{ "docker", "docker-", ".scope" },
	{ "podman", "libpod-", ".scope" },
	{ "containerd", "cri-containerd-", ".scope" },
	{ "cri-o", "crio-", ".scope" },
	{ "lxc", "lxc.payload.", "" },
	{ "systemd-nspawn", "systemd-nspawn@", ".service" },
	{ "systemd-nspawn", "machine-", ".scope" },
};

/* Where a login's processes are, not a container's. */
static const char *const sessions[] = { "user.slice", "session-", "user@" };

static bool match_component(const char *component, size_t n, struct pair_name *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(runtimes); i++) {
		size_t prefix = strlen(runtimes[i].prefix), suffix = strlen(runtimes[i].suffix), id;

		if (n <= prefix + suffix || strncmp(component, runtimes[i].prefix, prefix) ||
		    strncmp(component + n - suffix, runtimes[i].suffix, suffix))
			continue;
		id = n - prefix - suffix;
		if (id >= sizeof(name->container_id))
			return false;
		name->runtime = runtimes[i].runtime;
		memcpy(name->container_id, component + prefix, id);
		name->container_id[id] = '\0';
		return true;
	}
	return false;
}

bool pair_parse_cgroup(const char *path, struct pair_name *ret_name)
{
	const char *end = path + strlen(path);

	/* Deepest first: what runs inside a container's scope belongs to it. */
	while (end > path) {
		const char *component = end;

		while (component > path && component[-1] != '/')
			component--;
		if (match_component(component, end - component, ret_name))
			return true;
		end = component > path ? component - 1 : path;
	}
	return false;
}

/* The path of `hierarchy` ("0::", "4:memory:") in the text of a /proc/PID/cgroup, with its length; NULL: none. */
static const char *hierarchy_path(const char *proc_cgroup, const char *hierarchy, size_t n, size_t *ret_n)
{
	for (const char *line = proc_cgroup; line && *line; line = strchr(line, '\n'), line += !!line)
		if (!strncmp(line, hierarchy, n)) {
			*ret_n = strcspn(line + n, "\n");
			return line + n;
		}
	return NULL;
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
	return true;
}

bool pair_cgroup_of(const char *proc_cgroup, const char *own_proc_cgroup, char *ret_path, size_t size)
{
	if (differs(proc_cgroup, own_proc_cgroup, "0::", ret_path, size))
		return true;
	for (const char *line = proc_cgroup; line && *line; line = strchr(line, '\n'), line += !!line)
		if (differs(proc_cgroup, own_proc_cgroup, line, ret_path, size))
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

static bool find_cgroup(pid_t pid, char *ret_path, size_t size)
{
	char path[64], text[2 * PATH_BYTES], own[2 * PATH_BYTES];

	snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
	return pid > 0 && read_file(path, text, sizeof(text)) && read_file("/proc/self/cgroup", own, sizeof(own)) &&
	       pair_cgroup_of(text, own, ret_path, size);
}

static bool is_session(const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(sessions); i++) {
		const char *at = strstr(path, sessions[i]);

		if (at && (at == path || at[-1] == '/'))
			return true;
	}
	return false;
}

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

/* runc keeps a directory for each of its containers, under its id; it has no mark of its own in the path. */
static bool is_runc(const char *id)
{
	char path[512];

	return *id && (size_t)snprintf(path, sizeof(path), "/run/runc/%s/state.json", id) < sizeof(path) &&
	       access(path, F_OK) == 0;
}

static bool take_cgroup(struct instance *instance, const struct bpftune_host *host, const char *path)
{
	const char *last = strrchr(path, '/');
	struct pair_name name;
	struct stat st;

	replace(&instance->pub.cgroup_path, path);
	instance->pub.cgroup_id = fstatat(host->cgroup_fd, path + (path[0] == '/'), &st, 0) == 0 ? st.st_ino : 0;
	if (pair_parse_cgroup(path, &name)) {
		replace(&instance->pub.name, name.container_id);
		replace(&instance->container_id, name.container_id);
		instance->runtime = name.runtime;
		return true;
	}
	if (is_session(path))
		return false;
	last = last ? last + 1 : path;
	replace(&instance->pub.name, last);
	if (is_runc(last)) {
		replace(&instance->container_id, last);
		instance->runtime = "runc";
	}
	return true;
}

bool pair_instance(struct instance *instance, const struct bpftune_host *host)
{
	char path[PATH_BYTES];
	bool container = find_cgroup(instance->pid, path, sizeof(path)) && take_cgroup(instance, host, path);

	if (nsfs_find_mount(instance->pub.netns_inode, path, sizeof(path)) == 0) {
		const char *last = strrchr(path, '/');

		if (!instance->container_id)
			replace(&instance->pub.name, last && last[1] ? last + 1 : path);
		return true;
	}
	return container;
}
