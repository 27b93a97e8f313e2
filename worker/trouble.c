// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker/trouble.h"

#include <inttypes.h>
#include <stdio.h>

#include "worker/trials.h"

#define SECOND_NS UINT64_C(1000000000)
#define WINDOW_NS (SECOND_NS / 10 * 9) /* of counters, at least: a tick may come a little early */

bool trouble_is_counted(const struct bpftune_remedy *what)
{
	return (what->trouble.group || what->count) && what->work.group;
}

static void begin_window(struct worker *worker, struct remedy *remedy, const struct bpftune_counter pair[2])
{
	remedy->has_window = pair[0].found && pair[1].found;
	remedy->since_ns = worker->now_ns;
	remedy->trouble = pair[0].value;
	remedy->work = pair[1].value;
}

/*
 * A counter may grow for other reasons, too ("Ip", "ReasmFails": a fragment was lost on the way). The tuner's program
 * knows the reason, and emits an event in each window in which the counter grows by this remedy's trouble.
 */
static bool is_heard_of(const struct worker *worker, const struct remedy *remedy)
{
	return worker->running->heard_ns > remedy->since_ns;
}

static void look_at_counters(struct worker *worker, struct subject *subject, const struct bpftune_counter pair[2])
{
	struct remedy *remedy = subject->remedy;
	struct trial_look *look = &subject->look;
	char reason[BPFTUNE_TEXT_BYTES];

	if (!remedy->has_window || !pair[0].found || !pair[1].found ||
	    !trial_grown(remedy->trouble, pair[0].value, &look->trouble) ||
	    !trial_grown(remedy->work, pair[1].value, &look->work)) {
		begin_window(worker, remedy, pair);
		return;
	}
	look->since_ns = remedy->since_ns;
	if (look->now_ns - look->since_ns < WINDOW_NS)
		return;
	if (!is_heard_of(worker, remedy))
		look->trouble = 0;
	snprintf(reason, sizeof(reason), "%" PRIu64 " %s per %" PRIu64 " %s in %" PRIu64 " s", look->trouble,
		 pair[0].name, look->work, pair[1].name, (look->now_ns - look->since_ns + SECOND_NS / 2) / SECOND_NS);
	remedy_act(worker, subject, &(struct motive){ .scenario = subject->what->scenario, .reason = reason });
	/* What is too little to judge a step by goes on to grow. */
	if (!remedy->trial.is_trying || remedy->trial.move || look->since_ns < remedy->trial.changed_ns)
		begin_window(worker, remedy, pair);
}

/* Of each remedy: trouble, work, and what the trouble's counter counts besides. The work stands for a counter that the
 * remedy lacks. */
int trouble_read(const struct worker *worker, const struct engine *engine,
		 struct bpftune_counter ret_counters[TROUBLE_COUNTERS * BPFTUNE_REMEDIES_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < engine->tuner->n_remedies; i++) {
		const struct bpftune_remedy *what = &engine->tuner->remedies[i];

		if (trouble_is_counted(what)) {
			ret_counters[n++] = what->count ? what->work : what->trouble;
			ret_counters[n++] = what->work;
			ret_counters[n++] = what->besides.group ? what->besides : what->work;
		}
	}
	return n ? bpftune_counters(worker->instance, ret_counters, n) : 0;
}

void trouble_look(struct worker *worker, struct subject *subject, struct bpftune_counter read[TROUBLE_COUNTERS])
{
	const struct bpftune_remedy *what = subject->what;

	if (what->count) {
		read[0].name = what->trouble.name;
		read[0].value = what->count(worker->instance, worker->running->state);
	} else if (what->besides.group) {
		read[0].value -= read[2].value;
		read[0].found = read[0].found && read[2].found;
	}
	look_at_counters(worker, subject, read);
}
