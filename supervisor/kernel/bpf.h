/* SPDX-License-Identifier: GPL-2.0-or-later */
/* BPF objects: loaded with shared maps, attached by links, with each hook's fate on record. */
#ifndef BPFTUNE_SUPERVISOR_KERNEL_BPF_H
#define BPFTUNE_SUPERVISOR_KERNEL_BPF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tuners/tuner.h"

struct bpf_link;
struct bpf_map;
struct bpf_program;

struct hook {
	char *program; /* the BPF program's name */
	char *attach;  /* its section: raw_tp/task_newtask, cgroup/sock_create, sockops */
	uint16_t tuner; /* number, or BPFTUNE_FROM_WATCH */
	int error;     /* 0: attached; else -errno of load or attach */
	bool of_containers; /* attached to each container's cgroup, not once */
	struct bpf_program *bpf_program;
	int instance_ids_fd; /* its cgroup storage */
	unsigned int refusals; /* containers whose cgroup did not take it */
	int refusal;   /* -errno of the last one */
	struct bpf_link *link;
};

/* The maps that all programs share, by name in each object. */
enum shared_map { SHARED_EVENTS, SHARED_GATES, SHARED_LOST, N_SHARED };

struct bpftune_host {
	uint64_t cookie;               /* of the supervisor's own namespace */
	int cgroup_fd;                 /* the root of cgroup2; borrowed */
	int shared_fds[N_SHARED];      /* the watch object's; -1 until it is loaded */
	struct bpf_object **objects;
	size_t n_objects;
	struct hook *hooks;
	size_t n_hooks;
	uint16_t n_tuners;
	int verdict_fds[BPFTUNE_TUNERS_MAX]; /* map `verdicts` of each tuner; 0: none */
	uint16_t loading;              /* whose object bpftune_host_load() is given */
	const char *trial;             /* only this program, and only to see whether it loads */
	int sweep_fd;                  /* program to test-run */
	int netns_fd;                  /* map: every namespace sighted */
	int unsighted_fd;              /* map: how often one found no room there */
	int host_cgroups_fd;           /* map: cgroups in which the host executes */
	int paired_fd;                 /* map: cgroups whose end is told */
	int owned_fd, own_pids_fd, taken_fd; /* maps of watch_sysctl */
};

struct bpf_refusal {
	char text[256]; /* what was being done, to what, and the remedy */
};

/*
 * Loads watch.bpf.c and attaches it, what belongs to a cgroup to that one. 0; -EPERM, -EOPNOTSUPP (the kernel lacks
 * something) or another -errno, with the refusal in words.
 */
int bpf_open(struct bpftune_host *host, uint64_t host_cookie, int cgroup_fd, struct bpf_refusal *ret_refusal);

/* Loads and attaches a tuner's programs; refused ones are left out. -errno when none could be loaded. */
int bpf_attach_tuner(struct bpftune_host *host, const struct bpftune_tuner *tuner, uint16_t number);

/* Lets everything go: programs, links and maps. */
void bpf_close(struct bpftune_host *host);

/*
 * Attaches the programs of containers to one's cgroup, with its instance id in their storage. The links are
 * the caller's, to be given back; what could not be attached is left out, counted, and `refused` gets each hook
 * that did not fail so the last time.
 */
void bpf_attach_container(struct bpftune_host *host, int cgroup_fd, uint64_t instance, struct bpf_link ***ret_links,
			  size_t *ret_n, void (*refused)(void *arg, const struct hook *hook), void *arg);
void bpf_detach_container(struct bpf_link ***links, size_t *n);

/* What a hook's error means to an operator: its own, else the last of a container; NULL: none. */
const char *bpf_hook_error(const struct hook *hook);

/* libbpf's own words go to standard error. For --debug. */
void bpf_set_debug(bool on);

#endif
