// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Forges events: each line "COOKIE INSTANCE TUNER SCENARIO" of standard input becomes an event, with a payload of
 * zeros, in the ring buffer that a running supervisor reads, which is named by its map id. Prints the time that
 * each bears (CLOCK_MONOTONIC, nanoseconds).
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/cleanup.h"
#include "ipc/event.h"
#include "tests/netns/forge.skel.h"

static int fail(const char *what, int error)
{
	fprintf(stderr, "forge: cannot %s: %s\n", what, strerror(error < 0 ? -error : errno));
	return EXIT_FAILURE;
}

static int forge_all(struct forge_bpf *skel)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	struct bpftune_event event = { 0 };
	int err;

	while (scanf("%" SCNu64 " %" SCNu64 " %" SCNu16 " %" SCNu16, (uint64_t *)&event.netns_cookie,
		     (uint64_t *)&event.instance, &event.tuner, &event.scenario) == 4) {
		skel->bss->forged = event;
		err = bpf_prog_test_run_opts(bpf_program__fd(skel->progs.forge), &opts);
		if (err || skel->bss->result)
			return fail("put an event in", err ? err : skel->bss->result);
		printf("%llu\n", (unsigned long long)skel->bss->forged.time_ns);
	}
	return feof(stdin) ? EXIT_SUCCESS : fail("read the events", -EINVAL);
}

int main(int argc, char **argv)
{
	_cleanup_close_ int events_fd = argc == 2 ? bpf_map_get_fd_by_id(atoi(argv[1])) : -EINVAL;
	struct forge_bpf *skel = forge_bpf__open();
	int status, err;

	if (events_fd < 0 || !skel) {
		forge_bpf__destroy(skel);
		return fail("open the map (usage: forge MAP-ID <EVENTS)", events_fd);
	}
	err = bpf_map__reuse_fd(skel->maps.events, events_fd);
	if (!err)
		err = forge_bpf__load(skel);
	status = err ? fail("load", err) : forge_all(skel);
	forge_bpf__destroy(skel);
	return status;
}
