// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/instances/opt_out.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "supervisor/instances/cgroup.h"
#include "supervisor/instances/name.h"

#define LABEL "io.bpftune"
#define OFF "off"
#define RECORD_BYTES_MAX (1 << 20)

/* --- extended attributes of cgroups ------------------------------------------------------------- */

static bool is_off(int fd, const char *attribute)
{
	char value[sizeof(OFF)];
	ssize_t n = fgetxattr(fd, attribute, value, sizeof(value));

	return n >= (ssize_t)strlen(OFF) && !strncmp(value, OFF, n); /* some write the string's NUL, too */
}

static const char *find_attribute(const struct cgroupfs *cgroupfs, enum cgroup_hierarchy hierarchy, const char *path)
{
	_cleanup_close_ int fd = cgroupfs_open_path(cgroupfs, hierarchy, path);

	if (fd < 0)
		return NULL;
	if (is_off(fd, "user.bpftune"))
		return "turned off by its owner: extended attribute user.bpftune of its cgroup";
	if (is_off(fd, "trusted.bpftune"))
		return "turned off by its owner: extended attribute trusted.bpftune of its cgroup";
	return NULL;
}

/* --- what runtimes have on record --------------------------------------------------------------- */

/* By a container's id: an object of labels or annotations, or runc's array of "KEY=VALUE". */
static const struct {
	const char *directory, *file, *keys[2]; /* DIRECTORY/ID/FILE */
} records[] = {
	{ "/run/runc", "state.json", { "config", "labels" } },
	{ "/run/crun", "config.json", { "annotations" } },
	{ "/run/containerd/io.containerd.runtime.v2.task/moby", "config.json", { "annotations" } },
	{ "/run/containerd/io.containerd.runtime.v2.task/default", "config.json", { "annotations" } },
	{ "/run/containerd/io.containerd.runtime.v2.task/k8s.io", "config.json", { "annotations" } },
	{ "/var/lib/docker/containers", "config.v2.json", { "Config", "Labels" } },
};

/* A new reference, or NULL. */
static json_t *read_record(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > RECORD_BYTES_MAX)
		return NULL;
	return json_loadfd(fd, 0, NULL);
}

static bool has_label(json_t *labels)
{
	const char *value = json_string_value(json_object_get(labels, LABEL));
	json_t *pair;
	size_t i;

	if (value)
		return !strcmp(value, OFF);
	json_array_foreach(labels, i, pair)
		if (json_is_string(pair) && !strcmp(json_string_value(pair), LABEL "=" OFF))
			return true;
	return false;
}

static bool is_off_on_record(const char *container_id)
{
	char path[512];

	for (size_t i = 0; i < ARRAY_SIZE(records); i++) {
		json_t *record, *labels;
		bool has;

		if ((size_t)snprintf(path, sizeof(path), "%s/%s/%s", records[i].directory, container_id, records[i].file) >=
		    sizeof(path))
			continue;
		record = read_record(path);
		labels = json_object_get(record, records[i].keys[0]);
		if (records[i].keys[1])
			labels = json_object_get(labels, records[i].keys[1]);
		has = has_label(labels);
		json_decref(record);
		if (has)
			return true;
	}
	return false;
}

/* --- both --------------------------------------------------------------------------------------- */

const char *opt_out_find(const struct instances *instances, const struct instance *instance)
{
	const struct cgroupfs *cgroupfs = &instances->kernel->cgroupfs;
	enum cgroup_hierarchy hierarchy = instance->view.cgroup_id ? CGROUP2 : CGROUP1_MEMORY;
	const char *path = instance->view.cgroup_path, *id = instance->container_id, *found;
	char container[CGROUP_PATH_BYTES];

	found = find_attribute(cgroupfs, hierarchy, path);
	/* It may be paired with a cgroup that was made inside the container. */
	if (!found && name_find_container(path, container))
		found = find_attribute(cgroupfs, hierarchy, container);
	if (!found && id && *id != '.' && !strchr(id, '/') && is_off_on_record(id))
		found = "turned off by its owner: label or annotation " LABEL;
	return found;
}
