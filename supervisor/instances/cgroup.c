// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/instances/cgroup.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "ipc/cleanup.h"

/* Where a login's processes are, not a container's. */
static const char *const sessions[] = { "user.slice", "session-", "user@" };

/* --- runtimes ----------------------------------------------------------------------------------- */

enum id_kind {
	ID_HEX,  /* 64 hexadecimal digits */
	ID_NAME, /* what systemd escaped */
	ID_UID,  /* a Kubernetes pod's: hexadecimal with - or _ */
	ID_POD,  /* a Podman pod's: as ID_HEX */
};

/* A path component that names a container: below a parent (NULL: any; a prefix when it ends in *), prefix, id, suffix. */
static const struct runtime {
	const char *name, *parent, *prefix, *suffix;
	enum id_kind id;
} runtimes[] = {
	{ "docker", NULL, "docker-", ".scope", ID_HEX },                 /* systemd driver, also Kubernetes' */
	{ "docker", "docker", "", "", ID_HEX },                          /* cgroupfs driver */
	{ "podman", NULL, "libpod-", ".scope", ID_HEX },
	{ "podman", NULL, "libpod-", "", ID_HEX },                       /* cgroupfs driver */
	{ "podman", NULL, "machine-libpod_pod_", ".slice", ID_POD },     /* a pod itself: its shared namespace */
	{ "podman", NULL, "user-libpod_pod_", ".slice", ID_POD },        /* a user's */
	{ "podman", "libpod_parent", "", "", ID_POD },
	{ "containerd", NULL, "cri-containerd-", ".scope", ID_HEX },
	{ "containerd", NULL, "nerdctl-", ".scope", ID_HEX },
	{ "cri-o", NULL, "crio-", ".scope", ID_HEX },
	{ "cri-o", "pod*", "crio-", "", ID_HEX },
	{ "containerd", "pod*", "", "", ID_HEX },                        /* cgroupfs driver under Kubernetes */
	{ "containerd", "default", "", "", ID_HEX },                     /* its own namespace `default` */
	{ "lxc", NULL, "lxc.payload.", "", ID_NAME },
	{ "lxc", "lxc.payload", "", "", ID_NAME },                       /* where lxc.cgroup.dir says so */
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
	{ "systemd", "system-*", "", ".service", ID_NAME },              /* of a template: system-foo.slice/foo@1.service */
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
	if (kind == ID_UID)
		return n >= 32 && n <= 36 && strspn(id, uid) >= n;
	return n == 64 && strspn(id, hex) >= n;
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

static void take_kubernetes_pod(const struct runtime *runtime, struct component parent, struct component id,
				struct cgroup_name *name)
{
	bool burstable = strstr(runtime->prefix, "burstable") || !strncmp(parent.at, "burstable", 9);
	bool besteffort = strstr(runtime->prefix, "besteffort") || !strncmp(parent.at, "besteffort", 10);

	name->pod_qos = burstable ? "burstable" : besteffort ? "besteffort" : "guaranteed";
	copy_unescaped(name->pod_uid, sizeof(name->pod_uid), id.at, id.n);
	for (char *p = name->pod_uid; *p; p++)
		if (*p == '_') /* systemd keeps - for its own */
			*p = '-';
}

static void take_container(const struct runtime *runtime, struct component id, struct cgroup_name *name)
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

/* The component at or after `*at`, which moves on past it; false at the end. */
static bool next_component(const char **at, struct component *ret_component)
{
	const char *from = *at + strspn(*at, "/");

	*ret_component = (struct component){ from, strcspn(from, "/") };
	*at = from + ret_component->n;
	return ret_component->n > 0;
}

static bool is_service(const struct runtime *runtime)
{
	return !strcmp(runtime->name, "systemd");
}

/* --- users -------------------------------------------------------------------------------------- */

static bool is_slice(struct component here)
{
	return here.n > 6 && !strncmp(here.at + here.n - 6, ".slice", 6);
}

/* Whether it is PREFIX, a user's id, SUFFIX. */
static bool is_of_user(struct component here, const char *prefix, const char *suffix, struct component *ret_uid)
{
	const struct runtime user = { .prefix = prefix, .suffix = suffix, .id = ID_NAME };

	return matches(&user, (struct component){ "", 0 }, here, ret_uid) && ret_uid->n < CGROUP_UID_BYTES &&
	       strspn(ret_uid->at, "0123456789") >= ret_uid->n;
}

static bool is_user(struct component parent, struct component here, struct component *ret_uid)
{
	return (is_parent("user.slice", parent) && is_of_user(here, "user-", ".slice", ret_uid)) ||
	       is_of_user(here, "user@", ".service", ret_uid);
}

bool cgroup_find_user(const char *path, char ret_uid[CGROUP_UID_BYTES])
{
	struct component parent = { "", 0 }, here, uid;

	for (const char *at = path; next_component(&at, &here); parent = here) {
		if (is_user(parent, here, &uid)) {
			snprintf(ret_uid, CGROUP_UID_BYTES, "%.*s", (int)uid.n, uid.at);
			return true;
		}
		if (!is_slice(here) || find_runtime(parent, here, &uid))
			return false;
	}
	return false;
}

/* --- containers --------------------------------------------------------------------------------- */

bool cgroup_parse(const char *path, struct cgroup_name *ret_name)
{
	struct component parent = { "", 0 }, here, id;
	struct cgroup_name name = { 0 };

	for (const char *at = path; next_component(&at, &here); parent = here) {
		const struct runtime *runtime = find_runtime(parent, here, &id);

		if (!runtime || (is_service(runtime) && name.runtime))
			continue;
		name.bytes = at - path;
		if (runtime->id == ID_UID) {
			take_kubernetes_pod(runtime, parent, id, &name);
		} else if (runtime->id == ID_POD) {
			snprintf(name.pod_uid, sizeof(name.pod_uid), "%.*s", (int)id.n, id.at);
			name.runtime = runtime->name;
		} else if (is_service(runtime)) {
			name.runtime = runtime->name; /* it may turn out to hold a container */
		} else {
			take_container(runtime, id, &name);
			if (!name.container_bytes)
				name.container_bytes = name.bytes;
		}
	}
	if (name.pod_uid[0] && !name.runtime)
		name.runtime = "kubernetes";
	if (!name.runtime)
		return false;
	cgroup_find_user(path, name.uid);
	*ret_name = name;
	return true;
}

/* --- whose it is -------------------------------------------------------------------------------- */

size_t cgroup_owner_bytes(const char *path, size_t container_bytes)
{
	struct component parent = { "", 0 }, here, id;
	size_t service = 0, first = 0;

	for (const char *at = path; next_component(&at, &here); parent = here) {
		const struct runtime *runtime = find_runtime(parent, here, &id);
		size_t end = at - path;

		/* Who is logged in may run containers, and call a cgroup as theirs are called. */
		if (end == container_bytes || (runtime && !is_service(runtime)) ||
		    (!service && !first && is_user(parent, here, &id)))
			return end;
		if (runtime && !service)
			service = end;
		if (!first && !is_slice(here))
			first = end;
	}
	return service ? service : first ? first : strlen(path);
}

static bool holds_containers(struct component here)
{
	for (size_t i = 0; i < ARRAY_SIZE(runtimes); i++)
		if (runtimes[i].parent && !strchr(runtimes[i].parent, '*') && is_parent(runtimes[i].parent, here))
			return true;
	return false;
}

bool cgroup_is_place(const char *path)
{
	struct component parent = { "", 0 }, here, last = { "", 0 }, id;
	const struct runtime *runtime = NULL;

	for (const char *at = path; next_component(&at, &here); parent = last = here)
		runtime = find_runtime(parent, here, &id);
	return !last.n || (!runtime && (holds_containers(last) || is_slice(last)));
}

bool cgroup_is_session(const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(sessions); i++) {
		const char *at = strstr(path, sessions[i]);

		if (at && (at == path || at[-1] == '/'))
			return true;
	}
	return false;
}

bool cgroup_is_below(const char *path, const char *parent)
{
	size_t n = strlen(parent);

	return !strncmp(path, parent, n) && (!path[n] || path[n] == '/' || n == 1);
}

void cgroup_common(char *path, const char *other)
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
		memcpy(path, "/", sizeof("/"));
}
