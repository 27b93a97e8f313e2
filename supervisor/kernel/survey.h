/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All network namespaces that a task is in or a mount names, with their cookies: for who has no watch.bpf.c to tell. */
#ifndef BPFTUNE_SUPERVISOR_KERNEL_SURVEY_H
#define BPFTUNE_SUPERVISOR_KERNEL_SURVEY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uthash.h>

#define SURVEY_MS 10000 /* how long it may take: a mount's path may hang */

struct surveyed_netns {
	uint32_t inode;
	uint64_t cookie; /* 0: it could not be entered */
	char *path;	 /* of a mount; NULL: none */
	pid_t tid;	 /* of a task; 0: none was seen */
	UT_hash_handle hh;
};

/*
 * Reads /proc and the mounts, and forks a child that enters each namespace and tells its cookie. Blocks. 0 or -errno;
 * -ETIMEDOUT: what is told is not all. To be freed in any case.
 */
int survey_take(struct surveyed_netns **ret_survey);
void survey_free(struct surveyed_netns *survey);

/* NULL: none. */
const struct surveyed_netns *survey_find(const struct surveyed_netns *survey, uint64_t cookie);

/* A descriptor, or -errno. */
int survey_open(const struct surveyed_netns *netns);

#endif
