// SPDX-License-Identifier: GPL-2.0-or-later
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

static int64_t cap(const struct bpftune *b, const void *state, int64_t current)
{
	(void)b, (void)state, (void)current;
	n_caps++;
	return memory_cap;
}

static int64_t whole(const struct bpftune *b, const void *state)
{
	(void)b, (void)state;
	return 4000;
}

static uint64_t failures;

static uint64_t count(const struct bpftune *b, const void *state)
{
	(void)b, (void)state;
	return failures;
}

static long long range_wall; /* what the first integer is above */

/* Three more, one of them at the upper end. */
static bool widen(const struct bpftune *b, const void *state, long long ints[BPFTUNE_INTS_MAX])
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
	bool absent, besides_absent;
} counted;

int bpftune_counters(const struct bpftune *b, struct bpftune_counter *counters, size_t n)
{
	(void)b;
	assert_int_equal(n, 6); /* the last three are the work of what is counted here */
	assert_string_equal(counters[0].name, "RcvbufErrors");
	assert_string_equal(counters[2].name, "MemErrors");
	for (size_t i = 0; i < n; i++) {
		counters[i].value = counted.datagrams;
		counters[i].found = !counted.absent;
		assert_true(i == 0 || i == 2 || !strcmp(counters[i].name, "InDatagrams"));
	}
	counters[0].value = counted.errors + counted.besides;
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

static void begin_worker(void)
{
	world.engine = (struct engine){ .tuner = &tuner, .tunables = world.values };
	assert_int_equal(memory_take(&world.engine, BPFTUNE_MEMORY_OF_TRIALS,
				     &(struct bpftune_memory){ world.kept_version, world.n_kept, world.kept }),
			 0);
	assert_int_equal(remedies_start(&world.worker, &world.engine), 0);
	world.worker.running = &world.engine;
}

static void end_worker(void)
{
	free(world.worker.budget);
	world.worker.budget = NULL;
	free(world.engine.remedies);
	free(world.engine.memories[BPFTUNE_MEMORY_OF_TRIALS].data);
}

static int begin(void **state)
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
	counted.absent = counted.besides_absent = false;
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

static int end(void **state)
{
	(void)state;
	end_worker();
	close(world.reports);
	close(world.worker.report_fd);
	return 0;
}

/* A second passes, in which so much is counted. The tuner's program tells of errors, unless others make them. */
static void pass(uint64_t errors, uint64_t datagrams)
{
	world.worker.now_ns += SECOND;
	if (errors && !are_others)
		world.engine.heard_ns = world.worker.now_ns;
	counted.errors += errors;
	counted.datagrams += datagrams;
	remedies_tick(&world.worker);
	world.worker.running = &world.engine;
}

static void take_part(const struct bpftune_report *report)
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
static bool take_report(struct bpftune_report *ret_report)
{
	while (read(world.reports, ret_report, sizeof(*ret_report)) == sizeof(*ret_report)) {
		if (ret_report->kind != BPFTUNE_MEMORY)
			return true;
		take_part(ret_report);
	}
	return false;
}

/* The intent that there must be, answered. */
static struct bpftune_report answer(bool granted)
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

static void assert_nothing(void)
{
	struct bpftune_report report;

	assert_false(take_report(&report));
}

static void test_counters(void **state)
{
	struct bpftune_report intent;

	(void)state;
	pass(0, 0); /* the first window begins */
	pass(0, 1000);
	assert_nothing();
	pass(80, 1000);
	intent = answer(true);
	assert_string_equal(intent.to, "200");
	assert_int_equal(intent.scenario, 0);
	assert_string_equal(intent.text, "80 RcvbufErrors per 1000 InDatagrams in 1 s");
	pass(80, 1000);
	intent = answer(true);
	assert_string_equal(intent.from, "200");
	assert_string_equal(intent.to, "100");
	assert_string_equal(intent.text, "the last step was of no use: 80 RcvbufErrors per 1000 InDatagrams before it, "
					 "80 per 1000 since; the next one is not tried for 1 s");
	pass(80, 1000); /* the hold is over */
	assert_string_equal(answer(true).to, "200");
	pass(8, 1000);
	assert_string_equal(answer(true).to, "400");
	pass(0, 1000);
	assert_nothing();
}

/* The same, where the tuner counts the trouble. */
static void test_counted_by_the_tuner(void **state)
{
	struct bpftune_report intent;

	(void)state;
	failures = 7;
	pass(0, 0);
	failures += 80;
	world.engine.heard_ns = world.worker.now_ns + SECOND;
	pass(0, 1000);
	intent = answer(true);
	assert_true(intent.tunable == 7 && intent.scenario == 1);
	assert_string_equal(intent.to, "20");
	assert_string_equal(intent.text, "80 failures per 1000 InDatagrams in 1 s");
	failures += 40;
	world.engine.heard_ns = world.worker.now_ns + SECOND;
	pass(0, 1000);
	assert_string_equal(answer(true).to, "10");
}

/* Too little is counted in a second to judge the step: several make a window. */
static void test_long_window(void **state)
{
	(void)state;
	pass(0, 0);
	pass(80, 1000);
	assert_string_equal(answer(true).to, "200");
	for (int i = 0; i < 3; i++) {
		pass(1, 4);
		assert_nothing();
	}
	pass(1, 4);
	assert_string_equal(answer(true).to, "100");
}

static void test_counters_that_begin_anew(void **state)
{
	(void)state;
	pass(0, 0);
	counted.errors = counted.datagrams = 0;
	pass(500, 500);
	assert_nothing();
	counted.absent = true;
	pass(500, 500);
	assert_nothing();
	counted.absent = false;
	pass(500, 500);
	assert_nothing();
	pass(500, 500);
	assert_string_equal(answer(true).to, "200");
}

/* What the counter counts besides is no trouble, however much it is. */
static void test_besides(void **state)
{
	(void)state;
	pass(0, 0);
	counted.besides += 5000;
	pass(80, 1000);
	assert_string_equal(answer(true).text, "80 RcvbufErrors per 1000 InDatagrams in 1 s");
	counted.besides += 9000;
	pass(39, 1000);
	assert_string_equal(answer(true).to, "400");
	counted.besides_absent = true; /* then the trouble is not known */
	pass(80, 1000);
	assert_nothing();
}

/* A step is made for trouble that the program tells of, and judged by what it tells of since. */
static void test_others_errors(void **state)
{
	(void)state;
	pass(0, 0);
	are_others = true;
	pass(80, 1000);
	assert_nothing();
	are_others = false;
	pass(80, 1000);
	assert_string_equal(answer(true).to, "200");
	are_others = true;
	pass(80, 1000);
	assert_nothing();
	assert_false(remedies_are_judging(&world.worker));
	world.worker.now_ns += 10 * MINUTE;
	pass(80, 1000);
	assert_string_equal(answer(true).to, "100");
}

/* Much work in a long time without events must not make the trouble look small that they tell of. */
static void test_window_begins_with_events(void **state)
{
	(void)state;
	pass(0, 0);
	world.worker.now_ns += 60 * MINUTE;
	counted.datagrams += 1000000;
	remedies_wake(&world.worker);
	assert_nothing();
	pass(400, 1000);
	assert_string_equal(answer(true).text, "400 RcvbufErrors per 1000 InDatagrams in 1 s");
	pass(100, 1000);
	assert_string_equal(answer(true).to, "400");
}

static void test_is_judging(void **state)
{
	(void)state;
	pass(0, 0);
	assert_false(remedies_are_judging(&world.worker));
	pass(80, 1000);
	assert_false(remedies_are_judging(&world.worker)); /* it is not written yet */
	answer(true);
	assert_true(remedies_are_judging(&world.worker));
	pass(0, 1000);
	assert_false(remedies_are_judging(&world.worker));
}

static void test_refused(void **state)
{
	(void)state;
	pass(0, 0);
	pass(80, 1000);
	answer(false);
	pass(80, 1000);
	assert_string_equal(answer(true).to, "200");
	pass(0, 1000);
	assert_nothing();
}

static void test_no_look_while_a_proposal_is_under_way(void **state)
{
	(void)state;
	pass(0, 0);
	pass(80, 1000);
	for (int i = 0; i < 3; i++)
		pass(80, 1000);
	assert_string_equal(answer(true).to, "200");
}

static void test_decay(void **state)
{
	struct bpftune_report intent;

	(void)state;
	assert_false(remedies_may_decay(&world.worker));
	pass(0, 0);
	pass(80, 1000);
	answer(true);
	assert_true(remedies_may_decay(&world.worker));
	pass(1, 1000);
	answer(true);
	world.worker.now_ns += 10 * MINUTE;
	pass(0, 1000);
	intent = answer(true);
	assert_string_equal(intent.to, "200");
	assert_string_equal(intent.text, "no RcvbufErrors for 10 min: one step back");
	pass(1, 1000);
	assert_string_equal(answer(true).to, "400");
	world.worker.now_ns += 19 * MINUTE;
	pass(0, 1000);
	assert_nothing();
	world.worker.now_ns += MINUTE;
	pass(0, 1000);
	assert_string_equal(answer(true).to, "200");
}

static int try_remedy(unsigned int remedy, uint64_t since_ns, uint64_t trouble, uint64_t work)
{
	const struct bpftune_measured measured = { since_ns, trouble, work, needed };
	const struct bpftune_event event = { .time_ns = 7 };

	return bpftune_try(&world.instance, remedy, 1, &event, &measured, "%u were full", 3);
}

static int try(uint64_t since_ns, uint64_t trouble, uint64_t work)
{
	return try_remedy(OVERFLOWS, since_ns, trouble, work);
}

/* The tuner knows what would do: one step, as far as the tunable goes. */
static void test_tuner_knows_what_is_needed(void **state)
{
	(void)state;
	needed = 5000;
	assert_int_equal(try(world.worker.now_ns, 50, 100), 0);
	assert_string_equal(answer(true).to, "5000");
	needed = 100000;
	world.worker.now_ns += SECOND;
	assert_int_equal(try(world.worker.now_ns, 20, 100), 0);
	assert_string_equal(answer(true).to, "65535");
}

static void test_tuner_counts(void **state)
{
	struct bpftune_report intent;
	long long ints[BPFTUNE_INTS_MAX];
	uint64_t before;

	(void)state;
	assert_int_equal(bpftune_tried_from(&world.instance, OVERFLOWS, ints), -ENOENT);
	assert_int_equal(try(world.worker.now_ns, 50, 100), 0);
	assert_int_equal(try(world.worker.now_ns, 50, 100), -EBUSY);
	intent = answer(true);
	assert_string_equal(intent.to, "256");
	assert_string_equal(intent.text, "3 were full");
	assert_true(intent.scenario == 1 && intent.event_ns == 7);
	assert_int_equal(bpftune_tried_from(&world.instance, OVERFLOWS, ints), 0);
	assert_int_equal(ints[0], 128);
	before = world.worker.now_ns - 1;
	world.worker.now_ns += SECOND;
	assert_int_equal(try(before, 50, 100), -EAGAIN); /* that was seen before the step */
	assert_nothing();
	assert_int_equal(try(world.worker.now_ns, 50, 100), -EAGAIN);
	intent = answer(true);
	assert_string_equal(intent.to, "128");
	assert_non_null(strstr(intent.text, "50 overflows per 100 handshakes before it"));
	assert_int_equal(try(world.worker.now_ns, 50, 100), -EAGAIN);
	assert_nothing();
}

static void test_taken_back(void **state)
{
	(void)state;
	assert_int_equal(try(world.worker.now_ns, 50, 0), 0);
	answer(true);
	assert_int_equal(try(world.worker.now_ns, 50, 0), 0);
	answer(true);
	assert_int_equal(bpftune_take_back(&world.instance, OVERFLOWS, 2, NULL, 60, "a flood of %u", 9), 0);
	assert_string_equal(answer(true).to, "128");
	assert_int_equal(bpftune_take_back(&world.instance, OVERFLOWS, 2, NULL, 60, "a flood"), -EALREADY);
	world.worker.now_ns += 59 * SECOND;
	assert_int_equal(try(world.worker.now_ns, 50, 0), -EAGAIN);
	world.worker.now_ns += SECOND;
	assert_int_equal(try(world.worker.now_ns, 50, 0), 0);
}

/* A step that has ended the trouble is kept, also if there is as much trouble again long after it. */
static void test_relieved(void **state)
{
	(void)state;
	bpftune_relieved(&world.instance, OVERFLOWS, world.worker.now_ns);
	assert_int_equal(try(world.worker.now_ns, 50, 100), 0);
	assert_string_equal(answer(true).to, "256");
	bpftune_relieved(&world.instance, OVERFLOWS, world.worker.now_ns - 1); /* some of that was before the step */
	assert_true(remedies_are_judging(&world.worker));
	world.worker.now_ns += SECOND;
	bpftune_relieved(&world.instance, OVERFLOWS, world.worker.now_ns);
	assert_false(remedies_are_judging(&world.worker));
	assert_nothing();
	world.worker.now_ns += SECOND;
	assert_int_equal(try(world.worker.now_ns, 50, 100), 0);
	assert_string_equal(answer(true).to, "512");
}

static void test_cap(void **state)
{
	struct bpftune_report intent;
	long long from;

	(void)state;
	n_caps = 0;
	remedies_settle(&world.worker);
	world.worker.running = &world.engine;
	assert_int_equal(bpftune_step_from(&world.instance, MEMORY, &from), -ENOENT);
	assert_int_equal(n_caps, 0); /* it may be read from a file */
	assert_int_equal(bpftune_try(&world.instance, MEMORY, 1, NULL, NULL, "soon"), 0);
	assert_int_equal(n_caps, 1);
	intent = answer(true);
	assert_int_equal(n_caps, 1);
	assert_string_equal(intent.from, "300\t400\t800");
	assert_string_equal(intent.to, "450 600 1200");
	memory_cap = 1300;
	assert_int_equal(bpftune_try(&world.instance, MEMORY, 1, NULL, NULL, "soon"), -ENOSPC);
	snprintf(world.values[1].value, sizeof(world.values[1].value), "40000");
	assert_int_equal(try(world.worker.now_ns, 1, 0), 0);
	assert_string_equal(answer(true).to, "65535");
}

static void restart(void)
{
	assert_nothing(); /* the supervisor has all reports */
	end_worker();
	begin_worker();
}

/* Somebody needs so much more, of four who may ask. Gives what that comes to. */
static int need(unsigned int remedy, uint64_t asker, int64_t more)
{
	const struct bpftune_event event = { .asker = asker };

	world.engine.n_askers = 4;
	bpftune_claim(&world.instance, remedy, &event, more);
	return bpftune_try(&world.instance, remedy, 2, &event, NULL, "needed");
}

static void on_host(void)
{
	world.instance.id = BPFTUNE_HOST_ID;
}

static void end_asker(uint64_t asker)
{
	remedies_end_asker(&world.worker, asker);
	remedies_settle(&world.worker);
	world.worker.running = &world.engine;
}

/* A limit goes as far as the largest of those who need it, each up to its share; and back when they end. */
static void test_claims(void **state)
{
	struct bpftune_report intent;

	(void)state;
	on_host();
	assert_int_equal(bpftune_try(&world.instance, LIMIT, 2, NULL, NULL, "nobody needs it"), -ENOSPC);
	assert_int_equal(need(LIMIT, 7, 500), 0);
	intent = answer(true);
	assert_string_equal(intent.to, "1500");
	assert_int_equal(intent.asker, 7);
	assert_int_equal(need(LIMIT, 7, 500), -ENOSPC);
	assert_int_equal(need(LIMIT, 8, 1000000), 0);
	assert_string_equal(answer(true).to, "2000");
	assert_int_equal(need(LIMIT, 8, 1000000), -ENOSPC);
	assert_int_equal(need(LIMIT, BUDGET_HOST, 1000000), 0); /* the host itself is no container */
	assert_string_equal(answer(true).to, "5000");
	assert_true(remedies_may_decay(&world.worker));
	end_asker(9);
	end_asker(7);
	assert_nothing(); /* others need more */
	end_asker(BUDGET_HOST);
	intent = answer(true);
	assert_string_equal(intent.to, "2000");
	assert_true(intent.scenario == 2 && !intent.asker);
	end_asker(8);
	assert_string_equal(answer(true).to, "1000");
	assert_false(remedies_may_decay(&world.worker));
}

/* What one asker's claim has raised, and was of no use, goes back; what another one needs stays, and is not held off. */
static void test_disclaimed(void **state)
{
	const struct bpftune_event event = { .asker = 7 };
	struct bpftune_report intent;

	(void)state;
	on_host();
	assert_int_equal(bpftune_disclaim(&world.instance, POOL, 1, &event, "of no use"), -ENOENT);
	assert_int_equal(need(POOL, 8, 500), 0);
	assert_string_equal(answer(true).to, "1500");
	assert_int_equal(need(POOL, 7, 1000000), 0);
	assert_string_equal(answer(true).to, "2500");
	assert_int_equal(bpftune_disclaim(&world.instance, 99, 1, &event, "of no use"), -ENOENT);
	assert_int_equal(bpftune_disclaim(&world.instance, POOL, 1, &event, "%d of no use", 4), 0);
	intent = answer(true);
	assert_string_equal(intent.to, "1500");
	assert_string_equal(intent.text, "4 of no use");
	assert_true(intent.scenario == 1 && intent.asker == 7);
	assert_int_equal(bpftune_disclaim(&world.instance, POOL, 1, &event, "of no use"), -ENOENT);
	assert_int_equal(need(POOL, 7, 1000000), -ENOSPC);
	assert_int_equal(need(POOL, 8, 700), 0);
	assert_string_equal(answer(true).to, "1700");
	world.worker.now_ns += SECOND;
	assert_int_equal(need(POOL, 7, 1000000), 0);
	answer(true);
}

/* What was needed on top of a value that somebody else has replaced since says nothing of the next one. */
static void test_claims_on_another_value(void **state)
{
	(void)state;
	on_host();
	assert_int_equal(need(LIMIT, BUDGET_HOST, 3000), 0);
	assert_string_equal(answer(true).to, "4000");
	snprintf(world.values[4].value, sizeof(world.values[4].value), "2000");
	remedies_settle(&world.worker);
	world.worker.running = &world.engine;
	assert_int_equal(need(LIMIT, 7, 500), 0);
	assert_string_equal(answer(true).to, "2500");
}

/* What one needs of a pool is on top of what the others need. */
static void test_claims_of_a_pool(void **state)
{
	(void)state;
	on_host();
	assert_int_equal(need(POOL, 7, 1000000), 0);
	assert_string_equal(answer(true).to, "2000");
	assert_int_equal(need(POOL, 7, 1000000), -ENOSPC);
	assert_int_equal(need(POOL, 8, 500), 0);
	assert_string_equal(answer(true).to, "2500");
	end_asker(7);
	assert_string_equal(answer(true).to, "1000"); /* the highest value before a step that is within 1500 */
	assert_int_equal(need(POOL, 8, 500), 0);
	assert_string_equal(answer(true).to, "1500");
}

static void test_claims_end_after_an_hour(void **state)
{
	(void)state;
	on_host();
	assert_int_equal(need(LIMIT, 7, 500), 0);
	answer(true);
	world.worker.now_ns += 59 * MINUTE;
	pass(0, 0);
	assert_nothing();
	world.worker.now_ns += MINUTE;
	pass(0, 0);
	assert_string_equal(answer(true).to, "1000");
}

/* The end is not forgotten while a step is on its way. */
static void test_asker_ends_meanwhile(void **state)
{
	(void)state;
	on_host();
	assert_int_equal(need(LIMIT, 7, 500), 0);
	remedies_end_asker(&world.worker, 7);
	assert_string_equal(answer(true).to, "1500");
	assert_string_equal(answer(true).to, "1000");
}

/* Which container it was is not known to the next worker: within an hour it is as if the host needed it. */
static void test_claims_of_another_worker(void **state)
{
	(void)state;
	on_host();
	assert_int_equal(need(LIMIT, 7, 500), 0);
	answer(true);
	restart();
	assert_true(remedies_may_decay(&world.worker));
	end_asker(7);
	assert_nothing();
	assert_int_equal(need(LIMIT, 8, 400), -ENOSPC); /* that fits */
	world.worker.now_ns += 30 * MINUTE;
	assert_int_equal(need(LIMIT, 8, 400), -ENOSPC);
	world.worker.now_ns += 30 * MINUTE;
	pass(0, 0);
	assert_string_equal(answer(true).to, "1000"); /* 1400 never was a value; who needs it asks again */
	assert_int_equal(need(LIMIT, 8, 400), 0);
	assert_string_equal(answer(true).to, "1400");
}

/* A container's worker claims nothing, and neither does a tuner for a remedy that needs no claim. */
static void test_no_claims(void **state)
{
	(void)state;
	assert_int_equal(need(LIMIT, 0, 500), -EPERM);
	on_host();
	bpftune_claim(&world.instance, OVERFLOWS, &(struct bpftune_event){ 0 }, 500);
	bpftune_claim(&world.instance, 99, &(struct bpftune_event){ 0 }, 500);
	assert_null(world.worker.budget);
}

static void test_somebody_else(void **state)
{
	long long ints[BPFTUNE_INTS_MAX];

	(void)state;
	assert_int_equal(try(world.worker.now_ns, 50, 0), 0);
	answer(true);
	snprintf(world.values[1].value, sizeof(world.values[1].value), "500");
	remedies_settle(&world.worker);
	world.worker.running = &world.engine;
	assert_int_equal(bpftune_tried_from(&world.instance, OVERFLOWS, ints), -ENOENT);
	assert_int_equal(bpftune_take_back(&world.instance, OVERFLOWS, 2, NULL, 60, "a flood"), -EALREADY);
}

static int go_to(long long to)
{
	return bpftune_go_to(&world.instance, RATE, to, 1, NULL, "%d Mbit/s", 7);
}

static void test_own_measure(void **state)
{
	struct bpftune_report intent;
	long long from = 0, ints[BPFTUNE_INTS_MAX];

	(void)state;
	assert_int_equal(bpftune_step_from(&world.instance, RATE, &from), -ENOENT);
	assert_int_equal(go_to(64), -EALREADY);
	assert_int_equal(go_to(10001), -ERANGE);
	assert_int_equal(bpftune_step_from(&world.instance, RATE, &from), -ENOENT);
	assert_int_equal(go_to(200), 0);
	assert_int_equal(bpftune_step_from(&world.instance, RATE, &from), -EBUSY);
	assert_int_equal(go_to(300), -EBUSY);
	answer(false);
	assert_int_equal(bpftune_step_from(&world.instance, RATE, &from), -EAGAIN); /* there is no step to judge */
	assert_int_equal(go_to(200), 0);
	intent = answer(true);
	assert_string_equal(intent.to, "4 16 200");
	assert_string_equal(intent.text, "7 Mbit/s");
	assert_int_equal(intent.scenario, 1);
	for (int i = 0; i < 3; i++)
		pass(80, 1000); /* the frame does not judge it, */
	answer(true);
	assert_int_equal(bpftune_step_from(&world.instance, RATE, &from), 0);
	assert_int_equal(from, 64);
	bpftune_keep_step(&world.instance, RATE);
	assert_int_equal(bpftune_step_from(&world.instance, RATE, &from), -EAGAIN);
	assert_int_equal(go_to(800), 0);
	answer(true);
	assert_int_equal(bpftune_step_from(&world.instance, RATE, &from), 0);
	assert_int_equal(from, 200);
	assert_int_equal(go_to(from), 0);
	assert_string_equal(answer(true).to, "4 16 200");
	assert_int_equal(bpftune_step_from(&world.instance, RATE, &from), -EAGAIN);
	assert_int_equal(bpftune_tried_from(&world.instance, RATE, ints), 0);
	assert_int_equal(ints[2], 64);
	snprintf(world.values[3].value, sizeof(world.values[3].value), "4 16 100");
	remedies_settle(&world.worker);
	world.worker.running = &world.engine;
	assert_int_equal(bpftune_step_from(&world.instance, RATE, &from), -ENOENT);
	assert_int_equal(bpftune_step_from(&world.instance, ARRAY_SIZE(remedies), &from), -EINVAL);
}

static void assert_nothing_kept_anew(void)
{
	struct bpftune_report report;

	assert_int_equal(read(world.reports, &report, sizeof(report)), -1);
}

static void test_own_measure_of_another_worker(void **state)
{
	long long from = 0;

	(void)state;
	assert_int_equal(go_to(200), 0);
	answer(true);
	restart();
	assert_int_equal(bpftune_step_from(&world.instance, RATE, &from), 0);
	assert_int_equal(from, 64);
	bpftune_keep_step(&world.instance, RATE);
	restart();
	assert_int_equal(bpftune_step_from(&world.instance, RATE, &from), -EAGAIN);
}

static void test_own_measure_in_a_dry_run(void **state)
{
	struct bpftune_report report;
	long long from = 0;

	(void)state;
	world.worker.dry_run = true;
	assert_int_equal(go_to(200), 0);
	assert_true(take_report(&report));
	assert_int_equal(report.kind, BPFTUNE_WOULD);
	assert_int_equal(bpftune_step_from(&world.instance, RATE, &from), -EAGAIN);
	assert_int_equal(go_to(200), -EALREADY); /* it was said */
	assert_int_equal(bpftune_step_from(&world.instance, RATE, &from), -EAGAIN);
}

static void test_another_worker(void **state)
{
	(void)state;
	assert_int_equal(world.n_kept, 0);
	assert_int_equal(try(world.worker.now_ns, 50, 100), 0);
	answer(true);
	restart();
	assert_nothing_kept_anew();
	world.worker.now_ns += SECOND;
	assert_int_equal(try(world.worker.now_ns, 50, 100), -EAGAIN);
	assert_string_equal(answer(true).to, "128");
	for (int i = 0; i < 3; i++)
		restart();
	assert_int_equal(try(world.worker.now_ns, 50, 100), -EAGAIN); /* the hold */
	world.worker.now_ns += SECOND;
	assert_int_equal(try(world.worker.now_ns, 50, 100), 0);
	answer(true);
	restart();
	assert_int_equal(bpftune_take_back(&world.instance, OVERFLOWS, 2, NULL, 0, "a flood"), 0);
	assert_string_equal(answer(true).to, "128");
}

/* The one before it ended when its step was written, and it had not been told. */
static void test_another_worker_in_between(void **state)
{
	struct bpftune_report intent;

	(void)state;
	assert_int_equal(try(world.worker.now_ns, 50, 0), 0);
	assert_true(take_report(&intent));
	world.values[intent.tunable].pending = false;
	memcpy(world.values[intent.tunable].value, intent.to, sizeof(intent.to));
	restart();
	assert_int_equal(bpftune_take_back(&world.instance, OVERFLOWS, 2, NULL, 0, "a flood"), 0);
	assert_string_equal(answer(true).to, "128");
}

static void test_written_while_there_was_no_worker(void **state)
{
	long long ints[BPFTUNE_INTS_MAX];

	(void)state;
	assert_int_equal(try(world.worker.now_ns, 50, 0), 0);
	answer(true);
	snprintf(world.values[1].value, sizeof(world.values[1].value), "500");
	restart();
	assert_int_equal(bpftune_tried_from(&world.instance, OVERFLOWS, ints), -ENOENT);
}

static void test_memory_that_does_not_fit(void **state)
{
	long long ints[BPFTUNE_INTS_MAX];

	(void)state;
	for (int i = 0; i < 3; i++) {
		world.n_kept = 0;
		restart();
		snprintf(world.values[1].value, sizeof(world.values[1].value), "128");
		assert_int_equal(try(world.worker.now_ns, 50, 0), 0);
		answer(true);
		assert_nothing();
		assert_int_equal(bpftune_tried_from(&world.instance, OVERFLOWS, ints), 0);
		world.kept_version += i == 0;
		world.n_kept -= i == 1;
		if (i == 2)
			memset(world.kept + world.n_kept - 2 * sizeof(uint64_t), 0xff,
			       sizeof(uint64_t)); /* no such counts */
		restart();
		assert_int_equal(bpftune_tried_from(&world.instance, OVERFLOWS, ints), -ENOENT);
	}
}

/* Trouble that goes on is not told each time. */
static void test_kept_when_decided(void **state)
{
	(void)state;
	assert_int_equal(try(world.worker.now_ns, 50, 100), 0);
	answer(true);
	assert_nothing();
	for (int i = 0; i < 50; i++) {
		world.worker.now_ns += SECOND;
		assert_int_equal(try(world.worker.now_ns, 50, 1), -EAGAIN);
	}
	assert_nothing_kept_anew();
	world.worker.now_ns += 10 * SECOND;
	assert_int_equal(try(world.worker.now_ns, 50, 1), -EAGAIN);
	assert_nothing();
	assert_nothing_kept_anew();
}

static void test_tuners_own_memory(void **state)
{
	static uint8_t bytes[BPFTUNE_MEMORY_BYTES_MAX];
	struct bpftune_report report;
	const void *found;
	size_t size = 7;

	(void)state;
	assert_null(bpftune_remembered(&world.instance, 3, &size));
	assert_int_equal(bpftune_remember(&world.instance, 3, "abc", 3), 0);
	found = bpftune_remembered(&world.instance, 3, &size);
	assert_true(found && size == 3 && !memcmp(found, "abc", 3));
	assert_null(bpftune_remembered(&world.instance, 4, &size));
	assert_int_equal(read(world.reports, &report, sizeof(report)), sizeof(report));
	assert_int_equal(report.kind, BPFTUNE_MEMORY);
	assert_int_equal(bpftune_remember(&world.instance, 3, "abc", 3), 0);
	assert_nothing_kept_anew();
	assert_int_equal(bpftune_remember(&world.instance, 3, bytes, sizeof(bytes) + 1), -E2BIG);
	assert_int_equal(bpftune_remember(&world.instance, 3, NULL, 0), 0);
	assert_null(bpftune_remembered(&world.instance, 3, &size));
	assert_int_equal(read(world.reports, &report, sizeof(report)), sizeof(report));
	world.instance.shares_netns = true;
	assert_int_equal(bpftune_remember(&world.instance, 3, "abc", 3), -EPERM);
	assert_nothing_kept_anew();
}

static void test_not_ours(void **state)
{
	(void)state;
	world.instance.shares_netns = true;
	assert_int_equal(try(world.worker.now_ns, 50, 0), -EPERM);
	world.instance.shares_netns = false;
	world.values[1].value[0] = '\0'; /* unreadable */
	assert_int_equal(try(world.worker.now_ns, 50, 0), -EINVAL);
	assert_int_equal(bpftune_try(&world.instance, ARRAY_SIZE(remedies), 1, NULL, NULL, "none"), -EINVAL);
	pass(0, 0);
	assert_nothing();
}

static int widen_again(uint64_t trouble)
{
	world.worker.now_ns += SECOND;
	return try_remedy(RANGE, world.worker.now_ns, trouble, 100);
}

/* The tuner says what a step is; what becomes of the step is the same. */
static void test_steps_of_the_tuner(void **state)
{
	long long from;

	(void)state;
	assert_int_equal(widen_again(50), 0);
	assert_string_equal(answer(true).to, "18 31");
	assert_int_equal(bpftune_step_from(&world.instance, RANGE, &from), 0);
	assert_int_equal(from, 30);
	assert_int_equal(widen_again(20), 0);
	assert_string_equal(answer(true).to, "16 32");
	assert_int_equal(widen_again(20), -EAGAIN);
	assert_string_equal(answer(true).to, "18 31"); /* undone: exactly what it was */
	range_wall = 17;
	world.worker.now_ns += SECOND;
	assert_int_equal(widen_again(20), -ENOSPC);
	pass(0, 0);
	assert_nothing();
	world.worker.now_ns += 10 * MINUTE;
	pass(0, 0);
	assert_string_equal(answer(true).to, "20 30");
	assert_int_equal(widen_again(50), 0);
	assert_string_equal(answer(true).to, "18 31"); /* it returns */
	world.worker.now_ns += 20 * MINUTE;
	pass(0, 0);
	assert_string_equal(answer(true).to, "20 30");
	range_wall = 18;
	assert_int_equal(widen_again(50), -ENOSPC); /* it does not: there is no room for it any more */
	assert_nothing();
}

static void test_tables_that_do_not_fit(void **state)
{
	static const struct bpftune_remedy wrong[] = {
		{ .tunable = ARRAY_SIZE(tunables) },
		{ .scenario = ARRAY_SIZE(scenarios) },
		{ .value = 1 },
		{ .trouble = { .name = "overflows" } },
		{ .tunable = 3, .value = BPFTUNE_ALL_VALUES, .is_measured = true },
		{ .tunable = 6, .value = BPFTUNE_WIDTH },
		{ .tunable = 3, .value = BPFTUNE_WIDTH, .next = widen },
		{ .tunable = 6, .value = BPFTUNE_WIDTH, .next = widen, .is_measured = true },
	};
	struct engine engine = { .tuner = &tuner };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		tuner.remedies = &wrong[i];
		tuner.n_remedies = 1;
		assert_int_equal(remedies_start(&world.worker, &engine), -EINVAL);
	}
	tuner.n_remedies = BPFTUNE_REMEDIES_MAX + 1;
	assert_int_equal(remedies_start(&world.worker, &engine), -E2BIG);
	tuner.remedies = remedies;
	tuner.n_remedies = ARRAY_SIZE(remedies);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_counters),
		TEST(test_counted_by_the_tuner),
		TEST(test_long_window),
		TEST(test_counters_that_begin_anew),
		TEST(test_besides),
		TEST(test_others_errors),
		TEST(test_window_begins_with_events),
		TEST(test_is_judging),
		TEST(test_refused),
		TEST(test_no_look_while_a_proposal_is_under_way),
		TEST(test_decay),
		TEST(test_tuner_knows_what_is_needed),
		TEST(test_tuner_counts),
		TEST(test_steps_of_the_tuner),
		TEST(test_taken_back),
		TEST(test_relieved),
		TEST(test_cap),
		TEST(test_claims),
		TEST(test_claims_of_a_pool),
		TEST(test_disclaimed),
		TEST(test_claims_end_after_an_hour),
		TEST(test_asker_ends_meanwhile),
		TEST(test_claims_of_another_worker),
		TEST(test_no_claims),
		TEST(test_claims_on_another_value),
		TEST(test_somebody_else),
		TEST(test_own_measure),
		TEST(test_own_measure_of_another_worker),
		TEST(test_own_measure_in_a_dry_run),
		TEST(test_another_worker),
		TEST(test_another_worker_in_between),
		TEST(test_written_while_there_was_no_worker),
		TEST(test_memory_that_does_not_fit),
		TEST(test_kept_when_decided),
		TEST(test_tuners_own_memory),
		TEST(test_not_ours),
		TEST(test_tables_that_do_not_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
