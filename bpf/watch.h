/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The watch map's value, by netns cookie: written by watch.bpf.c, read by the supervisor. */
#ifndef BPFTUNE_BPF_WATCH_H
#define BPFTUNE_BPF_WATCH_H

#include <linux/types.h>

struct watch_netns {
	__u64 net;   /* struct net *; may be stale: believed only while its cookie still matches */
	__u32 inode; /* of /proc/PID/ns/net */
	__u32 tid;   /* the last thread seen in it: one that is no leader may have a namespace of its own */
	__u32 left;  /* a NETNS_LEFT is on its way; the sweep clears it */
	__u32 round; /* of the sweep that looked at it last */
	__u64 placed_to; /* up to when is spent what events of its tasks' places may cost */
};

/* A task's move, or where it executes: its namespace and its cgroup. No cgroup: the namespace was turned away. */
struct watch_move {
	__u64 netns_cookie;
	__u64 cgroup_id;
};

#define WATCH_TURNED_AWAY_NS 10000000000ULL /* so long nothing is told of a namespace whose owner has too many */

/* A tunable that somebody writes in a namespace. */
struct watch_write {
	__u64 netns_cookie;
	__u32 tuner, tunable; /* their numbers */
};

struct watch_taken {
	__u64 netns_cookie;
	__u64 tuner; /* its number */
};

/* In `taken`: of all its writes there was an event, or one at least was not told of. */
enum { WATCH_REPORTED = 1, WATCH_UNREPORTED };

#endif
