// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/instances/on_record.h"

#include <ctype.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
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

static bool find_directory(const struct on_record_owner *owner, const struct source *source, char *ret_path,
			   size_t size)
{
	if (!owner->home)
		return (size_t)snprintf(ret_path, size, "%s%s", source->roots, source->subdirectory) < size;
	if (!source->users)
		return false;
	if (source->is_in_run)
		return (size_t)snprintf(ret_path, size, "/run/user/%u/%s", owner->uid, source->subdirectory) < size;
	return (size_t)snprintf(ret_path, size, "%s/%s%s", owner->home, source->users, source->subdirectory) < size;
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
static json_t *read_record(const struct on_record_owner *owner, const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > RECORD_BYTES_MAX)
		return NULL;
	if (st.st_uid != owner->uid || st.st_mode & (S_IWGRP | S_IWOTH))
		return NULL;
	return read_all(fd);
}

static bool is_file_name(const char *id)
{
	return *id && *id != '.' && !strchr(id, '/');
}

static void read_of_each(const struct on_record_owner *owner, const struct source *source, const char *directory,
			 struct on_record *about)
{
	char path[PATH_MAX];
	json_t *record;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s/%s", directory, about->container_id, source->file) >=
	    sizeof(path))
		return;
	record = read_record(owner, path);
	source->take(about, record);
	json_decref(record);
}

void on_record_read(const struct on_record_owner *owner, struct on_record *containers, size_t n)
{
	for (const struct source *source = sources; source < sources + ARRAY_SIZE(sources); source++) {
		char directory[PATH_MAX / 2], path[PATH_MAX];
		json_t *of_all = NULL;

		if (!find_directory(owner, source, directory, sizeof(directory)))
			continue;
		if (source->is_of_all) {
			snprintf(path, sizeof(path), "%s/%s", directory, source->file);
			of_all = read_record(owner, path);
		}
		for (size_t i = 0; i < n; i++) {
			if (!is_file_name(containers[i].container_id))
				continue;
			if (of_all)
				source->take(&containers[i], of_all);
			else if (!source->is_of_all)
				read_of_each(owner, source, directory, &containers[i]);
		}
		json_decref(of_all);
	}
}
