// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/instances/pair.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <utlist.h>

#include "ipc/cleanup.h"
#include "ipc/unshared.h"
#include "supervisor/instances/lookup.h"
#include "supervisor/instances/name.h"
#include "supervisor/instances/opt_out.h"
#include "supervisor/instances/owner.h"
#include "supervisor/instances/place.h"
#include "supervisor/instances/registry.h"

/* --- the instances of a cgroup ------------------------------------------------------------------ */

struct paired_cgroup {
	uint64_t id;
	struct instance *instances; /* all that are paired with it; one that shares the host's namespace goes first */
	UT_hash_handle hh;
};

/* Sockets of the host's namespace that are made in that cgroup are its sharer's; others are found by cookie. */
static void tell_programs(struct instances *instances, const struct paired_cgroup *cgroup)
{
	const struct instance *first = cgroup->instances;

	bpf_set_pair(&instances->kernel->host, cgroup->id, first->view.shares_netns ? first->view.id : 0);
}

static void join(struct instances *instances, struct instance *instance)
{
	uint64_t id = instance->view.cgroup_id;
	struct paired_cgroup *cgroup;

	HASH_FIND(hh, instances->cgroups, &id, sizeof(id), cgroup);
	if (!cgroup) {
		cgroup = calloc(1, sizeof(*cgroup));
		if (!cgroup)
			return;
		cgroup->id = id;
		HASH_ADD(hh, instances->cgroups, id, sizeof(id), cgroup);
	}
	instance->cgroup = cgroup;
	if (instance->view.shares_netns)
		DL_PREPEND2(cgroup->instances, instance, cgroup_prev, cgroup_next);
	else
		DL_APPEND2(cgroup->instances, instance, cgroup_prev, cgroup_next);
	tell_programs(instances, cgroup);
}

void pair_let_go(struct instances *instances, struct instance *instance)
{
	struct paired_cgroup *cgroup = instance->cgroup;

	instance->view.cgroup_id = 0;
	instance->cgroup = NULL;
	if (!cgroup)
		return;
	DL_DELETE2(cgroup->instances, instance, cgroup_prev, cgroup_next);
	if (cgroup->instances) {
		tell_programs(instances, cgroup);
		return;
	}
	bpf_clear_pair(&instances->kernel->host, cgroup->id);
	HASH_DEL(instances->cgroups, cgroup);
	free(cgroup);
}

void pair_each_of_cgroup(struct instances *instances, uint64_t cgroup_id,
			 void (*found)(struct instances *instances, struct instance *instance))
{
	struct paired_cgroup *cgroup;
	struct instance *instance, *next;

	HASH_FIND(hh, instances->cgroups, &cgroup_id, sizeof(cgroup_id), cgroup);
	/* The last that goes takes the record with it. */
	for (instance = cgroup ? cgroup->instances : NULL; instance; instance = next) {
		next = instance->cgroup_next;
		found(instances, instance);
	}
}

bool pair_is_there(const struct instances *instances, const struct instance *instance)
{
	struct stat st;

	return fstatat(instances->kernel->cgroupfs.fd, instance->view.cgroup_path + 1, &st, 0) == 0 &&
	       st.st_ino == instance->view.cgroup_id;
}

/* --- an instance's cgroup ----------------------------------------------------------------------- */

void pair_dissolve(struct instances *instances, struct instance *instance)
{
	pair_let_go(instances, instance);
	instance->view.cgroup_path[1] = '\0'; /* "/": another of the same path is another cgroup */
	instance_set_gate(instances, instance);
}

static void take_cgroup(struct instances *instances, struct instance *instance, const char *path,
			enum cgroup_hierarchy hierarchy)
{
	char *copy = unshared_strdup(path);
	struct stat st;

	if (!copy)
		return;
	pair_let_go(instances, instance);
	unshared_free(instance->view.cgroup_path);
	instance->view.cgroup_path = copy;
	/* BPF programs know of cgroup2 only. */
	if (hierarchy == CGROUP2 && fstatat(instances->kernel->cgroupfs.fd, path + 1, &st, 0) == 0) {
		instance->view.cgroup_id = st.st_ino;
		join(instances, instance);
	}
	instance_read_opt_out(instances, instance);
	instance_set_gate(instances, instance);
}

bool pair_with(struct instances *instances, struct instance *instance, const char *path, enum cgroup_hierarchy hierarchy)
{
	name_owner(instance, path);
	if (instance->view.cgroup_id && !strcmp(instance->view.cgroup_path, path))
		return true;
	if (!name_by_path(instances, instance, path))
		return false;
	take_cgroup(instances, instance, path, hierarchy);
	lookup_ask(instances, instance);
	return true;
}

bool pair_by_places(struct instances *instances, struct instance *instance)
{
	enum cgroup_hierarchy hierarchy;
	char path[CGROUP_PATH_BYTES];
	bool is_container = false;

	if (place_best(instance, path, &hierarchy))
		is_container = pair_with(instances, instance, path, hierarchy);
	is_container |= name_by_mount(instances, instance);
	owner_count(instances, instance);
	instances->listener.paired(instances->arg, instance);
	return is_container;
}

bool pair_is_inside(const struct instance *instance, const char *path)
{
	struct cgroup_name name;

	return instance->view.cgroup_id && name_parse(instance->view.cgroup_path, &name) && name.container_bytes &&
	       cgroup_is_below(path, instance->view.cgroup_path);
}

void instance_read_opt_out(const struct instances *instances, struct instance *instance)
{
	instance->opt_out = opt_out_find(instances, instance);
}

void instance_find_owner(struct instances *instances, struct instance *instance)
{
	if (instance->owner || instance->is_mounted || name_by_mount(instances, instance))
		return;
	place_forget_left(instances, instance);
	if (instance->places)
		name_owner(instance, instance->places->path);
	else
		instance->owner = unshared_strdup(""); /* asked once, not for each event */
	owner_count(instances, instance);
	instances->listener.paired(instances->arg, instance);
}
