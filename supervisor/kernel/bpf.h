/* SPDX-License-Identifier: GPL-2.0-or-later */
/* BPF objects: loaded with shared maps, attached by links, with each hook's fate on record. */
#ifndef BPFTUNE_SUPERVISOR_KERNEL_BPF_H
#define BPFTUNE_SUPERVISOR_KERNEL_BPF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/observe.h"
#include "supervisor/kernel/late.h"
#include "tuners/tuner.h"

struct bpf_link;
struct bpf_map;
struct bpf_program;

struct hook {
	char *program; /* the BPF program's name */
	char *attach;  /* its section: raw_tp/task_newtask, cgroup/sock_create, sockops */
	uint16_t tuner; /* number, or BPFTUNE_FROM_WATCH or _OBSERVE */
	int chain;     /* enum bpftune_chain: called by an observer; -1: it has a link */
	int error;     /* 0: attached; else -errno of load or attach */
	struct bpf_link *link;
	struct late late; /* of a program that is attached when there are verdicts */
};

/* The maps that all programs share, by name in each object; after these, a program array for each chain. */
enum shared_map {
	SHARED_EVENTS,
	SHARED_GATES,
	SHARED_LOST,
	SHARED_RATES,
	SHARED_SHARERS_RATES,
	SHARED_PAIRED,
	SHARED_CONTROL,
	SHARED_NOTICED,
	SHARED_RUNS,
	SHARED_FLOWS,
	SHARED_UDP_DROPS,
	SHARED_CHAINS,
	N_SHARED = SHARED_CHAINS + BPFTUNE_N_CHAINS
};

struct bpftune_host {
	uint64_t cookie;               /* of the supervisor's own namespace */
	int cgroup_fd;                 /* the root of cgroup2; borrowed */
	int shared_fds[N_SHARED];      /* the watch object's; -1 until it is loaded */
	struct bpf_object *own[2];     /* the supervisor's: watch, observe */
	struct hook *hooks;
	size_t n_hooks;
	uint16_t n_tuners;
	int verdict_fds[BPFTUNE_TUNERS_MAX]; /* map `verdicts` of each tuner; 0: none */
	uint64_t new_verdicts;         /* bit n: the tuner of number n has one, which brief.c has not heeded yet */
	uint16_t loading;              /* whose object bpftune_host_load() is given */
	const char *trial;             /* only this program, and only to see whether it loads */
	int sweep_fd;                  /* program to test-run */
	int netns_fd;                  /* map: every namespace sighted */
	int unsighted_fd;              /* map: how often one found no room there */
	int moves_fd;		       /* map: namespaces that were turned away are among its keys */
	int host_cgroups_fd;           /* map: cgroups in which the host executes */
	struct bpftune_control control; /* what the map `control` has */
	unsigned int n_sharers;        /* cgroups of containers that share the host's namespace */
	uint32_t last_sharers;         /* the latest number in control.sharers but 0 */
	int owned_fd, own_pids_fd, taken_fd, writes_fd; /* maps of watch_sysctl */
};

struct bpf_refusal {
	char text[256]; /* what was being done, to what, and the remedy */
};

/*
 * Loads watch.bpf.c and observe.bpf.c and attaches them, what belongs to a cgroup to that one. 0; -EPERM, -EOPNOTSUPP (the kernel lacks
 * something) or another -errno, with the refusal in words.
 */
int bpf_open(struct bpftune_host *host, uint64_t host_cookie, int cgroup_fd, struct bpf_refusal *ret_refusal);

/* Loads a tuner's programs, attaches them or has them called by an observer; refused ones are left out. -errno when none could be loaded. */
int bpf_attach_tuner(struct bpftune_host *host, const struct bpftune_tuner *tuner, uint16_t number);

/* The tuner's programs are called no more, and are freed with what they are attached by. */
void bpf_detach_tuner(struct bpftune_host *host, uint16_t number);

/* Lets everything go: programs, links and maps. */
void bpf_close(struct bpftune_host *host);

/* What a hook's error means to an operator; NULL: none. */
const char *bpf_hook_error(const struct hook *hook);

/* libbpf's own words go to standard error. For --debug. */
void bpf_set_debug(bool on);

#endif
