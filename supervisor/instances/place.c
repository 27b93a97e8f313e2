// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/instances/place.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <utlist.h>

#include "ipc/cleanup.h"
#include "ipc/unshared.h"
#include "supervisor/instances/name.h"
#include "supervisor/instances/search.h"

bool place_find(struct instances *instances, const struct bpftune_place *event, char ret_path[CGROUP_PATH_BYTES],
		enum cgroup_hierarchy *ret_hierarchy)
{
	struct cgroup_name name;
	int err = cgroupfs_path_of_task(&instances->kernel->cgroupfs, event->cgroup_id, event->memory_cgroup_id, ret_path,
					CGROUP_PATH_BYTES, ret_hierarchy);

	if (err && err != -ENOENT && err != -ESTALE && !instances->said_no_ids) {
		instance_log(instances, NULL, LOG_ERR, "cannot look up cgroups by their ids: %s (needs CAP_DAC_READ_SEARCH, "
			     "CONFIG_FHANDLE, and the host's cgroup namespace)", strerror(-err));
		instances->said_no_ids = true;
	}
	/* In cgroup1 there are those of logins and services, too. */
	return !err && (*ret_hierarchy == CGROUP2 || name_parse(ret_path, &name));
}

bool place_find_task(struct instances *instances, pid_t tid, char ret_path[CGROUP_PATH_BYTES],
		     enum cgroup_hierarchy *ret_hierarchy)
{
	uint64_t ids[N_CGROUP_HIERARCHIES];
	struct bpftune_place place = { 0 };

	if (cgroupfs_ids_of_task(&instances->kernel->cgroupfs, tid, ids) < 0)
		return false;
	place.cgroup_id = ids[CGROUP2];
	place.memory_cgroup_id = ids[CGROUP1_MEMORY];
	return place_find(instances, &place, ret_path, ret_hierarchy);
}

static void free_one(struct place **places, struct place *place)
{
	DL_DELETE(*places, place);
	unshared_free(place->path);
	unshared_free(place);
}

void place_free(struct place *places)
{
	struct place *place, *next;

	DL_FOREACH_SAFE(places, place, next)
		free_one(&places, place);
}

static bool is_at(const struct place *place, const char *path, enum cgroup_hierarchy hierarchy)
{
	if (place->hierarchy != hierarchy)
		return false;
	return place->is_common ? cgroup_is_below(path, place->path) : !strcmp(path, place->path);
}

static struct place *find(struct place *places, const char *path, enum cgroup_hierarchy hierarchy)
{
	struct place *place;

	DL_FOREACH(places, place)
		if (is_at(place, path, hierarchy))
			return place;
	return NULL;
}

/* Of those in a container of many cgroups, one becomes what it has in common with the new one. False: none is near. */
static bool merge(struct place *places, const char *path, enum cgroup_hierarchy hierarchy)
{
	struct place *place, *nearest = NULL;
	char common[CGROUP_PATH_BYTES];
	size_t deepest = 0;

	DL_FOREACH(places, place) {
		snprintf(common, sizeof(common), "%s", place->path);
		cgroup_common(common, path);
		if (place->hierarchy == hierarchy && strlen(common) > deepest && !cgroup_is_place(common)) {
			deepest = strlen(common);
			nearest = place;
		}
	}
	if (!nearest)
		return false;
	cgroup_common(nearest->path, path);
	nearest->is_common = true;
	return true;
}

static struct place *add(struct place **places, const char *path, enum cgroup_hierarchy hierarchy)
{
	struct place *place, *other;
	int n;

	DL_COUNT(*places, other, n);
	if (n >= PLACES_MAX && merge(*places, path, hierarchy))
		return NULL;
	if (n >= PLACES_MAX)
		free_one(places, *places);
	place = unshared_alloc(sizeof(*place));
	if (place)
		place->path = unshared_strdup(path);
	if (!place || !place->path) {
		unshared_free(place);
		return NULL;
	}
	place->hierarchy = hierarchy;
	DL_APPEND(*places, place);
	return place;
}

void place_add(struct place **places, const char *path, enum cgroup_hierarchy hierarchy, pid_t tid, uint64_t now_ms)
{
	struct place *place = find(*places, path, hierarchy), *other;

	DL_FOREACH(*places, other)
		if (other->tid == tid && !other->is_common)
			other->tid = 0; /* it was moved */
	if (!place)
		place = add(places, path, hierarchy);
	if (!place)
		return;
	place->tid = tid;
	place->seen_ms = now_ms ? now_ms : place->seen_ms;
}

static bool search(const struct instances *instances, const struct instance *instance, struct place *place)
{
	_cleanup_close_ int fd = cgroupfs_open_path(&instances->kernel->cgroupfs, place->hierarchy, place->path);
	bool others;

	if (fd < 0)
		place->tid = 0;
	else if (place->is_common)
		place->tid = search_below(fd, instance->view.netns_inode, &others);
	else
		place->tid = search_cgroup(fd, instance->view.netns_inode);
	return place->tid != 0;
}

/* A move may not have been told of: the ring was full, or another task's move to there was told just before. */
static bool look_at_task(struct instances *instances, struct instance *instance, pid_t tid, const struct place *place)
{
	enum cgroup_hierarchy hierarchy;
	char path[CGROUP_PATH_BYTES];

	if (!search_is_in(tid, instance->view.netns_inode) || !place_find_task(instances, tid, path, &hierarchy))
		return false;
	if (place && is_at(place, path, hierarchy))
		return true;
	place_add(&instance->places, path, hierarchy, tid, 0);
	return false;
}

void place_forget_left(struct instances *instances, struct instance *instance)
{
	struct place *place, *next;

	look_at_task(instances, instance, instance->tid, NULL);
	look_at_task(instances, instance, (pid_t)bpf_last_tid(&instances->kernel->host, instance->view.netns_cookie), NULL);
	DL_FOREACH_SAFE(instance->places, place, next)
		if (!look_at_task(instances, instance, place->tid, place) && !search(instances, instance, place))
			free_one(&instance->places, place);
}

bool place_was_just_reported(const struct instances *instances, const struct instance *instance)
{
	const struct place *place;

	DL_FOREACH(instance->places, place)
		if (uv_now(instances->loop) - place->seen_ms < PLACE_REPORTED_MS)
			return true;
	return false;
}

/* --- which one it is ---------------------------------------------------------------------------- */

static bool is_any_container(const struct instance *instance)
{
	const struct place *place;

	DL_FOREACH(instance->places, place)
		if (name_is_container(place->path))
			return true;
	return false;
}

static bool counts(const struct place *place, bool is_container)
{
	return name_is_container(place->path) || (!is_container && !cgroup_is_session(place->path));
}

bool place_best(const struct instance *instance, char ret_path[CGROUP_PATH_BYTES], enum cgroup_hierarchy *ret_hierarchy)
{
	const char *paired = instance->view.cgroup_id ? instance->view.cgroup_path : NULL;
	const struct place *place, *first = NULL;
	bool is_container = is_any_container(instance), stays = false;

	DL_FOREACH(instance->places, place) {
		if (!counts(place, is_container) || (first && place->hierarchy != first->hierarchy))
			continue;
		if (first)
			cgroup_common(ret_path, place->path);
		else
			snprintf(ret_path, CGROUP_PATH_BYTES, "%s", place->path);
		first = first ? first : place;
		stays |= paired && cgroup_is_below(place->path, paired);
	}
	if (!first)
		return false;
	*ret_hierarchy = first->hierarchy;
	if (cgroup_is_place(ret_path))
		snprintf(ret_path, CGROUP_PATH_BYTES, "%s", stays ? paired : first->path);
	return true;
}
