/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Many instances, of owners that a test names. */
#ifndef BPFTUNE_TESTS_UNIT_FAKE_OWNERS_H
#define BPFTUNE_TESTS_UNIT_FAKE_OWNERS_H

#include <errno.h>
#include <string.h>

#include "ipc/unshared.h"
#include "tests/unit/fake_process.h"

static struct instance *all[WORKERS_MAX + 8];
static size_t n_all;

/* owner: NULL: it is not known who made it; OWNER_ROOT: a mount names its namespace */
static inline struct instance *add(const char *owner)
{
	struct instance *instance = calloc(1, sizeof(*instance));
	const char *volatile name = owner; /* gcc warns where it sees that a comparison has one outcome only */

	assert_non_null(instance);
	assert_true(n_all < ARRAY_SIZE(all));
	all[n_all++] = instance;
	instance->view.id = 1 + n_all;
	instance->is_mounted = owner && !strcmp(name, OWNER_ROOT);
	instance->owner = owner && !instance->is_mounted ? unshared_strdup(owner) : NULL;
	assert_non_null(child_of(&fake->workers, instance));
	return instance;
}

static int open_many(void **state)
{
	int err = open_processes(state);

	if (!err)
		fake->netns_fd = STDIN_FILENO;
	return err;
}

static int close_many(void **state)
{
	while (n_all) {
		struct instance *instance = all[--n_all];

		free_child_of(instance);
		unshared_free(instance->owner);
		free(instance);
	}
	return close_processes(state);
}

static inline bool want(struct instance *instance)
{
	return child_step(instance->child, CHILD_WANTED) == CHILD_STARTING;
}

/* It has started, or else it waits for a place with that owner. */
static inline struct instance *add_wanted(const char *owner)
{
	struct instance *instance = add(owner);

	if (!want(instance))
		assert_int_equal(instance->child->unserved, -EUSERS);
	return instance;
}

/* Workers of that owner; the last. */
static inline struct instance *add_workers(const char *owner, unsigned int n)
{
	struct instance *instance = NULL;

	while (n--) {
		instance = add(owner);
		assert_true(want(instance));
	}
	return instance;
}

static inline struct instance *add_short_of(const char *owner, int err)
{
	struct instance *instance = add(owner);

	process.err = err;
	assert_false(want(instance));
	assert_int_equal(instance->child->unserved, err);
	process.err = 0;
	return instance;
}

static inline bool is_started(const struct instance *instance)
{
	return instance->child->state == CHILD_STARTING;
}

static inline bool is_waiting(const struct instance *instance)
{
	return instance->child->unserved && instance->child->state == CHILD_NONE;
}

/* The instance and its worker end, so that somebody may have the place. */
static inline void end(struct instance *instance)
{
	unsigned int ended = fake->ended;

	child_step(instance->child, CHILD_UNUSED);
	if (instance->worker_pid)
		end_process(instance);
	assert_int_equal(fake->ended, ended + 1);
}

static inline const struct owner *owner_of(const char *name)
{
	const struct owner *owner;

	HASH_FIND_STR(fake->instances.owners, name, owner);
	return owner;
}

static inline unsigned int n_workers(const char *name)
{
	return owner_of(name) ? owner_of(name)->n_workers : 0;
}

#define on_many(test) cmocka_unit_test_setup_teardown(test, open_many, close_many)

#endif
