// SPDX-License-Identifier: GPL-2.0-or-later
/* The room's start and end, and the end of its instances. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ipc/unshared.h"
#include "supervisor/instances/lookup.h"
#include "supervisor/instances/mounts.h"
#include "supervisor/instances/owner.h"
#include "supervisor/instances/pair.h"
#include "supervisor/instances/place.h"
#include "supervisor/instances/registry.h"
#include "supervisor/instances/scan.h"
#include "supervisor/instances/sweep.h"
#include "supervisor/instances/watch.h"

static int add_host(struct instances *instances, uint64_t cookie)
{
	struct stat netns, cgroup;
	struct instance *host;
	char *name;

	if (stat("/proc/self/ns/net", &netns) < 0 || fstat(instances->kernel->cgroupfs.fd, &cgroup) < 0)
		return -errno;
	host = registry_add(instances, cookie, netns.st_ino);
	name = unshared_strdup("host");
	if (!host || !name) {
		unshared_free(name);
		return -ENOMEM;
	}
	registry_rename(instances, host, name);
	host->is_mounted = true; /* and of no container's limit */
	host->view.cgroup_id = cgroup.st_ino;
	host->tid = getpid();
	instance_set_gate(instances, host);
	instances->listener.begun(instances->arg, host);
	return 0;
}

int instances_start(struct instances *instances, uint64_t host_cookie)
{
	int err = add_host(instances, host_cookie);

	if (err)
		return err;
	watch_start(instances);
	lookup_start(instances);
	sweep_start(instances, watch_look_at_cgroups);
	err = mounts_start(instances);
	return err ? err : scan_start(instances);
}

void instances_stop(struct instances *instances)
{
	watch_stop(instances);
	lookup_stop(instances);
	sweep_stop(instances);
	mounts_stop(instances);
	scan_stop(instances);
}

void instances_end(struct instances *instances, struct instance *instance)
{
	watch_drop(instances, instance);
	lookup_drop(instance);
	sweep_drop(instances, instance);
	pair_let_go(instances, instance);
	owner_uncount(instances, instance);
	if (!instance->view.shares_netns) {
		bpf_forget(&instances->kernel->host, instance->view.netns_cookie);
		mounts_ended(instances, instance->view.netns_inode);
	}
	registry_remove(instances, instance);
	instance->ended_next = instances->ended;
	instances->ended = instance;
}

void instances_free_ended(struct instances *instances, void (*freed)(void *arg, struct instance *instance))
{
	while (instances->ended) {
		struct instance *instance = instances->ended;

		instances->ended = instance->ended_next;
		freed(instances->arg, instance);
		place_free(instance->places);
		registry_free(instances, instance);
	}
}

void instances_close(struct instances *instances)
{
	owners_free(instances);
	pool_close(&instances->pool);
}
