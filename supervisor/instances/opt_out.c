// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/instances/opt_out.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "supervisor/instances/cgroup.h"
#include "supervisor/instances/name.h"
#include "supervisor/instances/on_record.h"

#define OFF "off"

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

const char *opt_out_find(const struct instances *instances, const struct instance *instance)
{
	const struct cgroupfs *cgroupfs = &instances->kernel->cgroupfs;
	enum cgroup_hierarchy hierarchy = instance->view.cgroup_id ? CGROUP2 : CGROUP1_MEMORY;
	const char *path = instance->view.cgroup_path, *found;
	char container[CGROUP_PATH_BYTES];

	found = find_attribute(cgroupfs, hierarchy, path);
	/* It may be paired with a cgroup that was made inside the container. */
	if (!found && name_find_container(path, container))
		found = find_attribute(cgroupfs, hierarchy, container);
	if (!found && instance->is_off_on_record)
		found = "turned off by its owner: label or annotation " ON_RECORD_LABEL;
	return found;
}
