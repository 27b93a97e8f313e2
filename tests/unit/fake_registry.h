/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A registry of some instances. A function in the place of libbpf's keeps the last gate. */
#ifndef BPFTUNE_TESTS_UNIT_FAKE_REGISTRY_H
#define BPFTUNE_TESTS_UNIT_FAKE_REGISTRY_H

#include <bpf/bpf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "ipc/unshared.h"
#include "supervisor/instances/owner.h"
#include "supervisor/instances/registry.h"

struct fixture {
	struct kernel kernel;
	struct instances instances;
	uv_loop_t loop; /* its time is what a test says */
	ino_t own_inode; /* of this process's network namespace */
	unsigned int n_logged, n_gates;
	char logged[64]; /* the last line */
	uint64_t gate_cookie;
	struct bpftune_gate gate; /* the last one */
};

enum { GATES_FD = 100001, EVENTS_FD }; /* no process has them */
static struct fixture *fake;

/* In the place of libbpf's. */
int bpf_map_update_elem(int fd, const void *key, const void *value, __u64 flags)
{
	(void)flags;
	assert_int_equal(fd, GATES_FD);
	fake->n_gates++;
	fake->gate_cookie = *(const uint64_t *)key;
	fake->gate = *(const struct bpftune_gate *)value;
	return 0;
}

static void note_line(void *arg, const struct log_record *record)
{
	struct fixture *fixture = arg;

	fixture->n_logged++;
	snprintf(fixture->logged, sizeof(fixture->logged), "%d of %s (%d): %s", (int)record->instance, record->container,
		 record->severity, record->text);
}

static struct instance *add(struct instances *instances, uint64_t cookie, uint32_t inode, const char *name,
			    const char *container_id)
{
	struct instance *instance = registry_add(instances, cookie, inode);

	assert_non_null(instance);
	if (name)
		registry_rename(instances, instance, unshared_strdup(name));
	if (container_id)
		instance->container_id = unshared_strdup(container_id);
	return instance;
}

static void remove_it(struct instances *instances, struct instance *instance)
{
	registry_remove(instances, instance);
	registry_free(instances, instance);
}

static int populate(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct instances *instances;
	struct stat st;

	*state = fake = fixture;
	if (!fixture || stat("/proc/self/ns/net", &st) < 0)
		return -1;
	fixture->own_inode = st.st_ino;
	fixture->kernel.cgroupfs = (struct cgroupfs){ .fd = -1, .memory_fd = -1 };
	fixture->kernel.host.shared_fds[SHARED_EVENTS] = EVENTS_FD;
	fixture->kernel.host.shared_fds[SHARED_GATES] = GATES_FD;
	instances = &fixture->instances;
	*instances = (struct instances){ .kernel = &fixture->kernel, .loop = &fixture->loop, .listener.log = note_line, .arg = fixture };
	add(instances, 101, st.st_ino, "host", NULL);	/* 1 */
	add(instances, 102, 2002, "web", "abcdef0123");	/* 2 */
	add(instances, 103, 2003, "db", "abcxyz4567");	/* 3 */
	add(instances, 104, 2004, "db", NULL);		/* 4 */
	add(instances, 105, 2005, "2", NULL);		/* 5: called as another's id */
	add(instances, 106, 2006, "cache", "77fe");	/* 6 */
	add(instances, 107, 2007, "abc", "66fe");	/* 7: called as a prefix of others */
	add(instances, 108, 2008, NULL, NULL);		/* 8 */
	return 0;
}

static int clear(void **state)
{
	struct fixture *fixture = *state;

	while (fixture->instances.by_id)
		remove_it(&fixture->instances, fixture->instances.by_id);
	assert_null(fixture->instances.by_cookie);
	assert_null(fixture->instances.by_inode);
	assert_null(fixture->instances.by_name);
	assert_null(fixture->instances.by_claim);
	owners_free(&fixture->instances);
	free(fixture);
	return 0;
}

#define in_a_registry(test) cmocka_unit_test_setup_teardown(test, populate, clear)

#endif
