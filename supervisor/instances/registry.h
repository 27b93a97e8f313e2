/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The registry: one record a network namespace, by cookie and by id. */
#ifndef BPFTUNE_SUPERVISOR_INSTANCES_REGISTRY_H
#define BPFTUNE_SUPERVISOR_INSTANCES_REGISTRY_H

#include <stdbool.h>
#include <uthash.h>

struct bpf_link;
struct learnt;

#include "supervisor/workers/child.h"
#include "tuners/tuner.h"

#define INSTANCE_HOST BPFTUNE_HOST_ID

struct instance {
	struct bpftune pub;
	char *container_id;  /* NULL: none known */
	const char *runtime; /* NULL: none known */
	char *pod_uid;       /* NULL: no pod */
	const char *pod_qos;
	struct bpf_link **links; /* programs attached to its cgroup; its own */
	size_t n_links;
	struct learnt *learnt; /* what its tuners told, oldest first */
	char *owner;         /* the cgroup of whoever made it, for the limit of workers; "": none; NULL: not known yet */
	bool named;          /* by a mount of the host's: it was made by root of the host */
	unsigned int doubts; /* how often it was put off whether it shares the host's namespace */
	bool misplaced;      /* its tasks may be in another cgroup than it is paired with */
	pid_t stray;         /* was last executed outside of that cgroup, and is yet to be looked at; 0: none */
	uint64_t told_ms;    /* when a move or a stray was last told of */
	uint64_t manual_said_ms; /* when a write by somebody else was last logged */
	uint64_t unnamed;        /* tuners that stepped aside for nobody knows whom, by number */
	int unserved;        /* wants a worker, and there is no room for one: room_is_lacking(); 0: no */
	pid_t pid;           /* a task that was seen in it; may have ended */
	uint64_t sighted_ms; /* uv_now() */
	struct child child;
	struct instance *due_next; /* in the watch's queue of young ones */
	UT_hash_handle by_cookie, by_id;
};

struct registry {
	struct instance *by_cookie, *by_id;
	uint64_t last_id;
};

/* A record with state CHILD_NONE, named after its inode until it is paired. NULL: no memory. */
struct instance *instance_new(struct registry *registry, uint64_t netns_cookie, uint32_t netns_inode);

/* A container that shares the host's namespace: not found by cookie. */
struct instance *instance_new_shared(struct registry *registry, const struct instance *host);

/* One that has only claimed a cgroup: it is yet to show whether its tasks stay in the host's namespace. */
bool instance_is_claim(const struct instance *instance);

/* Takes it out of the registry and frees it. Its child must be gone. */
void instance_free(struct registry *registry, struct instance *instance);

struct instance *instance_by_cookie(const struct registry *registry, uint64_t netns_cookie);
struct instance *instance_by_id(const struct registry *registry, uint64_t id);

/*
 * What an operator calls it: a name, a container id or a prefix of it, `pid:N` (that task's namespace), or
 * an instance id. NULL, with errno: ENOENT: none; ENOTUNIQ: several; EACCES: that task's
 * namespace must not be looked at.
 */
struct instance *instance_find(const struct registry *registry, const char *container);

#endif
