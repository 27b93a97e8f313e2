// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/instances/on_record.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ipc/cleanup.h"

#define RECORD_BYTES_MAX (1 << 20)
#define PART_BYTES_MAX 253 /* of a name: a Kubernetes pod's is the longest */
#define ID_PREFIX_BYTES 12 /* of a container's id, as docker(1) and podman(1) show it */
#define OFF "off"

/* --- names -------------------------------------------------------------------------------------- */

static bool is_part(const char *part, size_t n)
{
	if (!n || n > PART_BYTES_MAX || !isalnum((unsigned char)*part))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)part[i]) && !strchr("-._", part[i]))
			return false;
	return true;
}

static bool passes_for_id(const char *name)
{
	size_t n = strlen(name);

	return strspn(name, "0123456789") == n || (n >= ID_PREFIX_BYTES && strspn(name, "0123456789abcdef") == n);
}

bool on_record_is_name(const char *name)
{
	unsigned int parts = 0;

	for (const char *at = name;; at++) {
		size_t n = strcspn(at, "/");

		if (++parts > 3 || !is_part(at, n))
			return false;
		at += n;
		if (!*at)
			return parts > 1 || !passes_for_id(name);
	}
}

/* `container` NULL: the pod's own. */
static void take_kubernetes(struct on_record *about, const char *namespace, const char *pod, const char *container)
{
	bool is_of_pod = about->is_for_pod || !container;
	char name[ON_RECORD_NAME_BYTES];

	if (!namespace || !pod)
		return;
	if ((size_t)snprintf(name, sizeof(name), "%s/%s%s%s", namespace, pod, is_of_pod ? "" : "/",
			     is_of_pod ? "" : container) < sizeof(name))
		memcpy(about->name, name, sizeof(name));
}

/* The kubelet's way to call a container of Docker's or CRI-O's: k8s_CONTAINER_POD_NAMESPACE_UID_ATTEMPT. */
static void take_name(struct on_record *about, const char *name)
{
	char container[PART_BYTES_MAX + 1], pod[PART_BYTES_MAX + 1], namespace[PART_BYTES_MAX + 1];

	if (sscanf(name, "k8s_%253[^_]_%253[^_]_%253[^_]_", container, pod, namespace) == 3)
		take_kubernetes(about, namespace, pod, strcmp(container, "POD") ? container : NULL);
	else if (!about->is_for_pod && strlen(name) < sizeof(about->name))
		snprintf(about->name, sizeof(about->name), "%s", name);
}

/* --- what a record says ------------------------------------------------------------------------- */

static const char *text_of(json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static void take_mark(struct on_record *about, const char *value)
{
	if (value && !strcmp(value, OFF))
		about->is_off = true;
}

static void take_docker(struct on_record *about, json_t *record)
{
	const char *name = text_of(record, "Name");

	take_mark(about, text_of(json_object_get(json_object_get(record, "Config"), "Labels"), ON_RECORD_LABEL));
	if (name)
		take_name(about, name + (*name == '/'));
}

/* An array of "KEY=VALUE". */
static void take_runc(struct on_record *about, json_t *record)
{
	json_t *labels = json_object_get(json_object_get(record, "config"), "labels"), *label;
	size_t i;

	json_array_foreach (labels, i, label)
		if (json_is_string(label) && !strcmp(json_string_value(label), ON_RECORD_LABEL "=" OFF))
			about->is_off = true;
}

/* No name: an image run by Podman may have annotations, too. */
static void take_crun(struct on_record *about, json_t *record)
{
	take_mark(about, text_of(json_object_get(record, "annotations"), ON_RECORD_LABEL));
}

/* What its CRI plugin and nerdctl write there, no image or pod can. */
static void take_containerd(struct on_record *about, json_t *record)
{
	json_t *annotations = json_object_get(record, "annotations");
	const char *name = text_of(annotations, "nerdctl/name");

	take_mark(about, text_of(annotations, ON_RECORD_LABEL));
	if (name)
		take_name(about, name);
	take_kubernetes(about, text_of(annotations, "io.kubernetes.cri.sandbox-namespace"),
			text_of(annotations, "io.kubernetes.cri.sandbox-name"),
			text_of(annotations, "io.kubernetes.cri.container-name"));
}

/* Podman's and CRI-O's library keeps one file for all containers. */
static void take_storage(struct on_record *about, json_t *record)
{
	json_t *container;
	size_t i;

	json_array_foreach (record, i, container) {
		const char *id = text_of(container, "id");
		const char *name = json_string_value(json_array_get(json_object_get(container, "names"), 0));

		if (id && name && !strcmp(id, about->container_id))
			take_name(about, name);
	}
}

/* --- where the records are ---------------------------------------------------------------------- */

#define TASKS "/run/containerd/io.containerd.runtime.v2.task/"
#define STORAGE "/var/lib/containers/storage/", ".local/share/containers/storage/"

/* DIRECTORY/ID/FILE; or DIRECTORY/FILE, which is of all containers. */
static const struct source {
	const char *roots, *users; /* the directory; below the user's home, or below /run/user/UID; NULL: none */
	const char *subdirectory, *file;
	bool is_in_run, is_of_all;
	void (*take)(struct on_record *about, json_t *record);
} sources[] = {
	{ "/var/lib/docker/", ".local/share/docker/", "containers", "config.v2.json", false, false, take_docker },
	{ "/run/", "", "runc", "state.json", true, false, take_runc },
	{ "/run/", "", "crun", "config.json", true, false, take_crun },
	{ TASKS, NULL, "moby", "config.json", false, false, take_crun },
	{ TASKS, NULL, "default", "config.json", false, false, take_containerd },
	{ TASKS, NULL, "k8s.io", "config.json", false, false, take_containerd },
	{ STORAGE, "overlay-containers", "containers.json", false, true, take_storage },
	{ STORAGE, "overlay-containers", "volatile-containers.json", false, true, take_storage }, /* podman run --rm */
	{ STORAGE, "vfs-containers", "containers.json", false, true, take_storage },
	{ STORAGE, "vfs-containers", "volatile-containers.json", false, true, take_storage },
};

/* Whose records are read: root's are found from the root directory on, a user's below two directories. */
struct archive {
	const struct on_record_owner *owner;
	int home, run; /* -1: there is nothing to be read */
};

/* The kernel's struct statx: some versions of musl have none, and in others it and linux/stat.h's are in conflict. */
struct statx_part {
	uint32_t mask;
	uint8_t others[140];
	uint64_t mount_id;
	uint64_t rest[13];
};

_Static_assert(sizeof(struct statx_part) == 256 && offsetof(struct statx_part, mount_id) == 144,
	       "as the kernel has it");

#define ASK_MOUNT_ID 0x1000 /* STATX_MNT_ID */

/* Without asking whoever serves it. */
static bool is_of_fuse(int fd)
{
	_cleanup_fclose_ FILE *mounts = fopen("/proc/self/mountinfo", "re");
	_cleanup_free_ char *line = NULL;
	struct statx_part st = { 0 };
	size_t size = 0;

	if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, ASK_MOUNT_ID, &st) < 0)
		return true;
	while (mounts && getline(&line, &size, mounts) > 0) {
		const char *type = strstr(line, " - ");

		if (type && strtoull(line, NULL, 10) == st.mount_id)
			return !strncmp(type + 3, "fuse", 4);
	}
	return false;
}

/* -1: no such directory, or its user may let whoever reads it wait. */
static int open_top(const char *path)
{
	_cleanup_close_ int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || is_of_fuse(fd) ? -1 : take_fd(&fd);
}

/* Its path, and the descriptor that the path begins at. -1: the owner has none. */
static int find_directory(const struct archive *archive, const struct source *source, char *ret_path, size_t size)
{
	bool is_roots = !archive->owner->home;
	const char *directory = is_roots ? source->roots : source->users;

	if (!directory || (size_t)snprintf(ret_path, size, "%s%s", directory, source->subdirectory) >= size)
		return -1;
	return is_roots ? AT_FDCWD : source->is_in_run ? archive->run : archive->home;
}

/* A user's file is not looked for in another mount than that of the directory that it is below. */
static int open_record(const struct archive *archive, int at, const char *path)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY,
				.resolve = RESOLVE_NO_XDEV };
	int fd;

	if (!archive->owner->home)
		return openat(at, path, (int)how.flags);
	fd = (int)syscall(SYS_openat2, at, path, &how, sizeof(how));
	return fd < 0 && errno == ENOSYS ? openat(at, path, (int)how.flags) : fd; /* valgrind, qemu */
}

/* Not by its size alone: a user's file may be of a file system of his own. */
static json_t *read_all(int fd)
{
	_cleanup_free_ char *text = malloc(RECORD_BYTES_MAX + 1);
	size_t n = 0;
	ssize_t got;

	if (!text)
		return NULL;
	while ((got = read(fd, text + n, RECORD_BYTES_MAX + 1 - n)) > 0)
		n += got;
	return got < 0 || n > RECORD_BYTES_MAX ? NULL : json_loadb(text, n, 0, NULL);
}

/* A new reference, or NULL. */
static json_t *read_record(const struct archive *archive, int at, const char *path)
{
	_cleanup_close_ int fd = open_record(archive, at, path);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > RECORD_BYTES_MAX)
		return NULL;
	if (st.st_uid != archive->owner->uid || st.st_mode & (S_IWGRP | S_IWOTH))
		return NULL;
	return read_all(fd);
}

static bool is_file_name(const char *id)
{
	return *id && *id != '.' && !strchr(id, '/');
}

/* Of one container, or of all of them if the source is. */
static void read_source(const struct archive *archive, const struct source *source, struct on_record *containers,
			size_t n)
{
	char directory[PATH_MAX / 2], path[PATH_MAX];
	int at = find_directory(archive, source, directory, sizeof(directory));
	json_t *record;

	if (at == -1)
		return;
	snprintf(path, sizeof(path), "%s/%s%s%s", directory, source->is_of_all ? "" : containers->container_id,
		 source->is_of_all ? "" : "/", source->file);
	record = read_record(archive, at, path);
	for (size_t i = 0; record && i < n; i++)
		if (is_file_name(containers[i].container_id))
			source->take(&containers[i], record);
	json_decref(record);
}

static void read_all_of(const struct archive *archive, struct on_record *containers, size_t n)
{
	const struct source *source, *end = sources + ARRAY_SIZE(sources);

	for (source = sources; source < end; source++)
		if (source->is_of_all)
			read_source(archive, source, containers, n);
	for (size_t i = 0; i < n; i++) {
		for (source = sources; source < end && is_file_name(containers[i].container_id); source++)
			if (!source->is_of_all)
				read_source(archive, source, &containers[i], 1);
		__atomic_store_n(&containers[i].is_read, true, __ATOMIC_RELEASE);
	}
}

void on_record_read(const struct on_record_owner *owner, struct on_record *containers, size_t n)
{
	_cleanup_close_ int home = -1, run = -1;
	char path[64];

	if (owner->home) {
		snprintf(path, sizeof(path), "/run/user/%u", owner->uid);
		home = open_top(owner->home);
		run = open_top(path);
	}
	read_all_of(&(struct archive){ .owner = owner, .home = home, .run = run }, containers, n);
}
