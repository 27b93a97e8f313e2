// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * libFuzzer target: the texts of two /proc/PID/cgroup, apart by a NUL, to a cgroup and a container's name.
 * Whoever is in a container may name what it holds. Needs libbpftune.a behind it for what pair.c calls.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/cgroup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

static void parse(const char *path)
{
	struct cgroup_name name;

	check(cgroup_owner_bytes(path, 0) <= strlen(path));
	cgroup_is_place(path);
	if (!cgroup_parse(path, &name))
		return;
	check(name.runtime != NULL);
	check(memchr(name.container_id, 0, sizeof(name.container_id)) != NULL);
	check(memchr(name.pod_uid, 0, sizeof(name.pod_uid)) != NULL);
	check(!name.pod_uid[0] == !name.pod_qos);
	check(strlen(name.container_id) <= strlen(path));
	check(name.bytes <= strlen(path) && name.container_bytes <= name.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *theirs = malloc(size + 1), *ours, *path = malloc(size + 2), *other = malloc(size + 2);
	const size_t sizes[] = { 2, 8, size + 2 };

	memcpy(theirs, data, size);
	theirs[size] = '\0';
	ours = theirs + strlen(theirs) + (strlen(theirs) < size);
	parse(theirs);
	cgroup_is_session(theirs);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		if (sizes[i] > size + 2 || !cgroup_of_text(theirs, ours, path, sizes[i]))
			continue;
		check(strlen(path) < sizes[i] && path[1]);
		parse(path);
	}
	strcpy(path, *theirs ? theirs : "/");
	strcpy(other, ours);
	cgroup_common(path, other);
	check(strlen(path) <= (*theirs ? strlen(theirs) : 1) || !strcmp(path, "/"));
	cgroup_common(path, path);
	free(theirs);
	free(path);
	free(other);
	return 0;
}
