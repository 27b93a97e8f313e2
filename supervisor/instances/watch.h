/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which namespaces there are: sightings from BPF, those that exist at start, and the sweep for unused ones. */
#ifndef BPFTUNE_SUPERVISOR_INSTANCES_WATCH_H
#define BPFTUNE_SUPERVISOR_INSTANCES_WATCH_H

#include <stdbool.h>
#include <uthash.h>
#include <uv.h>

#include "ipc/event.h"

struct supervisor;
struct instance;

#define WATCH_YOUNG_MS 250   /* how long a namespace must live to be worth a worker */
#define WATCH_DOUBTS_MAX 4   /* that often a container is looked at again, if only some of its tasks are the host's */
#define WATCH_SETTLED_MS 2000 /* past its set-up, however busy the machine */
#define WATCH_SLOW_MS 5000   /* the sweep for what no event announces */
#define WATCH_MOVES_MS 500   /* tasks that moved within it are paired again at once */
#define WATCH_TOLD_MS 200    /* what follows a move or a stray within it may not be told: more than MOVES_MIN_NS */
#define WATCH_MOUNTS_MS 100  /* mount table changes within it are looked at once */

struct known_process {
	uint32_t inode;
	pid_t pid;
	UT_hash_handle hh;
};

struct watch {
	uv_timer_t due, sweep, slow, mounts_due, moves_due;
	uv_poll_t mounts;
	int mounts_fd;
	unsigned int sweeps_left; /* quick ones after an exit: do_exit() takes a moment to let go */
	struct instance *due_first, *due_last; /* young instances, oldest first */
	struct known_process *processes;       /* one a namespace, of the scan at start */
	pid_t scout;         /* under way; 0: none */
	uv_timer_t scout_late;
	bool start_is_over;  /* the scout of the start has ended, or takes too long */
	bool said_full;      /* there are more namespaces than can be known */
	bool mounts_changed; /* while a scout was under way */
	uint64_t scanned_ms; /* when /proc was last read as a last resort */
};

/* Starts watching, sends out the scout for what exists. 0 or -errno. */
int watch_start(struct supervisor *s);
void watch_stop(struct supervisor *s);

/* A task of the host's namespace in a container's cgroup: maybe a container that shares the namespace. */
void watch_sight_shared(struct supervisor *s, pid_t pid);

/* One of watch.bpf.c's events. */
void watch_event(struct supervisor *s, const struct bpftune_event *event);

/* Looks at the users of all namespaces soon, and a few times more within the next second. */
void watch_sweep_soon(struct supervisor *s);

/* Starts the slow sweep, which stops when there is nothing to wake up for. */
void watch_slowly(struct supervisor *s);

/* A descriptor of the instance's namespace, by the task last seen in it, its mount, or all of /proc; or -errno. */
int watch_open_netns(struct supervisor *s, struct instance *instance);

/* Whether it is yet to be settled what it is. */
bool watch_is_young(const struct supervisor *s, const struct instance *instance);

/* Whether more may have moved in it than was told: then it is to be looked at once more. */
bool watch_was_just_told(const struct supervisor *s, const struct instance *instance);

/* The instance goes: take it out of the queue. */
void watch_drop(struct supervisor *s, struct instance *instance);

#endif
