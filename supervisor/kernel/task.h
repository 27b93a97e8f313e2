/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes. */
#ifndef BPFTUNE_SUPERVISOR_KERNEL_TASK_H
#define BPFTUNE_SUPERVISOR_KERNEL_TASK_H

#include <sys/types.h>

/*
 * fork(2), with all signals blocked in the child, which resets them. The child has the descriptors below that number
 * only: those above cost nothing, however many there are. They are the parent's own ones until the child has copied
 * them, so the parent is to leave them as they are until the child has shown that it runs, or is gone. -1: errno is
 * set.
 */
pid_t task_fork(unsigned int n_fds);

/* For a child, which does not have our stack. */
struct task_stack {
	void *end;	  /* of its own stack */
	const void *ours; /* what is on our stack below this address it does not have; above there may be what it is given */
};

/*
 * As task_fork(), but the child runs `run(arg)`, which does not return, on a stack of its own. While a sanitizer or
 * valgrind watches, it has ours. The child's pid, or -1: errno is set.
 */
pid_t task_start(unsigned int n_fds, const struct task_stack *stack, void (*run)(void *arg), void *arg);

/* As many descriptors as we may have. */
void task_raise_descriptor_limit(void);

/*
 * At the start. Without it the first large malloc() of each worker would merge what is free all over the supervisor's
 * heap, and so copy it. And until task_spare_children() memory that was freed stays ours: libbpf reads the kernel's BTF, 5 MiB,
 * for each tuner anew, and the page faults would be a fifth of the time that loading takes.
 */
void task_set_up_malloc(void);

/* Before the first fork: no child has what is mapped by that name in /proc/self/maps, nor memory that is free by now.
 * What becomes free later goes back to the kernel as usual.
 */
void task_spare_children(const char *mapped);

#endif
