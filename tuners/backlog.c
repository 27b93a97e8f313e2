// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * backlog: raises netdev_max_backlog, how many frames wait for a CPU, where CPUs drop frames for want of room there
 * though they have time to spare. The value is the host's: its worker raises it, on what the kernel has counted, for
 * each container whose frames are dropped by no more than the container's share.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "tuners/backlog.h"
#include "tuners/backlog.skel.h"
#include "tuners/decide_backlog.h"
#include "tuners/keep.h"
#include "tuners/tuner.h"

#define CPUS_MAX 8192
#define WINDOW_NS 900000000ULL /* at least: a tick may come a little early */
#define LOG_AGAIN_NS (60 * 1000000000ULL)

enum {
	MAX_BACKLOG
};

static const struct bpftune_tunable tunables[] = {
	[MAX_BACKLOG] = { "net.core.netdev_max_backlog", BPFTUNE_SCOPE_HOST, 1, "frames that may wait for each CPU" },
};

static const struct bpftune_scenario scenarios[] = {
	[BACKLOG_DROPPED] = { "backlog_full",
			      "Frames were dropped, as too many waited already for a CPU that had time to spare." },
	[BACKLOG_BURST] = { "burst", "So many frames at once were dropped." },
	[BACKLOG_NOT_NEEDED] = { "not_needed",
				 "Longer queues were of no use, or there has been no need of them for a while." },
};

/* The host's worker's alone. */
struct backlog {
	struct softnet_cpu *before, *now; /* CPUS_MAX each, of which only those that there are take memory */
	size_t n_cpus;			  /* the most that there were */
	uint64_t since_ns;		  /* `before` is of that time; 0: no window is open */
	uint64_t quiet_ns;		  /* nothing was heard since then */
	bool has_cause;
	struct bpftune_event cause; /* the last who was told of in the window */
	uint32_t burst;		    /* the largest */
	uint64_t logged_ns;
};

static int64_t whole(const struct bpftune *b, const void *state)
{
	const struct backlog *backlog = state;

	(void)b;
	return backlog_whole(sysconf(_SC_PHYS_PAGES), sysconf(_SC_PAGESIZE), backlog->n_cpus);
}

static const struct bpftune_remedy remedies[] = {
	[MAX_BACKLOG] = {
		.scenario = BACKLOG_NOT_NEEDED,
		.tunable = MAX_BACKLOG,
		.trouble = { .name = "frames dropped" },
		.work = { .name = "that came" },
		.whole = whole,
	},
};

/* A CPU that is offline has no line in the files: what an earlier look has read of it goes. */
static int look_at(struct backlog *backlog, struct softnet_cpu *cpus)
{
	int n;

	memset(cpus, 0, backlog->n_cpus * sizeof(*cpus));
	n = softnet_read(cpus, CPUS_MAX);
	if (n < 0)
		return n;
	if ((size_t)n > backlog->n_cpus)
		backlog->n_cpus = n;
	return 0;
}

static int init(struct bpftune *b, void **state)
{
	struct backlog *backlog = *state;

	if (b->id != BPFTUNE_HOST_ID)
		return 0;
	backlog->before = calloc(2 * CPUS_MAX, sizeof(*backlog->before));
	if (!backlog->before)
		return -ENOMEM;
	backlog->now = backlog->before + CPUS_MAX;
	return look_at(backlog, backlog->before);
}

static void fini(struct bpftune *b, void *state)
{
	(void)b;
	free(((struct backlog *)state)->before);
}

/* What a container's worker asks for by BACKLOG_BURST is not heeded: the kernel tells the host's worker itself. */
static void event(struct bpftune *b, void *state, const struct bpftune_event *event)
{
	struct backlog *backlog = state;
	struct backlog_burst burst;

	if (b->id != BPFTUNE_HOST_ID) {
		bpftune_request(b, event);
		return;
	}
	if (!backlog->since_ns) {
		if (look_at(backlog, backlog->before) < 0)
			return;
		backlog->since_ns = keep_now_ns();
	}
	memcpy(&burst, event->payload, sizeof(burst));
	if (event->scenario == BACKLOG_DROPPED) {
		backlog->cause = *event;
		backlog->has_cause = true;
	} else if (event->scenario == BACKLOG_BURST && !event->asker && burst.frames > backlog->burst) {
		backlog->burst = burst.frames;
	}
}

/* Once a minute. */
static void tell(struct bpftune *b, struct backlog *backlog, const struct backlog_view *view, const char *why)
{
	uint64_t now_ns = keep_now_ns();

	if (backlog->logged_ns && now_ns - backlog->logged_ns < LOG_AGAIN_NS)
		return;
	backlog->logged_ns = now_ns;
	bpftune_log_event(b, &backlog->cause, LOG_NOTICE,
			  "CPU %zu has dropped %" PRIu64
			  " frames, as too many waited for it; it was idle for %u %% of the "
			  "time, and stopped early %" PRIu64 " times with frames left (time_squeeze): %s",
			  view->worst, view->worst_dropped, view->worst_idle_percent, view->worst_squeezed, why);
}

/* A step, or the verdict on the last one. */
static void act(struct bpftune *b, struct backlog *backlog, const struct backlog_view *view)
{
	struct bpftune_measured measured = { backlog->since_ns, view->dropped, view->came, 0 };
	long long value[BPFTUNE_INTS_MAX], first[BPFTUNE_INTS_MAX];

	if (bpftune_value_ints(b, MAX_BACKLOG, value) < 0)
		return;
	if (bpftune_tried_from(b, MAX_BACKLOG, first) < 0)
		memcpy(first, value, sizeof(first));
	if (view->has_spare) { /* else there is no claim to more, so no step */
		measured.needed = backlog_needed(value[0], backlog->burst);
		bpftune_claim(b, MAX_BACKLOG, &backlog->cause, measured.needed - first[0]);
	}
	if (bpftune_try(
		    b, MAX_BACKLOG, BACKLOG_DROPPED, &backlog->cause, &measured,
		    "%" PRIu64 " of %" PRIu64
		    " frames were dropped, up to %u at once, that came to CPUs with time to spare: CPU %zu was idle for "
		    "%u %%, and stopped early %" PRIu64 " times with frames left (time_squeeze)",
		    view->dropped, view->came, backlog->burst, view->worst, view->worst_idle_percent,
		    view->worst_squeezed) == -ENOSPC &&
	    view->has_spare)
		tell(b, backlog, view, "netdev_max_backlog is as large as those who need it may have it");
}

static void look(struct bpftune *b, struct backlog *backlog)
{
	struct backlog_view view;
	long long from;

	if (look_at(backlog, backlog->now) < 0)
		return;
	view = backlog_look(backlog->before, backlog->now, backlog->n_cpus);
	if (!view.dropped)
		return;
	if (!view.has_spare)
		tell(b, backlog, &view, "longer queues would only delay what is in them");
	if (view.has_spare || !bpftune_step_from(b, MAX_BACKLOG, &from))
		act(b, backlog, &view);
}

static void tick(struct bpftune *b, void *state)
{
	struct backlog *backlog = state;
	uint64_t now_ns = keep_now_ns();

	if (!backlog->since_ns) {
		bpftune_relieved(b, MAX_BACKLOG, backlog->quiet_ns);
		backlog->quiet_ns = now_ns;
		return;
	}
	if (now_ns - backlog->since_ns < WINDOW_NS)
		return;
	if (backlog->has_cause)
		look(b, backlog);
	backlog->quiet_ns = now_ns;
	backlog->since_ns = backlog->burst = 0;
	backlog->has_cause = false;
}

BPFTUNE_TUNER(backlog, BPFTUNE_NOTHING_OWN, .summary = "queues of frames that wait for a CPU", .tunables = tunables,
	      .n_tunables = ARRAY_SIZE(tunables), .scenarios = scenarios, .n_scenarios = ARRAY_SIZE(scenarios),
	      .remedies = remedies, .n_remedies = ARRAY_SIZE(remedies), .state_size = sizeof(struct backlog),
	      .init = init, .event = event, .tick = tick, .fini = fini);
