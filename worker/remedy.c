// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker/remedy.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/cleanup.h"
#include "worker/budget.h"
#include "worker/trials.h"

#define SECOND_NS UINT64_C(1000000000)
#define WINDOW_NS (SECOND_NS / 10 * 9) /* of counters, at least: a tick may come a little early */
#define STEP_PERCENT 200
#define COUNTERS_EACH 3

/* A remedy of the running tuner, and all that a look at it takes. */
struct subject {
	struct remedy *remedy;
	const struct bpftune_remedy *what;
	const struct bpftune_tunable *tunable;
	struct trial_rule rule;
	struct trial_look look;
};

/* Why something is proposed. */
struct motive {
	unsigned int scenario;
	const struct bpftune_event *cause; /* or NULL */
	const char *reason;
};

static struct trial_rule rule_of(const struct bpftune_remedy *what, const struct bpftune_tunable *tunable)
{
	return (struct trial_rule){
		.n_ints = tunable->n_ints,
		.value = what->value,
		.step_percent = what->step_percent ? what->step_percent : STEP_PERCENT,
		.is_down = what->direction == BPFTUNE_DOWN,
		.is_judged = what->trouble.name && !what->is_measured,
		.is_measured = what->is_measured,
		.decays = !what->is_lasting,
	};
}

static uint32_t stepped(const struct subject *subject)
{
	return subject->rule.value >= TRIAL_WIDTH ? subject->tunable->n_ints - 1 : subject->rule.value;
}

/* What those who need it may have, the first value included. */
static int64_t claimed(const struct worker *worker, const struct subject *subject)
{
	const struct bpftune_owner of = { .tuner = worker->running->number, .tunable = subject->what->tunable };
	const struct budget_rule rule = {
		.whole = subject->what->whole(worker->instance, worker->running->state),
		.n_askers = worker->running->n_askers,
		.adds_up = subject->what->adds_up,
	};
	const int64_t *first = trial_first(&subject->remedy->trial);
	int64_t granted = worker->budget ? budget_granted(worker->budget, &of, &rule) : 0, sum;

	if (!first)
		first = subject->look.value;
	return __builtin_add_overflow(first[stepped(subject)], granted, &sum) ? INT64_MAX : sum;
}

/* As far as the tuner lets it go. */
static int64_t limit_of(const struct worker *worker, const struct subject *subject)
{
	const struct bpftune_tunable *tunable = subject->tunable;
	bool any = !tunable->min && !tunable->max;

	if (subject->what->cap)
		return subject->what->cap(worker->instance, worker->running->state,
					  subject->look.value[stepped(subject)]);
	if (subject->rule.is_down)
		return any ? 0 : tunable->min;
	return any ? INT_MAX : tunable->max;
}

static int64_t cap_of(const struct worker *worker, const struct subject *subject)
{
	int64_t limit = limit_of(worker, subject), most = subject->what->whole ? claimed(worker, subject) : limit;

	return most < limit ? most : limit;
}

/* What is there to look at. -EBUSY: a proposal is under way. */
static int find(struct worker *worker, unsigned int index, struct subject *ret_subject)
{
	struct engine *engine = worker->running;
	long long ints[BPFTUNE_INTS_MAX] = { 0 };
	int err;

	if (index >= engine->tuner->n_remedies)
		return -EINVAL;
	ret_subject->remedy = &engine->remedies[index];
	ret_subject->what = &engine->tuner->remedies[index];
	ret_subject->tunable = &engine->tuner->tunables[ret_subject->what->tunable];
	if (!tunable_is_ours(worker, ret_subject->tunable))
		return -EPERM;
	if (engine->tunables[ret_subject->what->tunable].pending)
		return -EBUSY;
	err = bpftune_value_ints(worker->instance, ret_subject->what->tunable, ints);
	if (err)
		return err;
	ret_subject->rule = rule_of(ret_subject->what, ret_subject->tunable);
	ret_subject->look = (struct trial_look){ .now_ns = worker->now_ns, .since_ns = worker->now_ns };
	for (size_t i = 0; i < ARRAY_SIZE(ints); i++)
		ret_subject->look.value[i] = ints[i];
	return 0;
}

/* --- proposals ---------------------------------------------------------------------------------- */

static int propose(struct worker *worker, const struct subject *subject, enum trial_move move,
		   const int64_t to[TRIAL_INTS_MAX], const struct motive *motive)
{
	long long ints[BPFTUNE_INTS_MAX];
	int err;

	for (size_t i = 0; i < ARRAY_SIZE(ints); i++)
		ints[i] = to[i];
	err = bpftune_propose(worker->instance, subject->what->tunable, ints, motive->scenario, motive->cause, "%s",
			      motive->reason);
	if (!err)
		trial_propose(&subject->remedy->trial, &subject->rule, move, &subject->look, to);
	return err;
}

static int propose_undo(struct worker *worker, const struct subject *subject, const int64_t to[TRIAL_INTS_MAX],
			const struct motive *motive)
{
	const struct bpftune_remedy *what = subject->what;
	const struct trial *trial = &subject->remedy->trial;
	char reason[BPFTUNE_TEXT_BYTES];

	snprintf(reason, sizeof(reason),
		 "the last step was of no use: %" PRIu64 " %s per %" PRIu64 " %s before it, %" PRIu64 " per %" PRIu64
		 " since; the next one is not tried for %" PRIu64 " s",
		 trial->before_trouble, what->trouble.name, trial->before_work, what->work.name, subject->look.trouble,
		 subject->look.work, trial_hold_ns(trial) / SECOND_NS);
	return propose(worker, subject, TRIAL_UNDO, to,
		       &(struct motive){ .scenario = what->scenario, .cause = motive->cause, .reason = reason });
}

static int propose_decay(struct worker *worker, const struct subject *subject, const int64_t to[TRIAL_INTS_MAX])
{
	const struct trial *trial = &subject->remedy->trial;
	char reason[BPFTUNE_TEXT_BYTES];

	snprintf(reason, sizeof(reason), "no %s for %" PRIu64 " min: one step back",
		 subject->what->trouble.name ? subject->what->trouble.name : "need of it",
		 trial_decay_ns(trial) / SECOND_NS / 60);
	return propose(worker, subject, TRIAL_DECAY, to,
		       &(struct motive){ .scenario = subject->what->scenario, .reason = reason });
}

/* The step of a remedy with a `next`. A value that has decayed does not return either where there is no room for it
 * now. */
static enum trial_move next_step(const struct worker *worker, const struct subject *subject, enum trial_move move,
				 int64_t to[TRIAL_INTS_MAX])
{
	long long ints[BPFTUNE_INTS_MAX];

	if (!subject->what->next || (move != TRIAL_STEP && move != TRIAL_RETURN && move != TRIAL_FULL))
		return move;
	for (size_t i = 0; i < ARRAY_SIZE(ints); i++)
		ints[i] = subject->look.value[i];
	if (!subject->what->next(worker->instance, worker->running->state, ints))
		return TRIAL_FULL;
	for (size_t i = 0; i < ARRAY_SIZE(ints); i++)
		to[i] = ints[i];
	return move == TRIAL_RETURN ? TRIAL_RETURN : TRIAL_STEP;
}

/* What a look calls for. 0: a step is on its way. */
static int act(struct worker *worker, struct subject *subject, const struct motive *motive)
{
	int64_t to[TRIAL_INTS_MAX] = { 0 };
	enum trial_move move;
	int err;

	if (subject->look.trouble) /* without any there is no step; a cap may be read from a file */
		subject->look.cap = cap_of(worker, subject);
	move = trial_look(&subject->remedy->trial, &subject->rule, &subject->look, to);
	move = next_step(worker, subject, move, to);
	switch (move) {
	case TRIAL_STEP:
	case TRIAL_RETURN:
		return propose(worker, subject, move, to, motive);
	case TRIAL_UNDO:
		err = propose_undo(worker, subject, to, motive);
		return err ? err : -EAGAIN;
	case TRIAL_DECAY:
		err = propose_decay(worker, subject, to);
		return err ? err : -EAGAIN;
	case TRIAL_FULL:
		return -ENOSPC;
	default:
		return -EAGAIN;
	}
}

/* --- claims ------------------------------------------------------------------------------------- */

static void claim(struct worker *worker, unsigned int tunable, uint64_t asker, int64_t more)
{
	const struct bpftune_owner of = { .tuner = worker->running->number, .tunable = tunable };

	if (!worker->budget)
		worker->budget = calloc(1, sizeof(*worker->budget));
	if (worker->budget)
		budget_claim(worker->budget, &of, asker, more, worker->now_ns);
}

/* Who needed what an earlier worker has raised is not known: the host is taken to have done, and need it no more. */
static void inherit_claims(struct worker *worker, struct engine *engine)
{
	struct subject subject;

	for (size_t i = 0; i < engine->tuner->n_remedies; i++) {
		const int64_t *first = trial_first(&engine->remedies[i].trial);

		if (first && engine->tuner->remedies[i].whole && !find(worker, i, &subject))
			claim(worker, subject.what->tunable, BUDGET_HOST,
			      subject.look.value[stepped(&subject)] - first[stepped(&subject)]);
	}
}

/* Back to the highest value that those who are left need. A proposal under way comes first. */
static void lower(struct worker *worker, unsigned int index, const struct motive *motive)
{
	int64_t to[TRIAL_INTS_MAX] = { 0 };
	struct subject subject;

	if (find(worker, index, &subject))
		return;
	subject.remedy->lost_claim = false;
	subject.look.cap = claimed(worker, &subject);
	if (trial_lower(&subject.remedy->trial, &subject.rule, &subject.look, to))
		propose(worker, &subject, TRIAL_TAKE_BACK, to, motive);
}

static void lower_all(struct worker *worker, struct engine *engine)
{
	for (size_t i = 0; i < engine->tuner->n_remedies; i++)
		if (engine->remedies[i].lost_claim)
			lower(worker, i,
			      &(struct motive){
				      .scenario = engine->tuner->remedies[i].scenario,
				      .reason =
					      "it is higher than those need who are left, and had a need within the last hour" });
}

static void note_lost_claims(struct worker *worker, struct engine *engine)
{
	(void)worker;
	for (size_t i = 0; i < engine->tuner->n_remedies; i++)
		engine->remedies[i].lost_claim = engine->tuner->remedies[i].whole != NULL;
}

/* --- counters ----------------------------------------------------------------------------------- */

static bool counts(const struct bpftune_remedy *what)
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
 * knows which it is, and emits an event in each window in which it is this remedy's trouble.
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
	act(worker, subject, &(struct motive){ .scenario = subject->what->scenario, .reason = reason });
	/* What is too little to judge a step by goes on to grow. */
	if (!remedy->trial.is_trying || remedy->trial.move || look->since_ns < remedy->trial.changed_ns)
		begin_window(worker, remedy, pair);
}

/* For each remedy that counts: trouble, work, and what the trouble's counter counts besides; instead of what it has not, the work. */
static int read_counters(const struct worker *worker, const struct engine *engine,
			 struct bpftune_counter ret_counters[COUNTERS_EACH * BPFTUNE_REMEDIES_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < engine->tuner->n_remedies; i++) {
		const struct bpftune_remedy *what = &engine->tuner->remedies[i];

		if (counts(what)) {
			ret_counters[n++] = what->count ? what->work : what->trouble;
			ret_counters[n++] = what->work;
			ret_counters[n++] = what->besides.group ? what->besides : what->work;
		}
	}
	return n ? bpftune_counters(worker->instance, ret_counters, n) : 0;
}

static void look_at_read(struct worker *worker, struct subject *subject, struct bpftune_counter read[COUNTERS_EACH])
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

static void tick(struct worker *worker, struct engine *engine)
{
	struct bpftune_counter counters[COUNTERS_EACH * BPFTUNE_REMEDIES_MAX] = { { .found = false } }, *read = counters;
	struct subject subject;

	if (read_counters(worker, engine, counters) < 0)
		return;
	for (size_t i = 0; i < engine->tuner->n_remedies; i++) {
		bool does_count = counts(&engine->tuner->remedies[i]);

		if (!find(worker, i, &subject)) {
			if (does_count)
				look_at_read(worker, &subject, read);
			else /* there is no trouble that we know of */
				act(worker, &subject, &(struct motive){ .scenario = subject.what->scenario });
		}
		read += does_count ? COUNTERS_EACH : 0;
	}
	lower_all(worker, engine);
	trials_keep(worker, engine);
}

static void settle_one(struct worker *worker, struct subject *subject)
{
	const struct bpftune_owner of = { .tuner = worker->running->number, .tunable = subject->what->tunable };
	struct trial *trial = &subject->remedy->trial;
	bool was_known = trial->is_known;

	trial_settle(trial, &subject->rule, worker->now_ns, subject->look.value);
	if (was_known && !trial->is_known && worker->budget)
		budget_forget(worker->budget, &of);
}

static void settle(struct worker *worker, struct engine *engine)
{
	struct subject subject;

	for (size_t i = 0; i < engine->tuner->n_remedies; i++)
		if (!find(worker, i, &subject))
			settle_one(worker, &subject);
	lower_all(worker, engine);
	trials_keep(worker, engine);
}

/* --- what the worker calls ---------------------------------------------------------------------- */

static bool is_of_values(const struct bpftune_remedy *what, const struct bpftune_tunable *tunable)
{
	switch (what->value) {
	case BPFTUNE_ALL_VALUES:
		return !what->is_measured;
	case BPFTUNE_WIDTH:
		return !what->is_measured && tunable->n_ints == 2 && what->next;
	default:
		return what->value < tunable->n_ints;
	}
}

static bool is_remedy(const struct bpftune_tuner *tuner, const struct bpftune_remedy *what)
{
	const struct bpftune_tunable *tunable =
		what->tunable < tuner->n_tunables ? &tuner->tunables[what->tunable] : NULL;

	return tunable && tunable->n_ints && tunable->n_ints <= BPFTUNE_INTS_MAX &&
	       what->scenario < tuner->n_scenarios && is_of_values(what, tunable) &&
	       !what->trouble.name == !what->work.name;
}

int remedies_start(struct worker *worker, struct engine *engine)
{
	const struct bpftune_tuner *tuner = engine->tuner;

	if (tuner->n_remedies > BPFTUNE_REMEDIES_MAX)
		return -E2BIG;
	for (size_t i = 0; i < tuner->n_remedies; i++)
		if (!is_remedy(tuner, &tuner->remedies[i]))
			return -EINVAL;
	engine->remedies = calloc(tuner->n_remedies + 1, sizeof(*engine->remedies));
	if (!engine->remedies)
		return -ENOMEM;
	trials_recall(engine);
	settle(worker, engine);
	inherit_claims(worker, engine);
	return 0;
}

void remedies_wake(struct worker *worker)
{
	for (size_t i = 0; i < worker->n_engines; i++)
		for (size_t n = 0; !worker->engines[i].off && n < worker->engines[i].tuner->n_remedies; n++)
			worker->engines[i].remedies[n].has_window = false;
	remedies_tick(worker);
}

static void each_engine(struct worker *worker, void (*act_on)(struct worker *worker, struct engine *engine))
{
	for (size_t i = 0; i < worker->n_engines; i++) {
		struct engine *engine = worker->running = &worker->engines[i];

		if (!engine->off && engine->tuner->n_remedies)
			act_on(worker, engine);
	}
	worker->running = NULL;
}

void remedies_tick(struct worker *worker)
{
	if (worker->budget && budget_expire(worker->budget, worker->now_ns))
		each_engine(worker, note_lost_claims);
	each_engine(worker, tick);
}

void remedies_end_asker(struct worker *worker, uint64_t asker)
{
	if (worker->budget && budget_end(worker->budget, asker))
		each_engine(worker, note_lost_claims);
}

void remedies_settle(struct worker *worker)
{
	each_engine(worker, settle);
}

bool remedies_are_judging(const struct worker *worker)
{
	for (size_t i = 0; i < worker->n_engines; i++)
		for (size_t n = 0; !worker->engines[i].off && n < worker->engines[i].tuner->n_remedies; n++)
			if (worker->engines[i].remedies[n].trial.is_trying)
				return true;
	return false;
}

bool remedies_may_decay(const struct worker *worker)
{
	if (worker->budget && worker->budget->n)
		return true;
	for (size_t i = 0; i < worker->n_engines; i++) {
		const struct engine *engine = &worker->engines[i];

		for (size_t n = 0; !engine->off && n < engine->tuner->n_remedies; n++) {
			const struct bpftune_remedy *what = &engine->tuner->remedies[n];
			struct trial_rule rule = rule_of(what, &engine->tuner->tunables[what->tunable]);

			if (trial_may_decay(&engine->remedies[n].trial, &rule))
				return true;
		}
	}
	return false;
}

/* --- what tuners call --------------------------------------------------------------------------- */

int bpftune_try(struct bpftune *b, unsigned int remedy, unsigned int scenario, const struct bpftune_event *cause,
		const struct bpftune_measured *measured, const char *reason, ...)
{
	struct worker *worker = tunable_worker();
	char text[BPFTUNE_TEXT_BYTES];
	struct subject subject;
	va_list args;
	int err = find(worker, remedy, &subject);

	(void)b;
	if (err)
		return err;
	subject.look.trouble = 1;
	if (measured) {
		subject.look.since_ns = measured->since_ns;
		subject.look.trouble = measured->trouble ? measured->trouble : 1;
		subject.look.work = measured->work;
		subject.look.needed = measured->needed;
	}
	va_start(args, reason);
	vsnprintf(text, sizeof(text), reason, args);
	va_end(args);
	err = act(worker, &subject, &(struct motive){ scenario, cause, text });
	trials_keep(worker, worker->running);
	return err;
}

void bpftune_relieved(struct bpftune *b, unsigned int remedy, uint64_t since_ns)
{
	struct worker *worker = tunable_worker();
	struct subject subject;

	(void)b;
	if (find(worker, remedy, &subject) || !subject.remedy->trial.is_trying)
		return;
	subject.look.since_ns = since_ns;
	subject.look.work = TRIAL_WORK_MIN;
	act(worker, &subject, &(struct motive){ .scenario = subject.what->scenario });
	trials_keep(worker, worker->running);
}

/* A move that the tuner asks for. */
__attribute__((format(printf, 7, 0))) static int move_to(struct worker *worker, const struct subject *subject,
							 enum trial_move move, const int64_t to[TRIAL_INTS_MAX],
							 unsigned int scenario, const struct bpftune_event *cause,
							 const char *reason, va_list args)
{
	char text[BPFTUNE_TEXT_BYTES];
	int err;

	if (!move)
		return -EALREADY;
	vsnprintf(text, sizeof(text), reason, args);
	err = propose(worker, subject, move, to, &(struct motive){ scenario, cause, text });
	trials_keep(worker, worker->running);
	return err;
}

void bpftune_claim(struct bpftune *b, unsigned int remedy, const struct bpftune_event *event, int64_t more)
{
	struct worker *worker = tunable_worker();
	const struct bpftune_tuner *tuner = worker->running->tuner;

	if (b->id == BPFTUNE_HOST_ID && remedy < tuner->n_remedies && tuner->remedies[remedy].whole)
		claim(worker, tuner->remedies[remedy].tunable, event->asker, more);
}

int bpftune_disclaim(struct bpftune *b, unsigned int remedy, unsigned int scenario, const struct bpftune_event *event,
		     const char *reason, ...)
{
	struct worker *worker = tunable_worker();
	struct engine *engine = worker->running;
	struct bpftune_owner of = { .tuner = engine->number };
	char text[BPFTUNE_TEXT_BYTES];
	va_list args;

	(void)b;
	if (!worker->budget || remedy >= engine->tuner->n_remedies)
		return -ENOENT;
	of.tunable = engine->tuner->remedies[remedy].tunable;
	if (!budget_refuse(worker->budget, &of, event->asker, worker->now_ns))
		return -ENOENT;
	va_start(args, reason);
	vsnprintf(text, sizeof(text), reason, args);
	va_end(args);
	engine->remedies[remedy].lost_claim = true;
	lower(worker, remedy, &(struct motive){ scenario, event, text });
	trials_keep(worker, engine);
	return 0;
}

int bpftune_take_back(struct bpftune *b, unsigned int remedy, unsigned int scenario, const struct bpftune_event *cause,
		      unsigned int hold_s, const char *reason, ...)
{
	struct worker *worker = tunable_worker();
	int64_t to[TRIAL_INTS_MAX] = { 0 };
	struct subject subject;
	enum trial_move move;
	va_list args;
	int err = find(worker, remedy, &subject);

	(void)b;
	if (err)
		return err;
	move = trial_take_back(&subject.remedy->trial, &subject.rule, &subject.look,
			       worker->now_ns + hold_s * SECOND_NS, to);
	va_start(args, reason);
	err = move_to(worker, &subject, move, to, scenario, cause, reason, args);
	va_end(args);
	return err;
}

int bpftune_go_to(struct bpftune *b, unsigned int remedy, long long to, unsigned int scenario,
		  const struct bpftune_event *cause, const char *reason, ...)
{
	struct worker *worker = tunable_worker();
	int64_t ints[TRIAL_INTS_MAX] = { 0 };
	struct subject subject;
	enum trial_move move;
	va_list args;
	int err = find(worker, remedy, &subject);

	(void)b;
	if (err)
		return err;
	move = trial_go_to(&subject.remedy->trial, &subject.rule, &subject.look, to, ints);
	va_start(args, reason);
	err = move_to(worker, &subject, move, ints, scenario, cause, reason, args);
	va_end(args);
	return err;
}

int bpftune_step_from(const struct bpftune *b, unsigned int remedy, long long *ret_from)
{
	struct worker *worker = tunable_worker();
	struct subject subject;
	const int64_t *before;
	int err = find(worker, remedy, &subject);

	(void)b;
	if (err)
		return err;
	before = trial_before(&subject.remedy->trial);
	if (!before)
		return subject.remedy->trial.is_known ? -EAGAIN : -ENOENT;
	*ret_from = before[stepped(&subject)];
	return 0;
}

void bpftune_keep_step(struct bpftune *b, unsigned int remedy)
{
	struct engine *engine = tunable_worker()->running;

	(void)b;
	if (remedy >= engine->tuner->n_remedies)
		return;
	trial_keep(&engine->remedies[remedy].trial);
	trials_keep(tunable_worker(), engine);
}

int bpftune_tried_from(const struct bpftune *b, unsigned int remedy, long long ret_ints[BPFTUNE_INTS_MAX])
{
	const struct engine *engine = tunable_worker()->running;
	const int64_t *first = remedy < engine->tuner->n_remedies ? trial_first(&engine->remedies[remedy].trial) : NULL;

	(void)b;
	for (int i = 0; first && i < BPFTUNE_INTS_MAX; i++)
		ret_ints[i] = first[i];
	return first ? 0 : -ENOENT;
}
