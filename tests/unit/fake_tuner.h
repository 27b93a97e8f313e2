/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A tuner with remedies of each kind, its worker in an instance, and the supervisor's end of the worker's pipe. */
#ifndef BPFTUNE_TESTS_UNIT_FAKE_TUNER_H
#define BPFTUNE_TESTS_UNIT_FAKE_TUNER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "worker/budget.h"
#include "worker/memory.h"
#include "worker/remedy.h"

#define SECOND 1000000000ULL
#define MINUTE (60 * SECOND)

enum {
	ERRORS,
	OVERFLOWS,
	MEMORY,
	RATE,
	LIMIT,
	POOL,
	RANGE,
	FAILURES
};

static int64_t memory_cap = 1000000;
static unsigned int n_caps; /* how often it was asked for */

static inline int64_t cap(const struct bpftune *b, const void *state, int64_t current)
{
	(void)b, (void)state, (void)current;
	n_caps++;
	return memory_cap;
}

static inline int64_t whole(const struct bpftune *b, const void *state)
{
	(void)b, (void)state;
	return 4000;
}

static uint64_t failures;

static inline uint64_t count(const struct bpftune *b, const void *state)
{
	(void)b, (void)state;
	return failures;
}

static long long range_wall; /* what the first integer is above */

/* Three more, one of them at the upper end. */
static inline bool widen(const struct bpftune *b, const void *state, long long ints[BPFTUNE_INTS_MAX])
{
	(void)b, (void)state;
	if (ints[0] - 2 <= range_wall)
		return false;
	ints[0] -= 2;
	ints[1]++;
	return true;
}

static const struct bpftune_tunable tunables[] = {
	{ .name = "net.test.buffer", .n_ints = 1 },
	{ .name = "net.test.queue", .n_ints = 1, .min = 1, .max = 65535 },
	{ .name = "net.test.memory", .n_ints = 3, .min = 1, .max = INT64_MAX },
	{ .name = "net.test.limit", .n_ints = 3, .min = 1, .max = 10000 },
	{ .name = "net.test.max", .n_ints = 1, .scope = BPFTUNE_SCOPE_HOST },
	{ .name = "net.test.pool", .n_ints = 1, .scope = BPFTUNE_SCOPE_HOST },
	{ .name = "net.test.range", .n_ints = 2, .min = 1, .max = 65535 },
	{ .name = "net.test.failing", .n_ints = 1 },
};

static const struct bpftune_scenario scenarios[] = { { "errors", "" }, { "overflows", "" }, { "flood", "" } };

static const struct bpftune_remedy remedies[] = {
	[ERRORS] = { .scenario = 0,
		     .tunable = 0,
		     .trouble = { .group = "Udp", .name = "RcvbufErrors" },
		     .besides = { .group = "Udp", .name = "MemErrors" },
		     .work = { .group = "Udp", .name = "InDatagrams" } },
	[OVERFLOWS] = { .scenario = 1,
			.tunable = 1,
			.trouble = { .name = "overflows" },
			.work = { .name = "handshakes" } },
	[MEMORY] = { .scenario = 1,
		     .tunable = 2,
		     .value = BPFTUNE_ALL_VALUES,
		     .step_percent = 150,
		     .is_lasting = true,
		     .cap = cap },
	[RATE] = { .scenario = 2, .tunable = 3, .value = 2, .is_measured = true, .is_lasting = true },
	[LIMIT] = { .scenario = 2, .tunable = 4, .step_percent = 400, .is_lasting = true, .whole = whole },
	[RANGE] = { .scenario = 1,
		    .tunable = 6,
		    .value = BPFTUNE_WIDTH,
		    .trouble = { .name = "overflows" },
		    .work = { .name = "handshakes" },
		    .next = widen },
	[FAILURES] = { .scenario = 1,
		       .tunable = 7,
		       .trouble = { .name = "failures" },
		       .work = { .group = "Udp", .name = "InDatagrams" },
		       .count = count },
	[POOL] = { .scenario = 2, .tunable = 5, .step_percent = 400, .is_lasting = true, .whole = whole, .adds_up = true },
};

static struct bpftune_tuner tuner = {
	.tunables = tunables,
	.n_tunables = ARRAY_SIZE(tunables),
	.scenarios = scenarios,
	.n_scenarios = ARRAY_SIZE(scenarios),
	.remedies = remedies,
	.n_remedies = ARRAY_SIZE(remedies),
};

/* The namespace's counters. */
static struct {
	uint64_t errors, datagrams, besides;
	bool absent, errors_absent, datagrams_absent, besides_absent; /* a kernel may not have them */
} counted;

int bpftune_counters(const struct bpftune *b, struct bpftune_counter *counters, size_t n)
{
	(void)b;
	assert_int_equal(n, 6); /* the last three are the work of what is counted here */
	assert_string_equal(counters[0].name, "RcvbufErrors");
	assert_string_equal(counters[2].name, "MemErrors");
	for (size_t i = 0; i < n; i++) {
		counters[i].value = counted.datagrams;
		counters[i].found = !counted.absent && !counted.datagrams_absent;
		assert_true(i == 0 || i == 2 || !strcmp(counters[i].name, "InDatagrams"));
	}
	counters[0].value = counted.errors + counted.besides;
	counters[0].found = !counted.absent && !counted.errors_absent;
	counters[2].value = counted.besides;
	counters[2].found = !counted.besides_absent;
	return 0;
}

struct world {
	struct bpftune instance;
	struct worker worker;
	struct engine engine;
	struct tunable values[ARRAY_SIZE(tunables)];
	int reports;	    /* the read end */
	uint8_t kept[4096]; /* what the supervisor keeps */
	uint32_t n_kept, kept_version;
};

static struct world world;
static bool are_others; /* which make the errors that are counted */
static int64_t needed;	/* of what the tuner counts */

static inline void begin_worker(void)
{
	world.engine = (struct engine){ .tuner = &tuner, .tunables = world.values };
	assert_int_equal(memory_take(&world.engine, BPFTUNE_MEMORY_OF_TRIALS,
				     &(struct bpftune_memory){ world.kept_version, world.n_kept, world.kept }),
			 0);
	assert_int_equal(remedies_start(&world.worker, &world.engine), 0);
	world.worker.running = &world.engine;
}

static inline void end_worker(void)
{
	free(world.worker.budget);
	world.worker.budget = NULL;
	free(world.engine.remedies);
	free(world.engine.memories[BPFTUNE_MEMORY_OF_TRIALS].data);
}

static inline int begin(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
	world = (struct world){ .instance = { .id = 5 }, .reports = fds[0] };
	world.worker = (struct worker){ .instance = &world.instance,
					.report_fd = fds[1],
					.engines = &world.engine,
					.n_engines = 1,
					.now_ns = MINUTE };
	snprintf(world.values[0].value, sizeof(world.values[0].value), "100");
	snprintf(world.values[1].value, sizeof(world.values[1].value), "128");
	snprintf(world.values[2].value, sizeof(world.values[2].value), "300\t400\t800");
	snprintf(world.values[3].value, sizeof(world.values[3].value), "4 16 64");
	snprintf(world.values[4].value, sizeof(world.values[4].value), "1000");
	snprintf(world.values[5].value, sizeof(world.values[5].value), "1000");
	snprintf(world.values[6].value, sizeof(world.values[6].value), "20 30");
	snprintf(world.values[7].value, sizeof(world.values[7].value), "10");
	counted.errors = counted.datagrams = 1000;
	counted.besides = 10;
	counted.absent = counted.errors_absent = counted.datagrams_absent = counted.besides_absent = false;
	memory_cap = 1000000;
	range_wall = 0;
	failures = 0;
	are_others = false;
	needed = 0;
	tunable_set_worker(&world.worker);
	world.worker.running = &world.engine;
	begin_worker();
	return 0;
}

static inline int end(void **state)
{
	(void)state;
	end_worker();
	close(world.reports);
	close(world.worker.report_fd);
	return 0;
}

/* A second passes, in which so much is counted. The tuner's program tells of errors, unless others make them. */
static inline void pass(uint64_t errors, uint64_t datagrams)
{
	world.worker.now_ns += SECOND;
	if (errors && !are_others)
		world.engine.heard_ns = world.worker.now_ns;
	counted.errors += errors;
	counted.datagrams += datagrams;
	remedies_tick(&world.worker);
	world.worker.running = &world.engine;
}

static inline void take_part(const struct bpftune_report *report)
{
	struct bpftune_memory_part part;
	uint32_t left;

	memcpy(&part, report->text, sizeof(part));
	assert_int_equal(part.kind, BPFTUNE_MEMORY_OF_TRIALS);
	assert_true(part.size <= sizeof(world.kept) && part.offset <= part.size);
	left = part.size - part.offset;
	memcpy(world.kept + part.offset, part.data, left < sizeof(part.data) ? left : sizeof(part.data));
	world.n_kept = part.size;
	world.kept_version = part.version;
}

/* The next one, but for memories, which are kept. */
static inline bool take_report(struct bpftune_report *ret_report)
{
	while (read(world.reports, ret_report, sizeof(*ret_report)) == sizeof(*ret_report)) {
		if (ret_report->kind != BPFTUNE_MEMORY)
			return true;
		take_part(ret_report);
	}
	return false;
}

/* The intent that there must be, answered. */
static inline struct bpftune_report answer(bool granted)
{
	struct bpftune_report intent, more;

	assert_true(take_report(&intent));
	assert_false(take_report(&more));
	assert_int_equal(intent.kind, BPFTUNE_INTENT);
	assert_true(world.values[intent.tunable].pending);
	world.values[intent.tunable].pending = false;
	if (granted)
		memcpy(world.values[intent.tunable].value, intent.to, sizeof(intent.to));
	remedies_settle(&world.worker);
	world.worker.running = &world.engine;
	return intent;
}

static inline void assert_nothing(void)
{
	struct bpftune_report report;

	assert_false(take_report(&report));
}

static inline int try_remedy(unsigned int remedy, uint64_t since_ns, uint64_t trouble, uint64_t work)
{
	const struct bpftune_measured measured = { since_ns, trouble, work, needed };
	const struct bpftune_event event = { .time_ns = 7 };

	return bpftune_try(&world.instance, remedy, 1, &event, &measured, "%u were full", 3);
}

static inline int try(uint64_t since_ns, uint64_t trouble, uint64_t work)
{
	return try_remedy(OVERFLOWS, since_ns, trouble, work);
}

static inline void restart(void)
{
	assert_nothing(); /* the supervisor has all reports */
	end_worker();
	begin_worker();
}

static inline int go_to(long long to)
{
	return bpftune_go_to(&world.instance, RATE, to, 1, NULL, "%d Mbit/s", 7);
}

static inline void assert_nothing_kept_anew(void)
{
	struct bpftune_report report;

	assert_int_equal(read(world.reports, &report, sizeof(report)), -1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

#endif
