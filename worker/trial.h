/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A trial: a tunable's value is changed a step at a time, and kept only if a measurement says that the step helped.
 * Pure functions: no I/O, no clock, no allocation. Whoever calls them reads the counters and writes the value.
 *
 *   watch   There is trouble in a window of time: a step, at least half as much again, at most four times as much; more
 *           than that only where the caller has measured what is needed.
 *   wait    A window that began before the step says nothing about the step.
 *   judge   Less than half the trouble per work: the step is kept, and another may follow. Else the step is undone, and
 *           the value is held for 1 s, after the next useless step for 2 s, ... 1 h.
 *           A window before the step with hardly any work is nothing to compare with: such a step is kept.
 *   decay   Without trouble for ten minutes, the value goes one step back. If the trouble comes back, so does the
 *           value, and the next decay waits twice as long.
 *
 * Where trouble per work does not tell whether a step helped, the caller has a measure of its own: it judges each step
 * by trial_keep() and trial_go_to(), and holds further steps off by itself. Decay is the same: trouble is the need of
 * the value, and trial_look() makes no step but the one back.
 *
 * A value that is neither what the trial found nor what it wrote is somebody else's: the trial ends.
 */
#ifndef BPFTUNE_WORKER_TRIAL_H
#define BPFTUNE_WORKER_TRIAL_H

#include <stdbool.h>
#include <stdint.h>

#define TRIAL_VERSION 1 /* of struct trial */
#define TRIAL_INTS_MAX 3
#define TRIAL_LEVELS_MAX 12
#define TRIAL_ALL_INTS UINT32_MAX
#define TRIAL_WIDTH (UINT32_MAX - 1)
#define TRIAL_WORK_MIN 16 /* a window with less work than that judges nothing */

/* What is the same for all trials of a tunable. */
struct trial_rule {
	uint32_t n_ints;       /* 1 to TRIAL_INTS_MAX */
	uint32_t value;	       /* the index of the integer that is stepped; TRIAL_ALL_INTS: the last, and the others in
				  proportion; TRIAL_WIDTH: how far the second is from the first, which trial_look() cannot step
				  by itself: TRIAL_FULL */
	uint32_t step_percent; /* of the value before: 150 to 400 */
	bool is_down;	       /* a step makes the value smaller */
	bool is_judged;	       /* by trouble per work */
	bool is_measured;      /* by the caller's measure */
	bool decays;
};

/* What is seen now. */
struct trial_look {
	uint64_t now_ns;
	uint64_t since_ns;	/* the beginning of the window, which ends now */
	uint64_t trouble, work; /* counted in the window */
	int64_t value[TRIAL_INTS_MAX];
	int64_t cap;	/* the stepped integer goes no further */
	int64_t needed; /* a step up goes there, rather than by a percentage; 0: it is not known what is needed */
};

enum trial_move {
	TRIAL_NONE,
	TRIAL_STEP,
	TRIAL_UNDO,	 /* the step did not help: exactly the value from before it */
	TRIAL_DECAY,	 /* not needed for long: exactly the value from before the last step that was kept */
	TRIAL_RETURN,	 /* needed after all: exactly the value from before the decay */
	TRIAL_TAKE_BACK, /* exactly the value from before the first step or a later one, or back to what the caller says */
	TRIAL_FULL,	 /* there is trouble, and no room for a step: nothing is to be written */
	N_TRIAL_MOVES
};

/* What a trial knows: of fixed size, without pointers, so that it can be kept outside of the process. All zeros:
 * nothing. */
struct trial {
	uint64_t changed_ns;				  /* when `ours` was written; 0: never */
	uint64_t held_until_ns;				  /* no step before that */
	uint64_t before_trouble, before_work;		  /* in the window that led to the last step */
	int64_t ours[TRIAL_INTS_MAX];			  /* the value as the trial left it */
	int64_t proposed[TRIAL_INTS_MAX];		  /* what `move` is to make of it */
	int64_t peak[TRIAL_INTS_MAX];			  /* the value before the last decay */
	int64_t levels[TRIAL_LEVELS_MAX][TRIAL_INTS_MAX]; /* the values from before each step, the first one first */
	uint8_t move; /* enum trial_move: proposed, and not known to be written yet */
	uint8_t n_levels;
	uint8_t n_useless; /* steps undone in a row */
	uint8_t n_returns;
	uint8_t is_known;  /* `ours` is set */
	uint8_t is_trying; /* the last step is to be judged */
	uint8_t has_peak;
	uint8_t zero;
	uint64_t trouble_ns; /* when there last was trouble; the only field that changes without a decision */
};

_Static_assert(sizeof(struct trial) == 408, "no padding: a trial is compared and kept as bytes");

/*
 * What is to be done. For all moves but NONE and FULL, `ret_to` is the value to write: the caller proposes it, and
 * calls trial_propose() when the proposal is on its way. To be called only while no proposal is under way.
 */
enum trial_move trial_look(struct trial *trial, const struct trial_rule *rule, const struct trial_look *look,
			   int64_t ret_to[TRIAL_INTS_MAX]);

/* The same, to give up all steps; and no step before `hold_until_ns`. TRIAL_NONE: the value is not the trial's. */
enum trial_move trial_take_back(struct trial *trial, const struct trial_rule *rule, const struct trial_look *look,
				uint64_t hold_until_ns, int64_t ret_to[TRIAL_INTS_MAX]);

/*
 * The same, to give up as many steps as it takes for the stepped integer to be within the look's cap, or all. TRIAL_NONE
 * also where it is within the cap already.
 */
enum trial_move trial_lower(struct trial *trial, const struct trial_rule *rule, const struct trial_look *look,
			    int64_t ret_to[TRIAL_INTS_MAX]);

/*
 * The caller's measure says what the stepped integer should become, past the cap or not. Farther in the rule's
 * direction: TRIAL_STEP, which the caller is to judge. Nearer: TRIAL_TAKE_BACK, of all steps that began at or past
 * `to`; this is a verdict, too. TRIAL_NONE: that is the value.
 */
enum trial_move trial_go_to(struct trial *trial, const struct trial_rule *rule, const struct trial_look *look,
			    int64_t to, int64_t ret_to[TRIAL_INTS_MAX]);

/* The caller's measure says that the last step helped: the step is kept. */
void trial_keep(struct trial *trial);

/* The value from before the step that is to be judged; NULL: no step is. */
const int64_t *trial_before(const struct trial *trial);

/* The move is proposed; `look` is what it was decided on. */
void trial_propose(struct trial *trial, const struct trial_rule *rule, enum trial_move move,
		   const struct trial_look *look, const int64_t to[TRIAL_INTS_MAX]);

/* The proposal has been answered, and that is the value now: written, or not; or somebody else's, which ends the trial.
 */
void trial_settle(struct trial *trial, const struct trial_rule *rule, uint64_t now_ns,
		  const int64_t value[TRIAL_INTS_MAX]);

/* The value from before the first step; NULL: the value is not the trial's. */
const int64_t *trial_first(const struct trial *trial);

/* There is something that can decay: a look is due now and then, also without trouble. */
bool trial_may_decay(const struct trial *trial, const struct trial_rule *rule);

/* How long an undo holds steps off; how long without trouble a decay waits. */
uint64_t trial_hold_ns(const struct trial *trial);
uint64_t trial_decay_ns(const struct trial *trial);

/* Is a trial that was kept elsewhere one that these functions could have made? */
bool trial_is_sound(const struct trial *trial);

/* What a counter has grown by. False: it went back (it wrapped, or began anew), and the window says nothing. */
bool trial_grown(uint64_t before, uint64_t now, uint64_t *ret_grown);

#endif
