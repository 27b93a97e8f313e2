/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How many workers there may be, and who gets the room that one leaves. */
#ifndef BPFTUNE_SUPERVISOR_WORKERS_CAPACITY_H
#define BPFTUNE_SUPERVISOR_WORKERS_CAPACITY_H

#include <stdbool.h>
#include <stddef.h>

struct instance;
struct registry;
struct supervisor;

#define ROOM_WORKERS_MAX 4096
#define ROOM_WORKERS_PER_OWNER_MAX 64 /* a container, a user, a service may make namespaces at will */

/*
 * How many workers there are, and of whoever made the instance's namespace; how many others wait there, and how many
 * anywhere for what the machine is short of.
 */
struct room_load {
	size_t all, here, waiting, short_of;
};

struct room_load room_load(const struct registry *registry, const struct instance *instance);

/* Whether one more worker may be. */
bool room_is_left(struct room_load load);

/* There are too many (-EUSERS), or no more descriptors, processes or memory: later there may be. */
bool room_is_lacking(int err);

/* What came of its fork (0 or -errno), with the load before: it is unserved if room was lacking, and that is logged. */
void room_note(struct supervisor *s, struct instance *instance, int err, struct room_load load);

/*
 * Whom to give the room that a worker of that owner has left ("": of none; NULL: none has gone): the next, after
 * that one, who waits there or, if all was full, anywhere. Who waits for what the machine is short of always may.
 * NULL: nobody.
 */
struct instance *room_next_unserved(const struct registry *registry, const struct instance *after, const char *owner,
				    bool was_full);

/* Gives the first of them who can be forked a worker. False: none was forked. */
bool room_serve(struct supervisor *s, const char *owner, bool was_full);

/* Whether there is enough again of what the machine was short of: then they get their workers. */
void room_serve_short(struct supervisor *s);

#endif
