/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When the programs that only carry out verdicts (late.h) are attached: on cgroup/bind4 and bind6 from the first
 * verdict on. On cgroup/recvmsg4 and recvmsg6, which run at each call that receives a datagram, for ten seconds when a
 * verdict is new, and then not for nine times as long, however many verdicts there are: so whoever makes a tuner decide
 * does not make everybody's calls dearer for long.
 */
#ifndef BPFTUNE_SUPERVISOR_KERNEL_BRIEF_H
#define BPFTUNE_SUPERVISOR_KERNEL_BRIEF_H

#include <stdbool.h>
#include <uv.h>

#include "supervisor/kernel/bpf.h"

struct brief {
	uv_loop_t *loop;
	struct bpftune_host *host;

	/* Of brief.c only. */
	uv_timer_t timer; /* the end of the time that programs are attached, or are not to be */
	bool is_attached;
};

/* To be called in each turn of the loop: attaches the programs if a verdict is new and it is time. */
void brief_turn(struct brief *brief);

/* Closes its handle: the loop is to run once more. */
void brief_stop(struct brief *brief);

#endif
