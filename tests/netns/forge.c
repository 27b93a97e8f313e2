// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Forges events: each line "COOKIE INSTANCE TUNER SCENARIO" of standard input becomes an event, with a payload of
 * zeros, in the ring buffer that a running supervisor reads, which is named by its map id.
 *
 * forge MAP-ID [INTERVAL-US]: one after the other; prints the time that each bears (CLOCK_MONOTONIC, nanoseconds).
 * forge MAP-ID INTERVAL-US SECONDS: all of them (at most FORGE_MAX) at once every INTERVAL-US, or without a pause if
 * that is 0, for so long; prints how many were put in, and how many found the ring full.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ipc/cleanup.h"
#include "tests/netns/forge.h"
#include "tests/netns/forge.skel.h"

#define NS_PER_S 1000000000ULL

static int fail(const char *what, int error)
{
	fprintf(stderr, "forge: cannot %s: %s\n", what, strerror(error < 0 ? -error : errno));
	return EXIT_FAILURE;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static void sleep_until(uint64_t ns)
{
	const struct timespec when = { .tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S };

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL);
}

static bool read_event(struct bpftune_event *event)
{
	*event = (struct bpftune_event){ 0 };
	return scanf("%" SCNu64 " %" SCNu64 " %" SCNu16 " %" SCNu8, (uint64_t *)&event->netns_cookie,
		     (uint64_t *)&event->instance, &event->tuner, &event->scenario) == 4;
}

static int run(struct forge_bpf *skel)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);

	return bpf_prog_test_run_opts(bpf_program__fd(skel->progs.forge), &opts);
}

static int one_by_one(struct forge_bpf *skel, uint64_t interval_ns)
{
	uint64_t due_ns = now_ns();
	int err;

	skel->bss->n_forged = 1;
	for (; read_event(&skel->bss->forged[0]); due_ns += interval_ns) {
		if (interval_ns)
			sleep_until(due_ns);
		err = run(skel);
		if (err || skel->bss->n_refused)
			return fail("put an event in", err ? err : -EAGAIN);
		printf("%" PRIu64 "\n", (uint64_t)skel->bss->forged[0].time_ns);
	}
	return feof(stdin) ? EXIT_SUCCESS : fail("read the events", -EINVAL);
}

static int flood(struct forge_bpf *skel, uint64_t interval_ns, uint64_t end_ns)
{
	uint64_t due_ns = now_ns(), n = 0;
	int err = 0;

	while (skel->bss->n_forged < FORGE_MAX && read_event(&skel->bss->forged[skel->bss->n_forged]))
		skel->bss->n_forged++;
	if (!feof(stdin) && skel->bss->n_forged < FORGE_MAX)
		return fail("read the events", -EINVAL);
	for (; !err && now_ns() < end_ns; due_ns += interval_ns, n += skel->bss->n_forged) {
		if (interval_ns)
			sleep_until(due_ns);
		err = run(skel);
	}
	printf("%" PRIu64 " %" PRIu64 "\n", n - (uint64_t)skel->bss->n_refused,
	       (uint64_t)skel->bss->n_refused);
	return err ? fail("put events in", err) : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	_cleanup_close_ int events_fd = argc >= 2 && argc <= 4 ? bpf_map_get_fd_by_id(atoi(argv[1])) : -EINVAL;
	uint64_t interval_ns = argc > 2 ? 1000 * strtoull(argv[2], NULL, 10) : 0;
	struct forge_bpf *skel = forge_bpf__open();
	int status, err;

	if (events_fd < 0 || !skel) {
		forge_bpf__destroy(skel);
		return fail("open the map (usage: forge MAP-ID [INTERVAL-US [SECONDS]] <EVENTS)", events_fd);
	}
	err = bpf_map__reuse_fd(skel->maps.events, events_fd);
	if (!err)
		err = forge_bpf__load(skel);
	if (err)
		status = fail("load", err);
	else if (argc == 4)
		status = flood(skel, interval_ns, now_ns() + (uint64_t)(strtod(argv[3], NULL) * NS_PER_S));
	else
		status = one_by_one(skel, interval_ns);
	forge_bpf__destroy(skel);
	return status;
}
