/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The room `changes` with one instance, the host's, whose worker is a pipe. Its log lines are noted. Functions in the place
 * of libbpf's keep what the BPF programs are told.
 */
#ifndef BPFTUNE_TESTS_UNIT_FAKE_CHANGES_H
#define BPFTUNE_TESTS_UNIT_FAKE_CHANGES_H

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>
#include <cmocka.h>

#include "bpf/watch.h"
#include "ipc/cleanup.h"
#include "supervisor/changes/state.h"
#include "supervisor/instances/owner.h"
#include "supervisor/instances/registry.h"
#include "supervisor/workers/child.h"

#define COOKIE 101

/* The last tunable and the last scenario are past the tuner's own. */
enum { NETNS_WIDE, HOST_WIDE, N_TUNABLES };
static const struct bpftune_tunable tunables[] = {
	{ .name = "a.x", .n_ints = 1 },
	{ .name = "b.host", .scope = BPFTUNE_SCOPE_HOST, .n_ints = 1, .higher_is_base = true, .may_be_absent = true },
	{ .name = "none" },
};
static const struct bpftune_scenario scenarios[] = { { .name = "near" }, { .name = "none" } };
static const struct bpftune_tuner tuner = {
	.name = "only",
	.tunables = tunables,
	.n_tunables = N_TUNABLES,
	.scenarios = scenarios,
	.n_scenarios = 1,
};

struct line {
	uint64_t instance;
	int severity;
	bool is_copy;
	char container[32], tuner[16], scenario[16], tunable[16], from[BPFTUNE_VALUE_BYTES], to[BPFTUNE_VALUE_BYTES];
	char text[BPFTUNE_TEXT_BYTES + 64];
};

struct fixture {
	struct kernel kernel;
	struct instances instances;
	struct workers workers;
	struct changes changes;
	uv_loop_t loop; /* its time stands still */
	struct instance *instance;
	int read_fd;   /* the worker's end of the pipe */
	char dir[256]; /* the ledger's */
	struct line log[8];
	unsigned int n_log;

	/* what the maps hold */
	uint64_t tuners_off; /* of the last gate */
	uint8_t taken;	     /* of the tuner in the instance's namespace: WATCH_REPORTED, WATCH_UNREPORTED, or 0: not */
	bool has_no_room;      /* for verdicts */
	unsigned int verdicts; /* how many were written, the last of which is: */
	struct bpftune_verdict_key verdict_key;
	struct bpftune_verdict verdict;
};

static struct fixture *fake;

/* --- libbpf ------------------------------------------------------------------------------------- */

enum { GATES_FD = 100001, TAKEN_FD, VERDICTS_FD }; /* no process has them */

static bool is_of_tuner(const void *key)
{
	return !memcmp(key, &(struct watch_taken){ .netns_cookie = COOKIE }, sizeof(struct watch_taken));
}

int bpf_map_update_elem(int fd, const void *key, const void *value, __u64 flags)
{
	if (fd == GATES_FD) {
		fake->tuners_off = ((const struct bpftune_gate *)value)->tuners_off;
	} else if (fd == TAKEN_FD && is_of_tuner(key)) {
		if (flags != BPF_NOEXIST || !fake->taken)
			fake->taken = *(const uint8_t *)value;
	} else if (fd == VERDICTS_FD) {
		if (fake->has_no_room)
			return -E2BIG;
		fake->verdicts++;
		fake->verdict_key = *(const struct bpftune_verdict_key *)key;
		memcpy(fake->verdict.value, value, sizeof(fake->verdict.value));
	}
	return 0;
}

int bpf_map_lookup_elem(int fd, const void *key, void *value)
{
	if (fd != TAKEN_FD || !is_of_tuner(key) || !fake->taken)
		return -ENOENT;
	*(uint8_t *)value = fake->taken;
	return 0;
}

int bpf_map_delete_elem(int fd, const void *key)
{
	if (fd == TAKEN_FD && is_of_tuner(key))
		fake->taken = 0;
	return 0;
}

/* --- the room ----------------------------------------------------------------------------------- */

static void complain(void *arg, const char *text)
{
	(void)arg;
	fail_msg("the ledger complains: %s", text);
}

static void copy_text(char *to, size_t size, const char *text)
{
	snprintf(to, size, "%s", text ? text : "");
}

static void note_line(void *arg, const struct log_record *record)
{
	struct fixture *fixture = arg;
	struct line *line = &fixture->log[fixture->n_log++ % ARRAY_SIZE(fixture->log)];

	*line = (struct line){
		.instance = record->instance,
		.severity = record->severity,
		.is_copy = record->is_copy,
	};
	copy_text(line->container, sizeof(line->container), record->container);
	copy_text(line->tuner, sizeof(line->tuner), record->tuner);
	copy_text(line->scenario, sizeof(line->scenario), record->scenario);
	copy_text(line->tunable, sizeof(line->tunable), record->tunable);
	copy_text(line->from, sizeof(line->from), record->from);
	copy_text(line->to, sizeof(line->to), record->to);
	copy_text(line->text, sizeof(line->text), record->text);
}

static int open_changes(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	const char *tmp = getenv("TMPDIR");
	struct child *child;
	int fds[2];

	*state = fake = fixture;
	if (!fixture || pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return -1;
	fixture->kernel.plugins = (struct plugins){ .n = 1, .tuners = { &tuner } };
	fixture->kernel.host = (struct bpftune_host){ .cgroup_fd = -1, .n_tuners = 1, .netns_fd = -1, .owned_fd = -1,
						      .own_pids_fd = -1, .taken_fd = TAKEN_FD,
						      .shared_fds = { -1, GATES_FD, -1 }, .verdict_fds = { VERDICTS_FD } };
	fixture->instances = (struct instances){ .kernel = &fixture->kernel, .loop = &fixture->loop,
						 .listener.log = note_line, .arg = fixture };
	fixture->workers = (struct workers){ .kernel = &fixture->kernel, .instances = &fixture->instances,
					     .loop = &fixture->loop };
	fixture->changes = (struct changes){ .kernel = &fixture->kernel, .instances = &fixture->instances,
					     .workers = &fixture->workers, .loop = &fixture->loop };
	snprintf(fixture->dir, sizeof(fixture->dir), "%s/changes.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(fixture->dir) || changes_open(&fixture->changes, fixture->dir, complain, NULL) < 0)
		return -1;
	fixture->instance = registry_add(&fixture->instances, COOKIE, 2001);
	child = fixture->instance ? child_of(&fixture->workers, fixture->instance) : NULL;
	if (!child)
		return -1;
	fixture->read_fd = fds[0];
	child->event_fd = fds[1];
	child->state = CHILD_READY;
	return 0;
}

static void free_instance(struct fixture *fixture, struct instance *instance)
{
	if (instance->child && instance->child->event_fd >= 0)
		close(instance->child->event_fd);
	registry_remove(&fixture->instances, instance);
	workers_free(instance);
	changes_free(&fixture->changes, instance);
	registry_free(&fixture->instances, instance);
}

static int close_changes(void **state)
{
	struct fixture *fixture = *state;
	char path[300];

	while (fixture->instances.by_id)
		free_instance(fixture, fixture->instances.by_id);
	owners_free(&fixture->instances);
	close(fixture->read_fd);
	changes_close(&fixture->changes);
	snprintf(path, sizeof(path), "%s/ledger", fixture->dir);
	unlink(path);
	rmdir(fixture->dir);
	free(fixture);
	return 0;
}

#define on_changes(test) cmocka_unit_test_setup_teardown(test, open_changes, close_changes)

/* --- what the tests do and see ------------------------------------------------------------------ */

static inline void report(struct fixture *fixture, const struct bpftune_report *record)
{
	changes_report(&fixture->changes, fixture->instance, record);
}

static inline void report_value(struct fixture *fixture, const char *value)
{
	struct bpftune_report record = { .kind = BPFTUNE_VALUE };

	copy_text(record.to, sizeof(record.to), value);
	report(fixture, &record);
}

/* The next order that the worker gets. */
static inline struct bpftune_event next_order(struct fixture *fixture)
{
	struct bpftune_event event;

	assert_int_equal(read(fixture->read_fd, &event, sizeof(event)), sizeof(event));
	assert_int_equal(event.tuner, BPFTUNE_FROM_SUPERVISOR);
	assert_int_equal(event.netns_cookie, COOKIE);
	return event;
}

static inline void assert_no_order(struct fixture *fixture)
{
	struct bpftune_event event;

	assert_int_equal(read(fixture->read_fd, &event, sizeof(event)), -1);
}

static inline struct bpftune_event answer(struct fixture *fixture, const struct bpftune_report *record)
{
	report(fixture, record);
	return next_order(fixture);
}

/* The only line since this was last called. */
static inline const struct line *only_line(struct fixture *fixture)
{
	assert_int_equal(fixture->n_log, 1);
	fixture->n_log = 0;
	return &fixture->log[0];
}

/* Of a change of the only tunable, from 1. */
static inline void assert_change_line(const struct line *line, const char *to, const char *text)
{
	assert_int_equal(line->instance, INSTANCE_HOST);
	assert_int_equal(line->severity, LOG_NOTICE);
	assert_string_equal(line->container, "netns-2001");
	assert_string_equal(line->tuner, "only");
	assert_string_equal(line->scenario, "near");
	assert_string_equal(line->tunable, "a.x");
	assert_string_equal(line->from, "1");
	assert_string_equal(line->to, to);
	assert_string_equal(line->text, text);
}

static inline const struct ledger_entry *entry_of(const struct fixture *fixture)
{
	return ledger_find(&fixture->changes.ledger, COOKIE, "a.x");
}

static inline enum tuner_state tuner_state(const struct fixture *fixture)
{
	return changes_tuner_state(&fixture->changes, fixture->instance, 0);
}

static inline void set_tuner_state(struct fixture *fixture, enum tuner_state state, const char *why)
{
	changes_set_tuner_state(&fixture->changes, fixture->instance, 0, state, why);
}

#endif
