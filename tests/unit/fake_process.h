/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Functions in the place of those of process.c: no pipes, no fork. */
#ifndef BPFTUNE_TESTS_UNIT_FAKE_PROCESS_H
#define BPFTUNE_TESTS_UNIT_FAKE_PROCESS_H

#include "tests/unit/fake_workers.h"

static struct {
	int err; /* of process_start() */
	unsigned int starts, flushes, hang_ups, closes;
	bool enters; /* a namespace */
	bool takes_slots;
} process;

int process_start(struct child *child, int netns_fd)
{
	process.starts++;
	process.enters = netns_fd >= 0;
	assert_int_equal(child->instance->worker_pid, 0);
	if (process.err)
		return process.err;
	child->instance->worker_pid = PID;
	if (process.takes_slots) {
		child->slot = slot_find_free(&child->workers->slots);
		assert_non_null(child->slot);
		child->slot->is_taken = true;
		child->workers->slots.n_taken++;
	}
	return 0;
}

void process_leave_slot(struct child *child)
{
	if (!child->slot)
		return;
	child->slot->is_taken = false;
	child->workers->slots.n_taken--;
	child->slot = NULL;
}

void process_flush(struct child *child)
{
	assert_int_equal(child->state, CHILD_READY);
	process.flushes++;
}

void process_hang_up(struct child *child)
{
	assert_int_equal(child->instance->is_ending, child->state == CHILD_RETIRING); /* its name is free for another by now */
	process.hang_ups++;
}

void process_close(struct child *child)
{
	process_leave_slot(child);
	process.closes++;
}

int process_read(struct child *child, size_t limit, void (*got)(void *arg, const void *report))
{
	(void)child, (void)limit, (void)got;
	fail_msg("no reports are read here");
	return 0;
}

pid_t process_next_exit(struct workers *workers, int *ret_status)
{
	(void)workers, (void)ret_status;
	fail_msg("no process is reaped here");
	return 0;
}

/* As step.c does it. */
static inline enum child_state end_process(struct instance *instance)
{
	assert_int_equal(instance->worker_pid, PID);
	instance->worker_pid = 0;
	process_close(instance->child);
	capacity_ended(&fake->workers, instance->child);
	child_step(instance->child, CHILD_EXITED);
	capacity_slot_left(&fake->workers);
	return instance->child->state;
}

static int open_processes(void **state)
{
	int err = open_workers(state);

	memset(&process, 0, sizeof(process));
	if (!err)
		fake->workers.slots = (struct slots){ .null_fd = -1, .n = SLOTS_MAX };
	return err;
}

static int close_processes(void **state)
{
	fake->workers.slots.n = 0; /* nothing is open */
	return close_workers(state);
}

#define on_processes(test) cmocka_unit_test_setup_teardown(test, open_processes, close_processes)

#endif
