/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the supervisor and the BPF programs tell each other in maps. */
#ifndef BPFTUNE_SUPERVISOR_KERNEL_BPF_MAPS_H
#define BPFTUNE_SUPERVISOR_KERNEL_BPF_MAPS_H

#include "supervisor/kernel/bpf.h"

/*
 * Asks for a NETNS_UNUSED event of the namespace, or of each (0) that was not looked at in this round, that nobody but us
 * uses: 0 or -errno. -EAGAIN: the ring has no room for all of them; ask again when it is empty.
 */
int bpf_sweep(struct bpftune_host *host, uint64_t netns_cookie, uint64_t round);

/* The instance's gate for the programs: written on every change of it. */
int bpf_set_gate(struct bpftune_host *host, uint64_t netns_cookie, const struct bpftune_gate *gate);

/* Forgets a namespace: a later task in it is a sighting again. */
void bpf_forget(struct bpftune_host *host, uint64_t netns_cookie);

/* Forgets a namespace, and does not want to know of it for a while (WATCH_TURNED_AWAY_NS). */
void bpf_turn_away(struct bpftune_host *host, uint64_t netns_cookie);

/* Forgets a cgroup: the next task of the host's namespace that executes there is told of again. */
void bpf_forget_cgroup(struct bpftune_host *host, uint64_t cgroup_id);

/*
 * Instances are paired with the cgroup: its end is told, and sockets made in it are the sharer's, a container's that shares
 * the host's namespace (0: there is none).
 */
void bpf_set_pair(struct bpftune_host *host, uint64_t cgroup_id, uint64_t sharer);
void bpf_clear_pair(struct bpftune_host *host, uint64_t cgroup_id);

/* The thread last seen in a namespace, or 0. */
uint32_t bpf_last_tid(struct bpftune_host *host, uint64_t netns_cookie);

/* Writes of this sysctl by anybody but our workers are events, of this owner instead of an earlier one: 0 or -errno. */
int bpf_own_sysctl(struct bpftune_host *host, const char *name, const struct bpftune_owner *owner);

/* Our workers, so that their writes are told from an administrator's. */
void bpf_own_pid(struct bpftune_host *host, uint32_t pid, bool ours);

/* Whether somebody else's write has taken the tuner over in that namespace, and one that followed was not told of. */
bool bpf_is_taken(const struct bpftune_host *host, uint64_t netns_cookie, uint16_t tuner);
bool bpf_is_unreported(const struct bpftune_host *host, uint64_t netns_cookie, uint16_t tuner);

/* Takes that back; and takes a tuner over. */
void bpf_untake(struct bpftune_host *host, uint64_t netns_cookie, uint16_t tuner);
void bpf_take(struct bpftune_host *host, uint64_t netns_cookie, uint16_t tuner);

/* The next write of that sysctl there is told of, however many there were just now. */
void bpf_forget_write(struct bpftune_host *host, uint64_t netns_cookie, const struct bpftune_owner *owner);

/* For the tuner's programs to find, or, with a value of zeros, no more: 0; -ENOENT: it looks for none. */
int bpf_set_verdict(struct bpftune_host *host, uint16_t tuner, const struct bpftune_verdict_key *key,
		    const struct bpftune_verdict *verdict);

/* The tuner's programs are gone: nobody looks for its verdicts. */
void bpf_forget_verdicts(struct bpftune_host *host, uint16_t tuner);

/* How often an observer called the tuner's program of that chain. */
void bpf_runs(const struct bpftune_host *host, enum bpftune_chain chain, uint16_t tuner, struct bpftune_runs *ret_runs);

/* What the kernel has counted for a program that has a link: runs while kernel.bpf_stats_enabled was 1. */
void bpf_linked_runs(const struct hook *hook, struct bpftune_runs *ret_runs);

/* From now on runs are timed if kernel.bpf_stats_enabled is 1, as the kernel does for programs that nobody calls. */
void bpf_time_runs(struct bpftune_host *host);

/* Events that found the ring buffer full. */
uint64_t bpf_lost(const struct bpftune_host *host);

/* Tasks and sockets of namespaces for which there was no room among those that can be known. */
uint64_t bpf_unsighted(const struct bpftune_host *host);

#endif
