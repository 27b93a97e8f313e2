/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a container's runtime has on record of the container, in files of its own: the name that people gave it, and
 * whether its owner wants nothing of bpftune. To read a file may take long: only a child does (lookup.c).
 */
#ifndef BPFTUNE_SUPERVISOR_INSTANCES_ON_RECORD_H
#define BPFTUNE_SUPERVISOR_INSTANCES_ON_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define ON_RECORD_LABEL "io.bpftune"
#define ON_RECORD_NAME_BYTES 384 /* NAMESPACE/POD/CONTAINER of Kubernetes: 63, 253 and 63 characters at most */

struct on_record {
	char container_id[256]; /* "": nothing is looked up */
	bool is_for_pod;	/* the container is one of a Kubernetes pod, and the pod's name is wanted */
	/* What was found. */
	bool is_read;			 /* all of it */
	bool is_off;			 /* label or annotation ON_RECORD_LABEL=off */
	char name[ON_RECORD_NAME_BYTES]; /* "": none */
};

/* Whose records: root's (`home` NULL), or a user's. */
struct on_record_owner {
	uid_t uid;
	const char *home;
};

/*
 * Looks all of them up, one after the other: whoever has had enough of it has what is_read says. Nothing is found in a
 * file that is not the owner's alone to write, no regular one, or over 1 MiB, nor in one of a file system that a user
 * may have mounted: what serves that may never answer, and then a kill is no use either.
 */
void on_record_read(const struct on_record_owner *owner, struct on_record *containers, size_t n);

/*
 * Whether it is a name as runtimes allow: up to three parts with slashes between them, of letters, digits and "-._".
 * Not what would pass for something else that an operator may say: the number of an instance, a container's id, pid:N.
 */
bool on_record_is_name(const char *name);

#endif
