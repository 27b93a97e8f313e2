// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/instances/pair.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <utlist.h>

#include "ipc/cleanup.h"
#include "supervisor/instances/name.h"
#include "supervisor/instances/place.h"
#include "supervisor/instances/registry.h"

/* --- the instances of a cgroup ------------------------------------------------------------------ */

/*
 * A program can be attached to a cgroup only once (kernel/bpf/cgroup.c: find_attach_entry()), so of the instances of
 * one cgroup one has its id on what the programs tell. A container in the host's namespace goes first: the others are
 * found by cookie.
 */
struct paired_cgroup {
	uint64_t id;
	struct instance *instances; /* all that are paired with it */
	struct instance *attached;  /* whose id it is; NULL: none */
	struct bpf_link **links;
	size_t n_links;
	UT_hash_handle hh;
};

struct refused {
	struct instances *instances;
	const struct instance *instance;
};

static void say_refused(void *arg, const struct hook *hook)
{
	const struct refused *refused = arg;

	instance_log(refused->instances, refused->instance, LOG_WARNING, "cannot attach %s to cgroup %s: %s", hook->program,
		     refused->instance->view.cgroup_path, bpf_hook_error(hook));
}

static void attach(struct instances *instances, struct paired_cgroup *cgroup, struct instance *instance, int cgroup_fd)
{
	bpf_detach_container(&cgroup->links, &cgroup->n_links);
	cgroup->attached = instance;
	bpf_attach_container(&instances->kernel->host, cgroup_fd, instance->view.id, &cgroup->links, &cgroup->n_links,
			     say_refused, &(struct refused){ instances, instance });
}

static void join(struct instances *instances, struct instance *instance, int cgroup_fd)
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
		bpf_set_paired(&instances->kernel->host, id, true);
	}
	instance->cgroup = cgroup;
	DL_APPEND2(cgroup->instances, instance, cgroup_prev, cgroup_next);
	if (!cgroup->attached || (instance->view.shares_netns && !cgroup->attached->view.shares_netns))
		attach(instances, cgroup, instance, cgroup_fd);
}

/* Another instance of the same cgroup gets the programs. */
static void attach_another(struct instances *instances, struct paired_cgroup *cgroup)
{
	struct instance *next = cgroup->instances, *other;
	_cleanup_close_ int fd = -1;

	DL_FOREACH2(cgroup->instances, other, cgroup_next)
		if (other->view.shares_netns && !next->view.shares_netns)
			next = other;
	fd = cgroupfs_open_path(&instances->kernel->cgroupfs, CGROUP2, next->view.cgroup_path);
	if (fd >= 0)
		attach(instances, cgroup, next, fd);
}

void pair_let_go(struct instances *instances, struct instance *instance)
{
	struct paired_cgroup *cgroup = instance->cgroup;

	instance->view.cgroup_id = 0;
	instance->cgroup = NULL;
	if (!cgroup)
		return;
	DL_DELETE2(cgroup->instances, instance, cgroup_prev, cgroup_next);
	if (cgroup->attached == instance) {
		bpf_detach_container(&cgroup->links, &cgroup->n_links);
		cgroup->attached = NULL;
		if (cgroup->instances && !instances->stopping)
			attach_another(instances, cgroup);
	}
	if (cgroup->instances)
		return;
	bpf_set_paired(&instances->kernel->host, cgroup->id, false);
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
	_cleanup_close_ int fd = -1;
	char *copy = strdup(path);
	struct stat st;

	if (!copy)
		return;
	pair_let_go(instances, instance);
	free(instance->view.cgroup_path);
	instance->view.cgroup_path = copy;
	/* BPF programs know of cgroup2 only. */
	fd = hierarchy == CGROUP2 ? cgroupfs_open_path(&instances->kernel->cgroupfs, CGROUP2, path) : -1;
	if (fd >= 0 && fstat(fd, &st) == 0) {
		instance->view.cgroup_id = st.st_ino;
		join(instances, instance, fd);
	}
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
	instances->listener.paired(instances->arg, instance);
	return is_container;
}

bool pair_is_inside(const struct instance *instance, const char *path)
{
	struct cgroup_name name;

	return instance->view.cgroup_id && name_parse(instance->view.cgroup_path, &name) && name.container_bytes &&
	       cgroup_is_below(path, instance->view.cgroup_path);
}

void instance_find_owner(struct instances *instances, struct instance *instance)
{
	if (instance->owner || instance->is_mounted || name_by_mount(instances, instance))
		return;
	place_forget_left(instances, instance);
	if (instance->places)
		name_owner(instance, instance->places->path);
	else
		instance->owner = strdup(""); /* asked once, not for each event */
	instances->listener.paired(instances->arg, instance);
}
