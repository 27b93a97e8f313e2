/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Chains: the hooks that run often have one program each, an observer (bpf/observe.bpf.c). A tuner's programs for such a
 * hook are not attached to it: the observer calls them by bpf_tail_call(), each from the tuner's slot of a program array.
 */
#ifndef BPFTUNE_SUPERVISOR_KERNEL_CHAIN_H
#define BPFTUNE_SUPERVISOR_KERNEL_CHAIN_H

#include <stdint.h>

#include "bpf/observe.h"

struct bpf_program;

/* enum bpftune_chain by the section of a tuner's program; -1: the program is attached by itself. */
int chain_of(const char *section);

/* The program of bpf/observe.bpf.c that calls it. */
const char *chain_observer(enum bpftune_chain chain);

/* The name of its program array. */
const char *chain_map(enum bpftune_chain chain);

/* Before the program is loaded: libbpf does not know the section's type. */
void chain_prepare(struct bpf_program *program, enum bpftune_chain chain);

/* 0, or -errno: -E2BIG: the tuner's number is no slot. */
int chain_join(int map_fd, uint16_t tuner, const struct bpf_program *program);

/* The observer calls it no more. */
void chain_leave(int map_fd, uint16_t tuner);

#endif
