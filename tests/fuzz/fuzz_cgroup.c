// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * libFuzzer target: the paths of two cgroups, apart by a NUL, to a container's name and to what the paths have in common.
 * Whoever is in a container may name what it holds.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "ipc/log.h"
#include "supervisor/instances/cgroup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

/* A path may be any bytes; what is shown of it is UTF-8 without a control character. */
static void show(const char *path)
{
	size_t size = 4 * strlen(path) + 1;
	char *text = malloc(size);
	json_t *json;

	log_escape(path, text, size);
	json = json_string(text);
	check(json != NULL && strlen(text) >= strlen(path));
	for (const char *c = text; *c; c++)
		check((unsigned char)*c >= ' ' && *c != 0x7f);
	json_decref(json);
	free(text);
}

static void parse(const char *path)
{
	struct cgroup_name name;
	size_t n = strlen(path);

	for (size_t parts = 0; parts <= 2; parts++)
		check(cgroup_owner_bytes(path, parts * n / 2) <= n);
	show(path);
	cgroup_is_place(path);
	check(cgroup_is_below(path, path));
	if (!cgroup_parse(path, &name))
		return;
	check(name.runtime != NULL);
	check(memchr(name.container_id, 0, sizeof(name.container_id)) != NULL);
	check(memchr(name.pod_uid, 0, sizeof(name.pod_uid)) != NULL);
	check(!name.pod_qos || name.pod_uid[0]); /* Podman's pods have no class */
	check(strlen(name.container_id) <= n);
	check(name.bytes <= n && name.container_bytes <= name.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *theirs = malloc(size + 1), *ours, *path = malloc(size + 2), *other = malloc(size + 1);

	memcpy(theirs, data, size);
	theirs[size] = '\0';
	ours = theirs + strlen(theirs) + (strlen(theirs) < size);
	parse(theirs);
	cgroup_is_session(theirs);
	parse(ours);
	strcpy(path, *theirs ? theirs : "/");
	strcpy(other, ours);
	cgroup_common(path, other);
	check(strlen(path) <= (*theirs ? strlen(theirs) : 1) || !strcmp(path, "/"));
	check(*theirs != '/' || *ours != '/' || (cgroup_is_below(theirs, path) && cgroup_is_below(ours, path)));
	cgroup_is_below(theirs, ours);
	cgroup_common(path, path);
	free(theirs);
	free(path);
	free(other);
	return 0;
}
